# Container images of both programs: layered, without root, and with only the files the programs need.
# They are streamed: `$(nix build --print-out-paths .#swarm-client-container) | podman load`.
{
  pkgs,
  lib,
  facts,
}:
let
  inherit (facts) network;
  inherit (pkgs.hls-swarm) version;

  # The same user and directories as in containers/Dockerfile.
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
      # The directories that the user may write to.
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
  # The program reads STREAM_URL, CLIENTS, RAMP_RATE, VARIANT, METRICS_PORT, LOG_LEVEL and EXTRA_ARGS.
  swarm-client-container = image {
    name = "hls-swarm";
    description = "Load testing of HTTP Live Streaming with real FFmpeg viewers";
    program = lib.getExe pkgs.hls-swarm;
    # Reports with a relative path are written here; mount a volume to keep them.
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
      # Reachable from outside of the container, independently of the profile.
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
