def counted():
    """Requests by the report and by nginx, the criteria, and how narrow the units are."""
    agent = "hls-swarm/" + client.succeed("hls-swarm --version").split()[1]
    report = play("lab")
    assert report["verdict"] == "pass", (report["verdict"], unmet(report))
    assert report["source"]["requests"] == "probe", report["source"]
    for kind, logged in answered(agent).items():
        said = report["requests"][kind]
        # What was under way at the stop is in one of the two accounts only.
        assert abs(said - logged) <= report["in_flight_at_stop"], (kind, said, logged)

    for machine, unit in ((client, "hls-swarm-lab"), (origin, "hls-origin-main")):
        machine.succeed(f"systemd-analyze security --threshold=30 --no-pager {unit}.service")
