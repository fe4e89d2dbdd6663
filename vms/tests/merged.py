def merged():
    """Two instances play at the same time; the merged report has the sum of both."""
    client.succeed("systemctl start --no-block hls-swarm-second.service")
    parts = [play("lab"), play("second")]
    folder = "/var/lib/hls-swarm"
    client.execute(
        f"hls-swarm report merge {folder}/lab/report.json {folder}/second/report.json --report /tmp/all.json"
    )
    merged_report = json.loads(client.succeed("cat /tmp/all.json"))
    for kind in ("manifest", "segment"):
        assert merged_report["requests"][kind] == sum(part["requests"][kind] for part in parts), kind
    assert merged_report["target_clients"] == sum(part["target_clients"] for part in parts)
