# services.hls-dashboards: Prometheus with alerts and Grafana for the programs on this machine. The rules and the dashboard
# are in observability/, generated from the programs' own table of metrics.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.hls-dashboards;
  facts = import ../nix/profiles.nix;
  rules = ../observability/prometheus-rules.yml;
  dashboard = ../observability/grafana-dashboard.json;

  swarm = config.services.hls-swarm or { enable = false; };
  local = lib.optionals swarm.enable (
    lib.concatLists (
      lib.mapAttrsToList (
        _: instance:
        lib.optional (
          instance.enable && instance.metricsPort != null
        ) "127.0.0.1:${toString instance.metricsPort}"
      ) swarm.instances
    )
  );
  prometheus = config.services.prometheus;
in
{
  options.services.hls-dashboards = {
    enable = lib.mkEnableOption "Prometheus and Grafana for load tests";

    swarms = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = local;
      defaultText = lib.literalMD "the instances of {option}`services.hls-swarm` on this machine";
      example = [ "generator.example:1234" ];
      description = "The load generators to scrape, as `HOST:PORT`.";
    };

    origins = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "10.0.0.8" ];
      description = "Hosts of test origins, whose node and nginx metrics are scraped.";
    };

    grafana = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether to set up Grafana with the dashboard.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.swarms != [ ] || cfg.origins != [ ];
        message = "services.hls-dashboards: there is nothing to scrape; add an instance of services.hls-swarm, or set services.hls-dashboards.swarms or origins.";
      }
    ];

    services.prometheus = {
      enable = true;
      scrapeConfigs =
        lib.optional (cfg.swarms != [ ]) {
          job_name = "hls-swarm";
          # Runs and ramps can be short.
          scrape_interval = "2s";
          static_configs = [ { targets = cfg.swarms; } ];
        }
        ++ lib.optional (cfg.origins != [ ]) {
          job_name = "hls-origin";
          scrape_interval = "5s";
          static_configs = [
            {
              targets = lib.concatMap (
                host:
                map (port: "${host}:${toString port}") (
                  with facts.network;
                  [
                    node_port
                    nginx_port
                  ]
                )
              ) cfg.origins;
            }
          ];
        };
      ruleFiles = [ rules ];
    };

    services.grafana = lib.mkIf cfg.grafana {
      enable = true;
      provision = {
        enable = true;
        datasources.settings.datasources = [
          {
            name = "Prometheus";
            type = "prometheus";
            uid = "prometheus";
            access = "proxy";
            url = "http://127.0.0.1:${toString prometheus.port}";
            isDefault = true;
          }
        ];
        dashboards.settings.providers = [
          {
            name = "hls-swarm";
            options.path = pkgs.linkFarm "hls-swarm-dashboards" [
              {
                name = "hls-swarm.json";
                path = dashboard;
              }
            ];
          }
        ];
      };
    };
  };
}
