def impaired():
    """netem on the side of the origin: all viewers play, and connect times show the delay."""
    before = play("lab")
    origin.succeed("tc qdisc replace dev eth1 root netem delay 50ms 10ms")
    after = play("lab")
    origin.succeed("tc qdisc del dev eth1 root")

    for report in (before, after):
        assert report["viewers"]["played"] == report["target_clients"], report["viewers"]
    fast, slow = (report["latency_seconds"]["connect"]["p50"] for report in (before, after))
    # 50 ms, plus or minus the configured 10 ms.
    assert fast < 0.02 and 0.035 < slow < 0.09, (fast, slow)
