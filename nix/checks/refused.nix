# Wrong configurations. Each must be rejected, which `check` tests. scripts/check-nix evaluates `evaluated` and
# compares the error with `message`.
{
  pkgs,
  lib,
  hostOf,
  ...
}:
let
  swarm = instance: {
    services.hls-swarm = {
      enable = true;
      instances.a = lib.recursiveUpdate { settings.url = "http://127.0.0.1/stream.m3u8"; } instance;
    };
  };
  origin = instance: {
    services.hls-origin = {
      enable = true;
      instances.a = instance;
    };
  };

  cases = {
    no-stream = {
      module.services.hls-swarm = {
        enable = true;
        instances.a = { };
      };
      message = "services.hls-swarm.instances.a: there is no stream; set settings.url to the URL of a playlist.";
    };
    stream-of-another-kind = {
      module = swarm { settings.url = "rtmp://127.0.0.1/live"; };
      message = "instances.a.settings.url' is not of type";
    };
    unknown-swarm-profile = {
      module = swarm { profile = "gentel"; };
      message = "instances.a.profile' is not of type";
    };
    unknown-scenario = {
      module = swarm { scenario = "progresive"; };
      message = "instances.a.scenario' is not of type";
    };
    no-clients = {
      module = swarm { settings.clients = 0; };
      message = "positive integer";
    };
    unknown-option = {
      module = swarm { clients = 50; };
      message = "The option `services.hls-swarm.instances.a.clients' does not exist";
    };
    firewall-without-a-port = {
      module = swarm {
        settings.metrics = "off";
        openFirewall = true;
      };
      message = "openFirewall has no port to open, because settings.metrics is off.";
    };
    secret-in-the-store = {
      module = swarm { headerFile = pkgs.writeText "headers" "Authorization: secret"; };
      message = "headerFile is in the Nix store, where every user can read it";
    };
    metrics-port-twice = {
      module.imports = [
        (swarm { })
        { services.hls-swarm.instances.b.settings.url = "http://127.0.0.1/b.m3u8"; }
      ];
      message = "two instances share a port for metrics";
    };
    name-that-is-no-unit = {
      module.services.hls-swarm = {
        enable = true;
        instances."a b".settings.url = "http://127.0.0.1/stream.m3u8";
      };
      message = "invalid name";
    };
    time-that-is-none = {
      module = swarm { startAt = 5; };
      message = "instances.a.startAt' is not of type";
    };
    port-that-is-none = {
      module = origin { settings.serve.port = 70000; };
      message = "instances.a.settings.serve.port' is not of type";
    };
    port-twice = {
      module.imports = [
        (origin { })
        { services.hls-origin.instances.b = { }; }
      ];
      message = "two instances share a port; give each a settings.serve.port, settings.serve.tls_port, and settings.metrics of its own.";
    };
    tls-port-twice = {
      module.imports = [
        (origin { settings.serve.tls = true; })
        {
          services.hls-origin.instances.b.settings = {
            serve = {
              port = 8080;
              tls = true;
            };
            metrics = {
              node_port = "off";
              nginx_port = "off";
            };
          };
        }
      ];
      message = "two instances share a port; give each a settings.serve.port, settings.serve.tls_port,";
    };
    firewall-before-loopback = {
      module = origin { openFirewall = true; };
      message = "openFirewall opens a port that only this machine can reach";
    };
    unknown-origin-profile = {
      module = origin { profile = "8k"; };
      message = "instances.a.profile' is not of type";
    };
    unknown-role = {
      module.services.hls-tuning.roles = [ "server" ];
      message = "A definition for option `services.hls-tuning.roles";
    };
    unknown-variant = {
      module.services.hls-tuning = {
        roles = [ "origin" ];
        variant = "reno";
      };
      message = "services.hls-tuning.variant: there is no variant";
    };
    disks-of-a-client = {
      module.services.hls-tuning = {
        roles = [ "client" ];
        disks = true;
      };
      message = "services.hls-tuning.disks is for origins";
    };
    nothing-to-scrape = {
      module.services.hls-dashboards.enable = true;
      message = "services.hls-dashboards: there is nothing to scrape";
    };
  };
in
lib.mapAttrs (
  name: case:
  let
    host = hostOf case.module;
    # Everything that our modules set, because an error may be in any of it.
    evaluated = builtins.toJSON {
      inherit (host.boot.kernel) sysctl;
      inherit (host) networking;
      prometheus = host.services.prometheus.scrapeConfigs or null;
      units = lib.mapAttrs (_: unit: {
        inherit (unit) serviceConfig;
        startAt = unit.startAt or null;
      }) (host.systemd.services or { });
    };
  in
  {
    inherit evaluated;
    inherit (case) message;
    check =
      if (builtins.tryEval evaluated).success then
        throw "eval-refused-${name}: this configuration is wrong but was accepted"
      else
        pkgs.runCommand "eval-refused-${name}" { } "touch $out";
  }
) cases
