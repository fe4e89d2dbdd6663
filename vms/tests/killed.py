def killed():
    """SIGKILL of the origin: systemd restarts it, no process is left over, and viewers reconnect."""
    client.succeed("systemctl start --no-block hls-swarm-long.service")
    # All viewers are running before the kill.
    client.wait_until_succeeds("test $(pgrep -c -f hls-viewer-ffmpeg) -ge 10")
    pid = origin.succeed("systemctl show -p MainPID --value hls-origin-main.service").strip()
    origin.succeed(f"kill -KILL {pid}")
    origin.wait_until_succeeds(
        f"systemctl show -p MainPID --value hls-origin-main.service | grep -vxE '0|{pid}'"
    )
    origin.wait_for_unit("hls-origin-main.service")
    # One master process, and a worker for each of two CPUs.
    origin.succeed("test $(pgrep -c -x nginx) -le 3")

    report = play("long")
    assert report["errors"]["connect"] + report["errors"]["broken"] > 0, report["errors"]
    assert report["playing_at_end"] == report["target_clients"], report["playing_at_end"]
