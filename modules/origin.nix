# services.hls-origin: the test origin as a unit. FFmpeg's arguments and nginx.conf are the program's
# business; here are a profile, settings on top of it, and what the unit may do.
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
  hardening = import ./hardening.nix;

  packages = pkgs.extend (import ../nix/overlay.nix);

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
                defaultText = lib.literalMD "the port that the program uses when nothing is said";
                example = "off";
                description = "Port of the exporter of that name, or `off`.";
              }
            );
            options.serve = {
              listen = lib.mkOption {
                type = lib.types.nullOr lib.types.str;
                default = null;
                example = "0.0.0.0";
                description = "Address to serve on; by profile if null, which is loopback for most.";
              };
              port = lib.mkOption {
                type = lib.types.nullOr lib.types.port;
                default = null;
                description = "Port to serve on; by profile if null.";
              };
            };
          };
          default = { };
          example = {
            segment_seconds = 4;
            video.bitrate_kbps = 3000;
          };
          description = ''
            Settings on top of the profile; {file}`profiles/origin/default.toml` holds every key.
            {command}`hls-origin config check` reads them when the system is built.
          '';
        };

        autoStart = lib.mkOption {
          type = lib.types.bool;
          default = true;
          description = "Whether the origin starts with the machine.";
        };

        openFirewall = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether the ports of the stream and of the exporters are opened in the firewall.";
        };

        resolved = lib.mkOption {
          inherit (format) type;
          readOnly = true;
          internal = true;
          default = facts.merge facts.origin.profiles.default (common.resolve config.profile config.settings);
          description = "Default profile, profile and settings as one.";
        };
      };
    };

  service =
    name: instance:
    let
      settings = instance.resolved;
      file = common.checked pkgs cfg.package "hls-origin-${name}.toml" settings;
      # Ports below this belong to root (net.ipv4.ip_unprivileged_port_start).
      privileged = settings.serve.port < 1024;
    in
    {
      description = "HLS test origin ${name}";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      wantedBy = lib.optional instance.autoStart "multi-user.target";
      serviceConfig =
        hardening
        // {
          # Ready when playlist and first segment can be fetched; until then a loop may be encoded.
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
          # The media sequence goes on where the last start ended.
          StateDirectory = "hls-origin/${name}";
          Restart = "on-failure";
          RestartSec = 2;
          # nginx takes its limit from the unit's.
          LimitNOFILE = facts.sysctl.origin.limits.nofile;
          TasksMax = "infinity";
          KillMode = "mixed";
          TimeoutStopSec = 30;
        }
        // lib.optionalAttrs privileged {
          AmbientCapabilities = "CAP_NET_BIND_SERVICE";
          CapabilityBoundingSet = "CAP_NET_BIND_SERVICE";
          # A capability in a user namespace of one's own opens no port outside.
          PrivateUsers = false;
        };
    };

  # What an instance listens on.
  portsOf =
    instance:
    lib.filter (port: port != "off" && port != 0) (
      [ instance.resolved.serve.port ] ++ builtins.attrValues instance.resolved.metrics
    );
  ports = lib.concatMap portsOf (builtins.attrValues enabled);
in
{
  options.services.hls-origin = {
    enable = lib.mkEnableOption "the test origin for HTTP Live Streaming";

    package = lib.mkOption {
      type = lib.types.package;
      default = packages.hls-swarm;
      defaultText = lib.literalExpression "hls-swarm of this flake";
      description = "The package that holds {command}`hls-origin`.";
    };

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
      description = "Origins, each the unit {file}`hls-origin-NAME.service`.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions =
      lib.mapAttrsToList (name: _: {
        assertion = builtins.match "[a-zA-Z0-9_-]+" name != null;
        message = "services.hls-origin.instances: \"${name}\" is no name for a unit; use letters, digits, - and _.";
      }) enabled
      ++ lib.mapAttrsToList (name: instance: {
        assertion = !(instance.openFirewall && lib.hasPrefix "127." instance.resolved.serve.listen);
        message = "services.hls-origin.instances.${name}: openFirewall opens a port that only this machine can reach; set settings.serve.listen to \"0.0.0.0\" or \"::\".";
      }) enabled
      ++ [
        {
          assertion = lib.allUnique ports;
          message = "services.hls-origin: two instances share a port; give each a settings.serve.port and settings.metrics of its own.";
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
