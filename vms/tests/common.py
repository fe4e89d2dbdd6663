# Helpers for the tests: run an instance, and read the results of both sides.
import json

LOG = "/var/log/hls-origin/main/access.ndjson"


def play(instance):
    """Runs the instance to its end, and returns its report for any verdict."""
    unit = f"hls-swarm-{instance}.service"
    client.execute(f"systemctl start {unit}")
    client.wait_until_succeeds(
        f"systemctl show -p ActiveState --value {unit} | grep -qE '^(inactive|failed)$'",
        timeout=300,
    )
    print(client.succeed(f"journalctl --no-pager -u {unit} | tail -n 60"))
    return json.loads(client.succeed(f"cat /var/lib/hls-swarm/{instance}/report.json"))


def answered(agent):
    """Counts the completed requests of viewers with this user agent in nginx's access log, by kind."""
    counts = {"manifest": 0, "segment": 0}
    for line in origin.succeed(f"cat {LOG}").splitlines():
        entry = json.loads(line)
        viewer = entry["http_user_agent"].startswith(f"{agent}/client-")
        if viewer and entry["request_completion"] == "OK":
            counts["manifest" if entry["uri"].endswith(".m3u8") else "segment"] += 1
    return counts


def unmet(report):
    return [criterion["name"] for criterion in report["criteria"] if not criterion["met"]]
