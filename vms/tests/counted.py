def counted():
    """Compares the requests in the report and in nginx's log; checks the criteria and the security of the units."""
    agent = "hls-swarm/" + client.succeed("hls-swarm --version").split()[1]
    report = play("lab")
    assert report["verdict"] == "pass", (report["verdict"], unmet(report))
    assert report["source"]["requests"] == "probe", report["source"]
    for kind, logged in answered(agent).items():
        said = report["requests"][kind]
        # Requests that were in flight at the stop may be counted on one side only.
        assert abs(said - logged) <= report["in_flight_at_stop"], (kind, said, logged)

    for machine, unit in ((client, "hls-swarm-lab"), (origin, "hls-origin-main")):
        machine.succeed(f"systemd-analyze security --threshold=30 --no-pager {unit}.service")
