# Compares evaluated values with the expected ones. A difference fails the evaluation, so nothing needs to be built.
{
  pkgs,
  lib,
  facts,
  machines,
  hostOf,
  ...
}:
let
  inherit (facts) network;

  # { name = { value; expected; }; }
  compare =
    name: values:
    let
      wrong = lib.filterAttrs (_: pair: pair.value != pair.expected) values;
      difference =
        what: pair: "${what}: ${builtins.toJSON pair.value}, expected ${builtins.toJSON pair.expected}";
    in
    if wrong == { } then
      pkgs.runCommand "eval-${name}" { } "touch $out"
    else
      throw "eval-${name}: ${lib.concatStringsSep "; " (lib.mapAttrsToList difference wrong)}";

  swarm = (
    hostOf {
      services.hls-swarm = {
        enable = true;
        instances = {
          evening = {
            profile = "stress";
            settings = {
              url = "https://cdn.example/live.m3u8";
              clients = 1000;
              thresholds = [ "error_rate<0.1%" ];
            };
            headerFile = "/run/secrets/headers";
            openFirewall = true;
            startAt = "daily";
          };
          quiet = {
            scenario = "spike";
            settings = {
              url = "http://127.0.0.1/stream.m3u8";
              metrics = "off";
            };
          };
          off = {
            enable = false;
          };
        };
      };
    }
  );
  evening = swarm.systemd.services.hls-swarm-evening;

  origin = (
    hostOf {
      services.hls-origin = {
        enable = true;
        instances = {
          main = {
            settings.serve.listen = "0.0.0.0";
            openFirewall = true;
          };
          second = {
            profile = "low-latency";
            settings = {
              metrics.node_port = "off";
              metrics.nginx_port = "off";
              serve.port = 80;
              segment_seconds = 3;
            };
          };
        };
      };
    }
  );

  encrypted = (
    hostOf {
      services.hls-origin = {
        enable = true;
        instances.main = {
          settings.serve = {
            listen = "0.0.0.0";
            tls = true;
            tls_port = 443;
          };
          openFirewall = true;
        };
      };
    }
  );

  # A service that is enabled without an instance runs nothing, which is a warning.
  empty =
    (hostOf {
      services.hls-swarm.enable = true;
      services.hls-origin.enable = true;
    }).warnings;

  tuned =
    roles: variant:
    (hostOf {
      services.hls-tuning = { inherit roles variant; };
      boot.kernel.sysctl."vm.swappiness" = 42;
    }).boot.kernel.sysctl;
  text = value: if value == null then null else toString value;

  dashboards =
    (hostOf {
      services.hls-swarm = {
        enable = true;
        instances.a.settings.url = "http://127.0.0.1/stream.m3u8";
      };
      services.hls-dashboards = {
        enable = true;
        origins = [ network.origin_address ];
      };
    }).services;
