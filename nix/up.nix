# The script of `nix run .#up`: runs the origin with a profile as a process, a container or a machine.
{
  lib,
  facts,
  packages,
  origin,
}:
let
  profiles = builtins.attrNames facts.origin.profiles;
  port = toString facts.network.stream_port;
  image = packages.test-origin-container;
  machine = profile: if profile == "default" then "test-origin-vm" else "test-origin-vm-${profile}";
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
      ${image} | "$engine" load
      exec "$engine" run --rm --tmpfs /run/hls-origin:mode=1777 --publish 127.0.0.1:${port}:${port} ${image.imageName}:${image.imageTag} --profile "$profile"
      ;;
    vm)
      case $profile in
  ${
    lib.concatMapStrings (
      profile: "      ${profile}) exec ${packages.${machine profile}}/bin/microvm-run ;;\n"
    ) profiles
  }    esac
      ;;
    *)
      echo "error: invalid argument $how: expected runner, container or vm" >&2
      exit 2
      ;;
  esac
''
