def counted():
    """Compares the requests in the report and in nginx's log; checks the criteria and the security of the units."""
    agent = "hls-swarm/" + client.succeed("hls-swarm --version").split()[1]
    report = play("lab")
    assert report["verdict"] == "pass", (report["verdict"], unmet(report))
    assert report["source"]["requests"] == "probe", report["source"]
    for kind, logged in answered(agent).items():
        said = report["requests"][kind]
        # At the stop, requests in flight are only in the report. Those that viewers still send are only in the log; the
        # report counts them apart, but for the last one of a viewer that ends with it.
        late = report["requests_after_end"] + report["target_clients"]
        least, most = said - report["in_flight_at_stop"], said + late
        assert least <= logged <= most, (kind, said, logged, least, most)

    for machine, unit in ((client, "hls-swarm-lab"), (origin, "hls-origin-main")):
        machine.succeed(f"systemd-analyze security --threshold=30 --no-pager {unit}.service")