in
{
  swarm = compare "swarm" {
    profile-and-settings = {
      value = {
        inherit (swarm.services.hls-swarm.instances.evening.resolved) clients ramp_rate thresholds;
      };
      expected = {
        inherit (facts.swarm.profiles.stress) ramp_rate;
        clients = 1000;
        thresholds = [ "error_rate<0.1%" ];
      };
    };
    limit-follows-stages = {
      value = swarm.systemd.services.hls-swarm-quiet.serviceConfig.LimitNOFILE;
      expected =
        (facts.swarm.derive {
          clients = lib.foldl' lib.max 0 (map (stage: stage.clients) facts.scenario.profiles.spike.stage);
        }).open_files_limit;
    };
    limit-follows-clients = {
      value = evening.serviceConfig.LimitNOFILE;
      expected = (facts.swarm.derive { clients = 1000; }).open_files_limit;
    };
    secret-by-credential = {
      value = evening.serviceConfig.LoadCredential;
      expected = [ "headers:/run/secrets/headers" ];
    };
    firewall-only-on-request = {
      value = swarm.networking.firewall.allowedTCPPorts;
      expected = [ network.metrics_port ];
    };
    not-with-the-machine = {
      value = evening.wantedBy;
      expected = [ ];
    };
    disabled-instances-are-none = {
      value = lib.filter (lib.hasPrefix "hls-swarm") (builtins.attrNames swarm.systemd.services);
      expected = [
        "hls-swarm-evening"
        "hls-swarm-quiet"
      ];
    };
  };

  origin = compare "origin" {
    firewall-only-on-request = {
      value = origin.networking.firewall.allowedTCPPorts;
      expected = [
        network.node_port
        network.nginx_port
        facts.origin.profiles.default.serve.port
      ];
    };
    ready-means-ready = {
      value = origin.systemd.services.hls-origin-main.serviceConfig.Type;
      expected = "notify";
    };
    capability-below-1024-only = {
      value = lib.mapAttrs (_: service: service.serviceConfig.CapabilityBoundingSet) {
        inherit (origin.systemd.services) hls-origin-main hls-origin-second;
      };
      expected = {
        hls-origin-main = "";
        hls-origin-second = "CAP_NET_BIND_SERVICE";
      };
    };
    tls-port = {
      value = {
        firewall = encrypted.networking.firewall.allowedTCPPorts;
        capability = encrypted.systemd.services.hls-origin-main.serviceConfig.AmbientCapabilities;
      };
      expected = {
        firewall = lib.sort lib.lessThan [
          443
          network.node_port
          network.nginx_port
          facts.origin.profiles.default.serve.port
        ];
        capability = "CAP_NET_BIND_SERVICE";
      };
    };
    warns-without-an-instance = {
      value = lib.length empty;
      expected = 2;
    };
    settings-over-profile-over-default = {
      value = {
        inherit (origin.services.hls-origin.instances.second.resolved)
          segment_seconds
          list_size
          delete_threshold
          ;
      };
      expected = {
        segment_seconds = 3;
        inherit (facts.origin.profiles.low-latency) list_size;
        inherit (facts.origin.profiles.default) delete_threshold;
      };
    };
  };

  tuning = compare "tuning" (
    {
      user-goes-first = {
        value = (tuned [ "origin" ] null)."vm.swappiness";
        expected = 42;
      };
      variant = {
        value = (tuned [ "origin" ] "bbr")."net.ipv4.tcp_congestion_control";
        expected = facts.sysctl.origin.variant.bbr.key."net.ipv4.tcp_congestion_control".value;
      };
      origin-over-client = {
        value =
          text
            (tuned [
              "client"
              "origin"
            ] null)."net.ipv4.tcp_fastopen";
        expected = facts.sysctl.origin.key."net.ipv4.tcp_fastopen".value;
      };
    }
    // lib.mapAttrs' (
      role: profile:
      let
        set = tuned [ role ] null;
        kernel = pkgs.linuxPackages.kernel.version;
        known = lib.filterAttrs (
          name: key: name != "vm.swappiness" && lib.versionAtLeast kernel (key.since or "0")
        ) profile.key;
        # systemd raises these at boot; a value here would lower them.
        expected = key: if key.raised_by_systemd or false then null else key.value;
      in
      lib.nameValuePair "every-key-of-${role}" {
        value = lib.mapAttrs (name: _: text (set.${name} or null)) known;
        expected = lib.mapAttrs (_: expected) known;
      }
    ) facts.sysctl
  );

  dashboards = compare "dashboards" {
    targets = {
      value = map (job: (builtins.head job.static_configs).targets) dashboards.prometheus.scrapeConfigs;
      expected = [
        [ "127.0.0.1:${toString network.metrics_port}" ]
        [
          "${network.origin_address}:${toString network.node_port}"
          "${network.origin_address}:${toString network.nginx_port}"
        ]
      ];
    };
    rules-are-the-project's = {
      value = map toString dashboards.prometheus.ruleFiles;
      expected = [ (toString ../../observability/prometheus-rules.yml) ];
    };
    grafana-reads-prometheus = {
      value = map (source: source.url) dashboards.grafana.provision.datasources.settings.datasources;
      expected = [ "http://127.0.0.1:${toString dashboards.prometheus.port}" ];
    };
  };

  machines = compare "machines" {
    client = {
      value = map (interface: {
        inherit (interface) type mac id;
      }) machines.swarm-client-microvm.config.microvm.interfaces;
      expected = [
        {
          type = "tap";
          mac = network.client_mac;
          id = network.client_tap;
        }
      ];
    };
    client-without-the-bridge = {
      value = {
        types = map (interface: interface.type) machines.swarm-client-vm.config.microvm.interfaces;
        forwards = map (forward: forward.host.port) machines.swarm-client-vm.config.microvm.forwardPorts;
      };
      expected = {
        types = [ "user" ];
        forwards = [
          network.client_metrics_forward
          network.client_ssh_forward
        ];
      };
    };
    forwards = {
      value = lib.listToAttrs (
        map (
          forward: lib.nameValuePair (toString forward.host.port) forward.guest.port
        ) machines.test-origin-vm.config.microvm.forwardPorts
      );
      expected = with network; {
        ${toString origin_stream_forward} = stream_port;
        ${toString origin_node_forward} = node_port;
        ${toString origin_nginx_forward} = nginx_port;
        ${toString origin_ssh_forward} = ssh_port;
      };
    };
    one-for-each-profile = {
      value = lib.length (lib.filter (lib.hasPrefix "test-origin-vm") (builtins.attrNames machines));
      expected = lib.length (builtins.attrNames facts.origin.profiles);
    };
  };
}
