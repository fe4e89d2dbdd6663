# Both images in podman: without root, with the documented environment, and with the same verdict and exit codes as
# outside of a container.
{
  pkgs,
  facts,
  packages,
  ...
}:
let
  inherit (packages) swarm-client-container test-origin-container;
  name = image: "localhost/${image.imageName}:${image.imageTag}";
in
{
  nodes.host = {
    virtualisation = {
      cores = 2;
      memorySize = 2048;
      diskSize = 4096;
      podman.enable = true;
    };
    documentation.enable = false;
    environment.systemPackages = [ pkgs.curl ];
  };

  testScript = ''
    import json

    SWARM = "${name swarm-client-container}"
    ORIGIN = "${name test-origin-container}"
    URL = "http://127.0.0.1:${toString facts.network.stream_port}"

    host.wait_for_unit("multi-user.target")
    for image in ("${swarm-client-container}", "${test-origin-container}"):
        host.succeed(f"podman load <{image}")
    for image in (SWARM, ORIGIN):
        user = host.succeed(f"podman image inspect --format '{{{{.User}}}}' {image}").strip()
        assert user and not user.startswith(("0", "root")), (image, user)

    host.succeed(f"podman run --detach --tmpfs /run/hls-origin:mode=1777 --name origin --network host {ORIGIN} --profile low-latency")
    host.wait_until_succeeds(f"curl --fail --silent {URL}/health", timeout=300)

    host.succeed("mkdir -m 1777 /tmp/reports")
    host.succeed(
        "podman run --rm --network host --volume /tmp/reports:/reports"
        f" --env CLIENTS=3 --env STREAM_URL={URL}/stream.m3u8"
        f" --env EXTRA_ARGS='--duration 20s --report /reports/run.json' {SWARM}"
    )
    report = json.loads(host.succeed("cat /tmp/reports/run.json"))
    assert (report["verdict"], report["target_clients"]) == ("pass", 3), report["verdict"]

    # A configuration error has its own exit code.
    status, _ = host.execute(f"podman run --rm {SWARM} rtmp://127.0.0.1/live")
    assert status == 2, status
    host.succeed("podman stop --time 20 origin")
  '';
}
