# services.hls-swarm: load tests as systemd units. An instance is one run: a profile, settings that override it,
# and a hardened unit whose limits are derived from the number of viewers.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hls-swarm;
  facts = import ../nix/profiles.nix;
  format = pkgs.formats.toml { };
  common = import ./profile-option.nix {
    inherit lib format facts;
    program = "hls-swarm";
    inherit (facts.swarm) profiles;
  };
  programs = import ../nix/programs.nix pkgs;

  enabled = lib.filterAttrs (_: instance: instance.enable) cfg.instances;

  instance =
    { config, ... }:
    {
      options = common.options // {
        settings = lib.mkOption {
          type = lib.types.submodule {
            freeformType = format.type;
            options = {
              url = lib.mkOption {
                type = lib.types.nullOr (lib.types.strMatching "https?://.+");
                default = null;
                example = "https://cdn.example/live/stream.m3u8";
                description = "The playlist to play.";
              };
              clients = lib.mkOption {
                type = lib.types.nullOr lib.types.ints.positive;
                default = null;
                example = 200;
                description = "Number of concurrent viewers; null means that of the profile.";
              };
              duration = lib.mkOption {
                type = lib.types.nullOr lib.types.str;
                default = null;
                example = "5m";
                description = "Duration of the run in Go's notation, for example `1h30m`; null means that of the profile, or until stopped.";
              };
              metrics = lib.mkOption {
                type = lib.types.str;
                default = "0.0.0.0:${toString facts.network.metrics_port}";
                defaultText = lib.literalMD "`0.0.0.0` and the default port of the program";
                example = "off";
                description = "Address of the Prometheus endpoint, or `off`.";
              };
              reports = lib.mkOption {
                type = lib.types.listOf lib.types.str;
                default = [ "report.json" ];
                example = [
                  "report.json"
                  "report.html"
                ];
                description = "Reports to write in the state directory of the instance.";
              };
              ffmpeg = lib.mkOption {
                type = lib.types.str;
                default = lib.getExe cfg.ffmpeg;
                defaultText = lib.literalExpression "lib.getExe config.services.hls-swarm.ffmpeg";
                description = "The FFmpeg that viewers run.";
              };
            };
          };
          default = { };
          example = {
            clients = 200;
            thresholds = [ "segment_ttfb:p95<500ms" ];
          };
          description = ''
            Settings that override the profile: the flags of {command}`hls-swarm`, with underscores instead of
            dashes. {command}`hls-swarm config check` validates them when the system is built.
          '';
        };

        scenario = lib.mkOption {
          type = lib.types.nullOr (
            lib.types.either (lib.types.enum (builtins.attrNames facts.scenario.profiles)) lib.types.path
          );
          default = null;
          example = "progressive";
          description = ''
            The scenario, which overrides the profile and is overridden by the settings: a built-in scenario
            (${lib.concatMapStringsSep ", " (name: "`${name}`") (builtins.attrNames facts.scenario.profiles)}),
            or a TOML file.
          '';
        };

        headerFile = lib.mkOption {
          type = lib.types.nullOr lib.types.path;
          default = null;
          example = "/run/secrets/cdn-headers";
          description = ''
            File with secret request headers, one `Name: value` per line. The unit receives it as a credential;
            it is read when the unit starts, and is never copied to the store.
          '';
        };

        autoStart = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether to start the run at boot, instead of manually or by {option}`startAt`.";
        };

        startAt = lib.mkOption {
          type = lib.types.either lib.types.str (lib.types.listOf lib.types.str);
          default = [ ];
          example = "daily";
          description = "When to start the run, as a calendar event of {manpage}`systemd.time(7)`.";
        };

        openFirewall = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether to open the port of the Prometheus endpoint in the firewall.";
        };

        metricsPort = lib.mkOption {
          type = lib.types.nullOr lib.types.port;
          readOnly = true;
          default =
            let
              digits = builtins.match "(.*:)?([0-9]+)" config.settings.metrics;
            in
            if digits == null then null else lib.toInt (lib.last digits);
          defaultText = lib.literalMD "the port in {option}`settings.metrics`";
          description = "The port of the Prometheus endpoint; null if it is off.";
        };

        resolved = lib.mkOption {
          inherit (format) type;
          readOnly = true;
          internal = true;
          default = common.resolve config.profile (
            facts.merge (common.contentOf facts.scenario.profiles config.scenario) (common.set config.settings)
          );
          description = "The profile, the scenario and the settings, merged.";
        };
      };
    };

  service =
    name: instance:
    let
      settings = instance.resolved;
      needs = facts.swarm.derive settings;
      file = common.checked pkgs cfg.package "hls-swarm-${name}.toml" settings;
    in
    {
      description = "HLS load test ${name}";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      wantedBy = lib.optional instance.autoStart "multi-user.target";
      inherit (instance) startAt;
      serviceConfig = facts.systemd.hardening // {
        Type = "exec";
        ExecStart = lib.escapeShellArgs (
          [
            (lib.getExe cfg.package)
            "--profile"
            file
            "--tui=false"
          ]
          ++ lib.optionals (instance.headerFile != null) [
            "--header-file"
            "%d/headers"
          ]
        );
        LoadCredential = lib.optional (instance.headerFile != null) "headers:${instance.headerFile}";
        StateDirectory = "hls-swarm/${name}";
        WorkingDirectory = "%S/hls-swarm/${name}";
        LimitNOFILE = needs.open_files_limit;
        # Threads count as tasks, and the number of FFmpeg's threads is unknown.
        TasksMax = "infinity";
        # The program sends SIGTERM to the viewers and waits for them.
        KillMode = "mixed";
        TimeoutStopSec = 30;
      };
    };

  ports = lib.filter (port: port != null) (
    lib.mapAttrsToList (_: instance: instance.metricsPort) enabled
  );
