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
  profiles = run "profiles" [ packages.hls-swarm ] ''
    hls-swarm config check ${profiles "swarm"}
    hls-origin config check ${profiles "origin"}
  '';

  # hls-origin lets nginx check the configuration.
  nginx =
    run "nginx"
      [
        packages.hls-swarm
        pkgs.nginx
      ]
      (
        lib.concatMapStrings (profile: ''
          mkdir -p ${profile}/temp ${profile}/www
          hls-origin render nginx --profile ${profile} >${profile}/nginx.conf
          nginx -t -p "$PWD/${profile}" -e stderr -c nginx.conf
        '') (builtins.attrNames facts.origin.profiles)
      );

  units = run "units" [ pkgs.systemd ] ''
    mkdir units
    ${lib.concatStrings (lib.mapAttrsToList (name: unit: "cp ${unit.unit}/${name} units/\n") ours)}
    for unit in units/*; do
      systemd-analyze verify --man=no "$PWD/$unit"
    done
    for unit in units/*.service; do
      systemd-analyze security --offline=true --threshold=30 --no-pager "$PWD/$unit"
    done
  '';

  viewer-ffmpeg = run "viewer-ffmpeg" [ packages.hls-viewer-ffmpeg ] ''
    test "$(hls-viewer-ffmpeg -hide_banner -encoders | grep -c '^ [VAS]')" -le 6
    hls-viewer-ffmpeg -hide_banner -muxers | grep -qw null
  '';
}
