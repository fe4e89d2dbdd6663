# services.hls-origin: the test origin as a systemd unit. An instance has a profile and settings that override it;
# the program itself writes FFmpeg's arguments and nginx.conf.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hls-origin;
  facts = import ../nix/profiles.nix;
  format = pkgs.formats.toml { };
  common = import ./profile-option.nix {
    inherit lib format facts;
    program = "hls-origin";
    inherit (facts.origin) profiles;
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
            options.metrics = lib.genAttrs [ "node_port" "nginx_port" ] (
              name:
              lib.mkOption {
                type = lib.types.either lib.types.port (lib.types.enum [ "off" ]);
                default = facts.network.${name};
                defaultText = lib.literalMD "the default port of the program";
                example = "off";
                description = "Port of this exporter, or `off`.";
              }
            );
            options.serve = {
              listen = lib.mkOption {
                type = lib.types.nullOr lib.types.str;
                default = null;
                example = "0.0.0.0";
                description = "Address to listen on; null means that of the profile, which is loopback for most profiles.";
              };
              port = lib.mkOption {
                type = lib.types.nullOr lib.types.port;
                default = null;
                description = "Port to listen on; null means that of the profile.";
              };
            };
          };
          default = { };
          example = {
            segment_seconds = 4;
            video.bitrate_kbps = 3000;
          };
          description = ''
            Settings that override the profile; {file}`profiles/origin/default.toml` documents every key.
            {command}`hls-origin config check` validates them when the system is built.
          '';
        };

        autoStart = lib.mkOption {
          type = lib.types.bool;
          default = true;
          description = "Whether to start the origin at boot.";
        };

        openFirewall = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether to open the ports of the stream and of the exporters in the firewall.";
        };

        resolved = lib.mkOption {
          inherit (format) type;
          readOnly = true;
          internal = true;
          default = facts.merge facts.origin.profiles.default (common.resolve config.profile config.settings);
          description = "The default profile, the profile and the settings, merged.";
        };
      };
    };

  service =
    name: instance:
    let
      settings = instance.resolved;
      file = common.checked pkgs cfg.package "hls-origin-${name}.toml" settings;
      # These ports need root (net.ipv4.ip_unprivileged_port_start).
      lowPorts = lib.any (port: port < 1024) (portsOf instance);
    in
    {
      description = "HLS test origin ${name}";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      wantedBy = lib.optional instance.autoStart "multi-user.target";
      serviceConfig =
        facts.systemd.hardening
        // {
          # Ready when the playlist and its first segment can be fetched, which may take as long as encoding a loop.
          Type = "notify";
          TimeoutStartSec = "10min";
          ExecStart = lib.escapeShellArgs [
            (lib.getExe' cfg.package "hls-origin")
            "--profile"
            file
            "--cache-dir"
            "%C/hls-origin/${name}"
          ];
          CacheDirectory = "hls-origin/${name}";
          LogsDirectory = "hls-origin/${name}";
          # The media sequence continues after a restart.
          StateDirectory = "hls-origin/${name}";
          Restart = "on-failure";
          RestartSec = 2;
          # nginx inherits the limit of the unit.
          LimitNOFILE = facts.sysctl.origin.limits.nofile;
          TasksMax = "infinity";
          KillMode = "mixed";
          TimeoutStopSec = 30;
        }
        // lib.optionalAttrs lowPorts facts.systemd.low_ports;
    };

  # The ports of an instance.
  portsOf =
    instance:
    let
      inherit (instance.resolved) serve metrics;
    in
    lib.filter (port: port != "off" && port != 0) (
      [ serve.port ] ++ lib.optional serve.tls serve.tls_port ++ builtins.attrValues metrics
    );
  ports = lib.concatMap portsOf (builtins.attrValues enabled);
in
{
  options.services.hls-origin = {
    enable = lib.mkEnableOption "the test origin for HTTP Live Streaming";

    package = lib.mkPackageOption programs "hls-origin" { pkgsText = "hls-swarm.packages.\${system}"; };

    instances = lib.mkOption {
      type = lib.types.attrsOf (lib.types.submodule instance);
      default = { };
      example = lib.literalExpression ''
        {
          main = {
            profile = "low-latency";
            settings.serve.listen = "0.0.0.0";
            openFirewall = true;
          };
        }
      '';
      description = "Origins; each one is a unit {file}`hls-origin-NAME.service`.";
    };
  };

  config = lib.mkIf cfg.enable {
    warnings = lib.optional (
      enabled == { }
    ) "services.hls-origin is enabled but has no instance; add one to services.hls-origin.instances.";

    assertions =
      lib.mapAttrsToList (name: _: {
        assertion = builtins.match "[a-zA-Z0-9_-]+" name != null;
        message = "services.hls-origin.instances: invalid name \"${name}\"; use letters, digits, - and _.";
      }) enabled
      ++ lib.mapAttrsToList (name: instance: {
        assertion = !(instance.openFirewall && lib.hasPrefix "127." instance.resolved.serve.listen);
        message = "services.hls-origin.instances.${name}: openFirewall opens a port that only this machine can reach; set settings.serve.listen to \"0.0.0.0\" or \"::\".";
      }) enabled
      ++ [
        {
          assertion = lib.allUnique ports;
          message = "services.hls-origin: two instances share a port; give each a settings.serve.port, settings.serve.tls_port, and settings.metrics of its own.";
        }
      ];

    environment.systemPackages = [ cfg.package ];
    systemd.services = lib.mapAttrs' (
      name: instance: lib.nameValuePair "hls-origin-${name}" (service name instance)
    ) enabled;
    networking.firewall.allowedTCPPorts = lib.concatMap portsOf (
      lib.filter (instance: instance.openFirewall) (builtins.attrValues enabled)
    );
  };
}
