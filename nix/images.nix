# Container images of both programs: layered, without root, and with only the files the programs need.
# NAME is an archive, `podman load <$(nix build --print-out-paths .#NAME)`; NAME-stream is a script that writes the
# same archive without storing it, `$(nix build --print-out-paths .#NAME-stream) | podman load`.
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
    variants (
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
        # The directories that the user may write to. A tmpfs that is mounted there takes over the mode but not the
        # owner of the directory, so everybody may write to it, as to /tmp.
        fakeRootCommands = ''
          install -d -m 1777 tmp
          install -d -m 1777 -o ${toString user} -g ${toString user} .${folder}
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
      }
    );

  # The image as a script that writes it, and as an archive. Both have the tags VERSION and latest.
  variants =
    image:
    let
      stream = pkgs.writeShellScript "stream-${image.imageName}" ''
        ${image} | ${lib.getExe pkgs.python3Minimal} ${./tag-latest.py}
      '';
    in
    {
      inherit stream;
      archive =
        pkgs.runCommand "${image.imageName}-${image.imageTag}.tar.gz"
          {
            passthru = { inherit (image) imageName imageTag; };
          }
          ''
            ${stream} | gzip --no-name --fast >$out
          '';
    };

  # { NAME = { archive; stream; }; }
  images = {
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
      program = lib.getExe pkgs.hls-origin;
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
  };
in
lib.mapAttrs (_: image: image.archive) images
// lib.mapAttrs' (name: image: lib.nameValuePair "${name}-stream" image.stream) images
