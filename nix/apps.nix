# The apps of `nix run .#NAME`. There is one for each profile.
{
  pkgs,
  lib,
  facts,
  packages,
  flake,
}:
let
  swarm = lib.getExe pkgs.hls-swarm;
  origin = lib.getExe pkgs.hls-origin;

  app = description: program: {
    type = "app";
    inherit program;
    meta = { inherit description; };
  };
  script =
    description: name: text:
    app description (lib.getExe (pkgs.writeShellApplication { inherit name text; }));

  # The profile `default` has no suffix.
  named = base: profile: if profile == "default" then base else "${base}-${profile}";
  perProfile =
    base: profiles: describe: text:
    lib.mapAttrs' (
      profile: _:
      let
        name = named base profile;
      in
      lib.nameValuePair name (script (describe profile) name (text profile))
    ) profiles;

  machines = lib.filterAttrs (name: _: lib.hasPrefix "test-origin-vm" name) packages;

  all =
    perProfile "test-origin" facts.origin.profiles (
      profile: "test origin with the profile ${profile}"
    ) (profile: ''exec ${origin} --profile ${profile} "$@"'')
    // perProfile "swarm-client" facts.swarm.profiles (
      profile: "load test with the profile ${profile}: -- URL"
    ) (profile: ''exec ${swarm} --profile ${profile} "$@"'')
    // lib.mapAttrs (
      name: runner: app "test origin in a microVM (${name})" "${runner}/bin/microvm-run"
    ) machines
    // {
      run = app "load test a stream: -- [flags] URL" swarm;
      demo = app packages.demo.meta.description (lib.getExe packages.demo);
      lab-pair = app "origin and viewers as microVMs on the bridge of the lab" (
        lib.getExe packages.lab-pair
      );
      nginx-config =
        script "print the nginx.conf of the test origin: -- [--profile NAME]" "nginx-config"
          ''
            exec ${origin} render nginx "$@"
          '';
      up = script "test origin: -- PROFILE [runner|container|vm]" "up" (
        import ./up.nix {
          inherit
            lib
            facts
            packages
            origin
            flake
            ;
        }
      );
    };

  welcome = pkgs.writeText "welcome" ''
    hls-swarm ${pkgs.hls-swarm.version}: load testing of HTTP Live Streaming with real FFmpeg viewers

      nix run .#demo
      nix run .#test-origin
      nix run .#run -- --clients 20 --duration 30s http://127.0.0.1:${toString facts.network.stream_port}/stream.m3u8

    ${lib.concatStrings (lib.mapAttrsToList (name: value: line name value.meta.description) all)}
    Modules for NixOS, images and machines: docs/nixos.md.
  '';
  line =
    name: description:
    "  nix run .#${name}${lib.fixedWidthString (28 - lib.stringLength name) " " ""}${description}\n";
in
all
// {
  default = app "list the apps" (
    lib.getExe (
      pkgs.writeShellApplication {
        name = "welcome";
        text = "cat ${welcome}";
      }
    )
  );
}
