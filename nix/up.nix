# The script of `nix run .#up`: runs the origin with a profile as a process, a container or a machine.
{
  lib,
  facts,
  packages,
  origin,
  flake,
}:
let
  profiles = builtins.attrNames facts.origin.profiles;
  port = toString facts.network.stream_port;
  image = packages.test-origin-container;
in
''
  profile=''${1:-default} how=''${2:-runner}
  case $profile in
    ${lib.concatStringsSep " | " profiles}) ;;
    *)
      echo "error: there is no profile $profile; the profiles are: ${lib.concatStringsSep ", " profiles}" >&2
      exit 2
      ;;
  esac
  case $how in
    runner) exec ${origin} --profile "$profile" ;;
    container)
      engine=$(command -v podman || command -v docker) || {
        echo "error: neither podman nor docker is installed" >&2
        exit 3
      }
      "$engine" load <${image}
      exec "$engine" run --rm --tmpfs /run/hls-origin:mode=1777 --publish 127.0.0.1:${port}:${port} ${image.imageName}:${image.imageTag} --profile "$profile"
      ;;
    vm)
      # Evaluated only now: each machine is a whole NixOS.
      if [ "$profile" = default ]; then machine=test-origin-vm; else machine=test-origin-vm-$profile; fi
      exec nix run "${flake}#$machine"
      ;;
    *)
      echo "error: invalid argument $how: expected runner, container or vm" >&2
      exit 2
      ;;
  esac
''
