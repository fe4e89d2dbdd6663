# Boots the origin and the client of the lab as microVMs on the bridge; the client runs its scenario. Only its report
# remains. The exit code is that of the run.
{
  pkgs,
  facts,
  runners,
}:
let
  inherit (facts) network;
  health = "http://${network.origin_address}:${toString network.stream_port}/health";
in
pkgs.writeShellApplication {
  name = "lab-pair";
  runtimeInputs = [
    pkgs.coreutils
    pkgs.curl
    pkgs.iproute2
  ];
  text = ''
    ip link show dev ${network.bridge} >/dev/null 2>&1 || {
      printf 'error: there is no bridge ${network.bridge}\n  help: run: sudo scripts/network setup\n' >&2
      exit 3
    }
    folder=''${1:-lab-pair}
    mkdir -p "$folder/origin" "$folder/client/share"
    folder=$(realpath "$folder")
    rm -f "$folder"/client/share/{report.json,report.html,exit-code}

    (cd "$folder/origin" && exec ${runners.test-origin-vm-tap}/bin/microvm-run) \
      >"$folder/origin/console.log" 2>&1 </dev/null &
    origin=$!
    trap 'kill "$origin" 2>/dev/null || true; wait "$origin" 2>/dev/null || true' EXIT

    # The first start encodes the loop, which takes some time on few CPUs.
    for _ in $(seq 300); do
      kill -0 "$origin" 2>/dev/null || {
        echo "error: the machine of the origin has ended; see $folder/origin/console.log" >&2
        exit 3
      }
      curl --silent --fail --max-time 1 --output /dev/null ${health} && break
      sleep 1
    done

    (cd "$folder/client" && exec ${runners.swarm-client-microvm}/bin/microvm-run) \
      >"$folder/client/console.log" 2>&1 </dev/null
    [ -s "$folder/client/share/exit-code" ] || {
      echo "error: the client has no verdict; see $folder/client/console.log" >&2
      exit 1
    }
    echo "lab-pair: $folder/client/share/report.json"
    exit "$(cat "$folder/client/share/exit-code")"
  '';
}
