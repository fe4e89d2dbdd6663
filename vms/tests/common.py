# What the tests have in common: to run an instance, and to read what both sides have written down.
import json

LOG = "/var/log/hls-origin/main/access.ndjson"


def play(instance):
    """Runs the instance to its end and gives its report, whatever the verdict."""
    unit = f"hls-swarm-{instance}.service"
    client.execute(f"systemctl start {unit}")
    client.wait_until_succeeds(
        f"systemctl show -p ActiveState --value {unit} | grep -qE '^(inactive|failed)$'",
        timeout=300,
    )
    print(client.succeed(f"journalctl --no-pager -u {unit} | tail -n 60"))
    return json.loads(client.succeed(f"cat /var/lib/hls-swarm/{instance}/report.json"))


def answered(agent):
    """Requests in nginx's log by kind: those of viewers with this user agent that got their whole answer."""
    counts = {"manifest": 0, "segment": 0}
    for line in origin.succeed(f"cat {LOG}").splitlines():
        entry = json.loads(line)
        viewer = entry["http_user_agent"].startswith(f"{agent}/client-")
        if viewer and entry["request_completion"] == "OK":
            counts["manifest" if entry["uri"].endswith(".m3u8") else "segment"] += 1
    return counts


def unmet(report):
    return [criterion["name"] for criterion in report["criteria"] if not criterion["met"]]
