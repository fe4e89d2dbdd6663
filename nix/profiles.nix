# The profiles as Nix reads them, and what follows from one. A unit's limits and a machine's memory
# must be known before any program runs, so the arithmetic of the programs (crates/base/src/sizing.rs,
# crates/origin/src/profile/derived.rs) stands here a second time; tests/nix_profiles.rs holds both against each
# other for every profile and key.
#
# Builtins only, so that CI can evaluate it without nixpkgs.
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

  # `over` on top of `under`, table by table, as the programs lay one profile over another.
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

  # Addresses, names and ports.
  network = read ../vms/network.toml;

  # The kernel as each kind of host wants it: client, origin.
  sysctl = folder ../profiles/sysctl;

  # What goes between a profile and the settings of a run.
  scenario = {
    profiles = folder ../profiles/scenario;
    inherit (swarm) derive;
  };

  swarm = {
    profiles = folder ../profiles/swarm;

    # What the viewers of `settings` need of a machine.
    derive =
      settings:
      let
        inherit (sizing) viewer swarm recommended;
        # Stages say for themselves how many there are.
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
      # A file says only what differs from the default.
      profiles = mapAttrs (_: merge written.default) written;

      # What follows from the stream of `settings`, all keys given.
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
          # The ceiling of a rung keeps the first variant's proportion to its rate.
          ceiling = kbps: max kbps (kbps * video.max_bitrate_kbps / video.bitrate_kbps);
          rung = text: ceiling (fromJSON (head (match ".*@([0-9]+)" text)));
          ceilings = [ video.max_bitrate_kbps ] ++ map rung video.ladder;
          variants = length ceilings;
          sounds = if audio.separate then 1 else variants;
          renditions = variants + (if audio.separate then 1 else 0) + (if settings.subtitles then 1 else 0);
          streams = 1 + length settings.streams;

          payload_kbps = sum ceilings + audio.bitrate_kbps * sounds;
          bytes_per_second = payload_kbps * 125 * (100 + sizing.origin.container_percent) / 100;
          loop_seconds =
            if encoder.loop_seconds > 0 then
              encoder.loop_seconds
            else
              leastCommonMultiple sizing.origin.loop_unit_seconds segment_seconds;
          loop_bytes = bytes_per_second * loop_seconds;

          film = settings.kind == "vod";
          whole = divideUp settings.vod_seconds segment_seconds;
          listed = if film then whole else list_size;
          kept = if film then whole else list_size + delete_threshold;
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
                if film then window_bytes else max (2 * window_bytes) (segment_bytes * streams * (kept + 2));
            in
            max segments loop_bytes + loop_bytes + sizing.origin.slack_bytes;
        };
    };

  # For the comparison with the programs: every profile with what follows from it.
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