in
{
  options.services.hls-swarm = {
    enable = lib.mkEnableOption "load tests of HTTP Live Streaming as systemd units";

    package = lib.mkPackageOption programs "hls-swarm" { pkgsText = "hls-swarm.packages.\${system}"; };

    ffmpeg = lib.mkPackageOption programs "hls-viewer-ffmpeg" {
      pkgsText = "hls-swarm.packages.\${system}";
      example = "pkgs.ffmpeg-headless";
      extraDescription = "The FFmpeg of the viewers. The default is a build that can only play HLS and needs a quarter of the memory.";
    };

    instances = lib.mkOption {
      type = lib.types.attrsOf (lib.types.submodule instance);
      default = { };
      example = lib.literalExpression ''
        {
          evening = {
            profile = "stress";
            settings.url = "https://cdn.example/live/stream.m3u8";
          };
        }
      '';
      description = "Runs; each one is a unit {file}`hls-swarm-NAME.service`.";
    };
  };

  config = lib.mkIf cfg.enable {
    warnings = lib.optional (
      enabled == { }
    ) "services.hls-swarm is enabled but has no instance; add one to services.hls-swarm.instances.";

    assertions =
      lib.concatLists (
        lib.mapAttrsToList (name: instance: [
          {
            assertion = instance.resolved ? url || instance.resolved ? stream;
            message = "services.hls-swarm.instances.${name}: there is no stream; set settings.url to the URL of a playlist.";
          }
          {
            assertion = builtins.match "[a-zA-Z0-9_-]+" name != null;
            message = "services.hls-swarm.instances: invalid name \"${name}\"; use letters, digits, - and _.";
          }
          {
            assertion = !(instance.openFirewall && instance.metricsPort == null);
            message = "services.hls-swarm.instances.${name}: openFirewall has no port to open, because settings.metrics is off.";
          }
          {
            assertion =
              instance.headerFile == null || !lib.hasPrefix builtins.storeDir (toString instance.headerFile);
            message = "services.hls-swarm.instances.${name}: headerFile is in the Nix store, where every user can read it; use a string with a path outside of it.";
          }
        ]) enabled
      )
      ++ [
        {
          assertion = lib.allUnique ports;
          message = "services.hls-swarm: two instances share a port for metrics; give each a settings.metrics of its own, or off.";
        }
      ];

    environment.systemPackages = [ cfg.package ];
    systemd.services = lib.mapAttrs' (
      name: instance: lib.nameValuePair "hls-swarm-${name}" (service name instance)
    ) enabled;
    networking.firewall.allowedTCPPorts = lib.concatLists (
      lib.mapAttrsToList (_: instance: lib.optional instance.openFirewall instance.metricsPort) enabled
    );
  };
}
