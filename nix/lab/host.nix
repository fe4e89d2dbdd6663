# A NixOS host with every kind of instance; vms/units/nixos runs its units.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  # A stream that one busy processor can encode.
  small.video = {
    size = "320x180";
    fps = 15;
    bitrate_kbps = 300;
    max_bitrate_kbps = 330;
    preset = "ultrafast";
  };
  without-exporters.metrics = {
    node_port = "off";
    nginx_port = "off";
  };
  url = "http://127.0.0.1:${toString config.services.hls-origin.instances.main.resolved.serve.port}/stream.m3u8";
  viewers = settings: {
    settings = {
      inherit url;
      clients = 3;
      duration = "15s";
      metrics = "off";
    }
    // settings;
  };
in
{
  boot.loader.grub.enable = false;
  fileSystems."/".device = "/dev/vda";
  system.stateVersion = lib.trivial.release;
  documentation.enable = false;

  services.hls-tuning = {
    roles = [
      "client"
      "origin"
    ];
    disks = true;
  };

  services.hls-origin = {
    enable = true;
    instances = {
      main = {
        profile = "low-latency";
        settings = small // {
          serve.listen = "0.0.0.0";
          log.access = "all";
        };
        openFirewall = true;
      };
      # Ports that belong to root.
      low = {
        settings = small // without-exporters // { serve.port = 80; };
        autoStart = false;
      };
      tls = {
        settings =
          small
          // without-exporters
          // {
            serve = {
              port = 8080;
              tls = true;
              tls_port = 443;
            };
          };
        autoStart = false;
      };
      live = {
        settings =
          small
          // without-exporters
          // {
            encoder.mode = "live";
            serve.port = 8081;
          };
        autoStart = false;
      };
    };
  };

  services.hls-swarm = {
    enable = true;
    instances = {
      secret =
        viewers {
          clients = 5;
          duration = "20s";
          user_agent = "secret";
          reports = [
            "report.json"
            "report.html"
            "junit.xml"
          ];
        }
        // {
          headerFile = "/run/secrets/headers";
        };
      full = viewers {
        ffmpeg = lib.getExe pkgs.ffmpeg-headless;
        user_agent = "full";
      };
      native = viewers {
        engine = "native";
        clients = 20;
        user_agent = "native";
      };
      scenario = (viewers { user_agent = "scenario"; }) // {
        scenario = "lab";
      };
      long = viewers { duration = "10m"; };
      # More than the limits of a container allow.
      big = viewers { clients = 2000; } // {
        profile = "stress";
        startAt = "daily";
      };
    };
  };
}
