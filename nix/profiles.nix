# The profiles in Nix, and the values derived from them. The limits of a unit and the memory of a machine must be
# known before a program runs, so the arithmetic of the programs (crates/base/src/sizing.rs,
# crates/origin/src/profile/derived.rs) is repeated here; tests/nix_profiles.rs compares
# both for every profile and key.
#
# It uses only builtins, so that CI can evaluate it without nixpkgs.
let
  inherit (builtins)
    attrNames
    concatMap
    foldl'
    fromJSON
    head
    isAttrs
    length
    listToAttrs
    mapAttrs
    match
    readDir
    ;

  read = file: fromTOML (builtins.readFile file);

  # Every NAME.toml of a folder, as { NAME = content; }.
  folder =
    path:
    listToAttrs (
      concatMap (
        file:
        let
          name = match "(.*)\\.toml" file;
        in
        if name == null then
          [ ]
        else
          [
            {
              name = head name;
              value = read (path + "/${file}");
            }
          ]
      ) (attrNames (readDir path))
    );

  # Merges `over` over `under`, table by table, as the programs merge profiles.
  merge =
    under: over:
    under
    // mapAttrs (
      name: value:
      if isAttrs value && isAttrs (under.${name} or null) then merge under.${name} value else value
    ) over;

  max = a: b: if a > b then a else b;
  sum = foldl' (a: b: a + b) 0;
  divideUp = a: b: (a + b - 1) / b;
  greatestCommonDivisor = a: b: if b == 0 then a else greatestCommonDivisor b (a - a / b * b);
  leastCommonMultiple = a: b: a / (greatestCommonDivisor a b) * b;

  sizing = read ../profiles/sizing.toml;
in
rec {
  inherit merge;

  # Addresses, names and ports of the lab.
  network = read ../vms/network.toml;

  # What confines the units of both programs.
  systemd = read ../profiles/systemd.toml;

  # The kernel settings for each kind of host: client, origin.
  sysctl = folder ../profiles/sysctl;

  # The scenarios, which are merged between a profile and the settings of a run.
  scenario = {
    profiles = folder ../profiles/scenario;
    inherit (swarm) derive;
  };

  swarm = {
    profiles = folder ../profiles/swarm;

    # The resources that the viewers of `settings` need.
    derive =
      settings:
      let
        inherit (sizing) viewer swarm recommended;
        # Stages have their own numbers of viewers.
        clients =
          if settings ? stage then
            foldl' max 0 (map (stage: stage.clients) settings.stage)
          else
            settings.clients or swarm.clients;
      in
      rec {
        open_files = clients * viewer.open_files + swarm.open_files;
        open_files_limit = max open_files (
          clients * recommended.open_files_per_viewer + recommended.open_files
        );
        processes = clients * viewer.processes + swarm.processes;
        memory_bytes = clients * viewer.memory_bytes + swarm.memory_bytes;
        local_ports = clients * viewer.local_ports;
      };
  };

  origin =
    let
      written = folder ../profiles/origin;
    in
    {
      # A file contains only the differences from the default.
      profiles = mapAttrs (_: merge written.default) written;

      # The values derived from the stream of `settings`, which must have all keys.
      derive =
        settings:
        let
          inherit (settings)
            segment_seconds
            list_size
            delete_threshold
            video
            audio
            encoder
            ;
          # The maximum bitrate of a variant is in the proportion of the first one.
          maxKbps = kbps: max kbps (kbps * video.max_bitrate_kbps / video.bitrate_kbps);
          maxOf = text: maxKbps (fromJSON (head (match ".*@([0-9]+)" text)));
          maxRates = [ video.max_bitrate_kbps ] ++ map maxOf video.ladder;
          variants = length maxRates;
          audioTracks = if audio.separate then 1 else variants;
          renditions = variants + (if audio.separate then 1 else 0) + (if settings.subtitles then 1 else 0);
          streams = 1 + length settings.streams;

          payload_kbps = sum maxRates + audio.bitrate_kbps * audioTracks;
          bytes_per_second = payload_kbps * 125 * (100 + sizing.origin.container_percent) / 100;
          loop_seconds =
            if encoder.loop_seconds > 0 then
              encoder.loop_seconds
            else
              leastCommonMultiple sizing.origin.loop_unit_seconds segment_seconds;
          loop_bytes = bytes_per_second * loop_seconds;

          isVod = settings.kind == "vod";
          vodSegments = divideUp settings.vod_seconds segment_seconds;
          listed = if isVod then vodSegments else list_size;
          kept = if isVod then vodSegments else list_size + delete_threshold;
        in
        rec {
          gop_frames = video.fps * segment_seconds;
          segment_bytes = bytes_per_second * segment_seconds;
          window_seconds = segment_seconds * listed;
          window_bytes = segment_bytes * listed * streams;
          lifetime_seconds = segment_seconds * kept;
          files = streams * renditions * (kept + 2);
          open_file_cache_max = 3 * files;
          storage_bytes =
            let
              segments =
                if isVod then window_bytes else max (2 * window_bytes) (segment_bytes * streams * (kept + 2));
            in
            max segments loop_bytes + loop_bytes + sizing.origin.slack_bytes;
        };
    };

  # Every profile with its derived values, for the comparison with the programs.
  shown =
    let
      show =
        kind:
        mapAttrs (_: settings: {
          inherit settings;
          derived = kind.derive settings;
        }) kind.profiles;
    in
    {
      swarm = show swarm;
      origin = show origin;
      scenario = show scenario;
    };
}
