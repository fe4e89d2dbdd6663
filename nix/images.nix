# Container images of both programs: layered, without root, without a shell's worth of anything else.
# Built as streams: `$(nix build --print-out-paths .#swarm-client-container) | podman load`.
{
  pkgs,
  lib,
  facts,
}:
let
  inherit (facts) network;
  inherit (pkgs.hls-swarm) version;

  # The numbers and folders of containers/Dockerfile.
  user = 65532;
  seconds = 1000000000;

  image =
    {
      name,
      description,
      program,
      folder,
      environment,
      ports,
      health,
    }:
    pkgs.dockerTools.streamLayeredImage {
      inherit name;
      tag = version;
      contents = [
        pkgs.dockerTools.caCertificates
        (pkgs.dockerTools.fakeNss.override {
          extraPasswdLines = [ "hls:x:${toString user}:${toString user}:hls:${folder}:/noshell" ];
          extraGroupLines = [ "hls:x:${toString user}:" ];
        })
      ];
      # Places to write for a user who owns nothing else.
      fakeRootCommands = ''
        install -d -m 1777 tmp
        install -d -o ${toString user} -g ${toString user} .${folder}
      '';
      config = {
        Entrypoint = [ program ];
        User = "${toString user}:${toString user}";
        WorkingDir = folder;
        Env = [
          "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt"
          "HOME=${folder}"
        ]
        ++ environment;
        ExposedPorts = lib.listToAttrs (map (port: lib.nameValuePair "${toString port}/tcp" { }) ports);
        Healthcheck = {
          Test = [
            "CMD"
            program
            "health"
          ];
          Timeout = 4 * seconds;
          Retries = 3;
        }
        // health;
        StopSignal = "SIGTERM";
        Labels = {
          "org.opencontainers.image.title" = name;
          "org.opencontainers.image.description" = description;
          "org.opencontainers.image.version" = version;
          "org.opencontainers.image.licenses" = "MIT";
        };
      };
    };
in
{
  # STREAM_URL, CLIENTS, RAMP_RATE, VARIANT, METRICS_PORT, LOG_LEVEL and EXTRA_ARGS are the program's.
  swarm-client-container = image {
    name = "hls-swarm";
    description = "Load testing of HTTP Live Streaming with real FFmpeg viewers";
    program = lib.getExe pkgs.hls-swarm;
    # Reports with a relative name land here; mount a volume to keep them.
    folder = "/reports";
    environment = [ "METRICS_PORT=${toString network.metrics_port}" ];
    ports = [ network.metrics_port ];
    health = {
      Interval = 5 * seconds;
      StartPeriod = 20 * seconds;
    };
  };

  # Mount a tmpfs on /run/hls-origin.
  test-origin-container = image {
    name = "hls-origin";
    description = "Test origin for HTTP Live Streaming: FFmpeg and nginx";
    program = lib.getExe' pkgs.hls-swarm "hls-origin";
    folder = "/run/hls-origin";
    environment = [
      # From outside the container, whatever the profile says.
      "HLS_ORIGIN_LISTEN=0.0.0.0"
      "HLS_ORIGIN_PORT=${toString network.stream_port}"
      "HLS_ORIGIN_DIR=/run/hls-origin"
      "HLS_ORIGIN_CACHE_DIR=/run/hls-origin"
    ];
    ports = [
      network.stream_port
      network.node_port
      network.nginx_port
    ];
    health = {
      Interval = 2 * seconds;
      StartPeriod = 60 * seconds;
    };
  };
}
