# Checks generated files with the programs that read them: our programs, nginx and systemd.
{
  pkgs,
  lib,
  facts,
  machines,
  packages,
  ...
}:
let
  run =
    name: inputs: text:
    pkgs.runCommand "conf-${name}" { nativeBuildInputs = inputs; } (text + "\ntouch $out\n");

  # The units of the lab's machines, as rendered by NixOS.
  ours = lib.concatMapAttrs (
    _: machine: lib.filterAttrs (name: _: lib.hasPrefix "hls-" name) machine.config.systemd.units
  ) { inherit (machines) test-origin-vm swarm-client-microvm; };

  profiles =
    kind:
    lib.concatMapStringsSep " " (name: "${../../profiles}/${kind}/${name}.toml") (
      builtins.attrNames facts.${kind}.profiles
    );
in
{
  profiles = run "profiles" [ packages.hls-swarm packages.hls-origin ] ''
    hls-swarm config check ${profiles "swarm"}
    hls-origin config check ${profiles "origin"}
  '';

  # hls-origin lets nginx check the configuration.
  nginx =
    run "nginx"
      [
        packages.hls-origin
        pkgs.nginx
      ]
      (
        lib.concatMapStrings (profile: ''
          mkdir -p ${profile}/temp ${profile}/www
          hls-origin render nginx --profile ${profile} >${profile}/nginx.conf
          nginx -t -p "$PWD/${profile}" -e stderr -c nginx.conf
        '') (builtins.attrNames facts.origin.profiles)
      );

  # systemd-analyze makes a runtime directory below /run, which the sandbox of Nix does not have. It looks for the units
  # that ours depend on where NixOS links them from.
  units =
    run "units"
      [
        pkgs.bubblewrap
        pkgs.systemd
      ]
      ''
        mkdir units
        ${lib.concatStrings (lib.mapAttrsToList (name: unit: "cp ${unit.unit}/${name} units/\n") ours)}
        analyze() {
          bwrap --tmpfs / --ro-bind /nix /nix --ro-bind "$PWD/units" /units --proc /proc --dev /dev --dir /run \
            --dir /tmp --setenv HOME /tmp \
            --setenv SYSTEMD_UNIT_PATH /units:${pkgs.systemd}/example/systemd/system systemd-analyze "$@"
        }
        for unit in $(ls units); do
          analyze verify --man=no "/units/$unit"
        done
        for unit in $(ls units | grep '\.service$'); do
          analyze security --offline=true --threshold=30 --no-pager "/units/$unit"
        done
      '';

  # The viewers' machine and image contain only what viewers need.
  closure = run "closure" [ ] ''
    viewers=${pkgs.closureInfo { rootPaths = [ packages.hls-swarm ]; }}
    ! grep -E -- '-(nginx|ffmpeg-(headless|full))-' $viewers/store-paths
    size=$(cat $viewers/total-nar-size)
    test "$size" -lt 80000000 || {
      echo "the closure of hls-swarm has $size bytes; at most 80000000 are expected"
      exit 1
    }
  '';

  format = run "format" [ pkgs.nixfmt ] ''
    nixfmt --check ${
      lib.fileset.toSource {
        root = ../..;
        fileset = lib.fileset.fileFilter (file: file.hasExt "nix") ../..;
      }
    }
  '';

  viewer-ffmpeg = run "viewer-ffmpeg" [ packages.hls-viewer-ffmpeg ] ''
    test "$(hls-viewer-ffmpeg -hide_banner -encoders | grep -c '^ [VAS]')" -le 6
    hls-viewer-ffmpeg -hide_banner -muxers | grep -qw null
  '';
}
