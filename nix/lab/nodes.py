#!/usr/bin/env python3
"""Runs the script of a NixOS test against containers instead of machines.

Each node is a system of Debian packages with systemd as PID 1, on a bridge, with the units and kernel settings that
NixOS has rendered for that node (nix/lab/default.nix) and programs from the Nix store. Called by scripts/nix-build
in a network and a mount namespace of its own.

usage: nodes.py ROOT STORE NODES WORK [TEST...]
  ROOT   system that is copied for each node    STORE  root of the Nix store, below which are
  NODES  the link farm of the test              WORK   directory of the copies
  TEST   functions of the test to run           [all]

A container has the kernel of its host: the test expects only the settings that a network namespace may have, which the
output counts. Netem works where that kernel has it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

base, store, nodes, work = (pathlib.Path(word) for word in sys.argv[1:5])
wanted = sys.argv[5:]
BRIDGE = "br0"
SUBNET = "10.177.0"


def outside(path):
    """Where a path of the store is on this machine."""
    return store / str(path).lstrip("/")


def resolved(path):
    """Follows the links of a path in the store."""
    while outside(path).is_symlink():
        path = pathlib.Path(os.path.join(os.path.dirname(path), os.readlink(outside(path))))
    return path


def in_store(path):
    return outside(resolved(path))


def entries(folder):
    return sorted(in_store(folder).iterdir())


def run(*command):
    subprocess.run(command, check=True)


class Machine:
    """The part of the driver of NixOS tests that our scripts use."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.files = resolved(nodes / name)
        self.root = work / name
        self.process = None
        self.leader = None

    def prepare(self):
        shutil.rmtree(self.root, ignore_errors=True)
        run("cp", "-a", "--reflink=auto", base, self.root)
        for unit in entries(self.files / "units"):
            (self.root / "etc/systemd/system" / unit.name).symlink_to(resolved(self.files / "units" / unit.name))
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        hosts = "".join(f"{machine.address} {machine.name}\n" for machine in machines)
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{hosts}")

    def start(self):
        self.prepare()
        console = open(work / f"{self.name}.console", "w")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}", "--register=no",
             "--keep-unit", f"--network-bridge={BRIDGE}", f"--bind-ro={store}/nix:/nix", "--capability=all",
             "--system-call-filter=@default", "--boot"],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        end = time.monotonic() + 120
        while True:
            children = subprocess.run(["pgrep", "-P", str(self.process.pid)], text=True, capture_output=True).stdout.split()
            self.leader = children[0] if children else None
            if self.leader and self.execute("systemctl is-system-running --wait")[0] in (0, 1):
                break
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} has not booted; see {console.name}")
            time.sleep(0.5)
        self.succeed(
            "ip link set lo up; ip link set host0 down; ip link set host0 name eth1;"
            f" ip address add {self.address}/24 dev eth1; ip link set eth1 up"
        )
        self.tune()
        self.succeed("systemctl daemon-reload")
        for unit in in_store(self.files / "enabled").read_text().split():
            self.succeed(f"systemctl start --no-block {unit}")

    def tune(self):
        """Makes the settings that belong to a network namespace. The test expects no others."""
        expected = scope["SYSCTL"][self.name]
        total = len(expected)
        for line in in_store(self.files / "sysctl.conf").read_text().splitlines():
            key, _, value = line.partition("=")
            if key.startswith("net."):
                self.execute(f"sysctl -q -w '{line}'")
            status, found = self.execute(f"cat /proc/sys/{key.replace('.', '/')}")
            if not key.startswith("net.") or (status == 0 and found.split() != value.split()):
                expected.pop(key, None)
        print(f"{self.name}: {len(expected)} of {total} kernel settings; the others belong to the machine", flush=True)

    def execute(self, command, timeout=900):
        done = subprocess.run(
            ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
             "--wd", "env", "-i", f"PATH={self.files}/programs/bin:/usr/bin:/usr/sbin", "HOME=/root", "bash", "-c", command],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
        )
        return done.returncode, done.stdout

    def succeed(self, command):
        status, output = self.execute(command)
        if status:
            raise AssertionError(f"{self.name}: `{command}` failed ({status}): {output[-1500:]}")
        return output

    def wait_until_succeeds(self, command, timeout=900):
        end = time.monotonic() + timeout
        while self.execute(command)[0]:
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: `{command}` did not succeed within {timeout} s")
            time.sleep(1)

    def wait_for_unit(self, unit, timeout=300):
        end = time.monotonic() + timeout
        while (state := self.execute(f"systemctl show -p ActiveState --value {unit}")[1].strip()) != "active":
            if state == "failed" or time.monotonic() > end:
                journal = self.execute(f"journalctl --no-pager -u {unit} | tail -n 20")[1]
                raise AssertionError(f"{self.name}: {unit} is {state}: {journal}")
            time.sleep(0.5)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(Exception):
            self.execute("systemctl poweroff", timeout=10)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()


results = {}


@contextlib.contextmanager
def subtest(name):
    """Unlike in NixOS, the tests after a failed one run as well."""
    began = time.monotonic()
    try:
        yield
        results[name] = "passed"
    except Exception as error:
        results[name] = f"FAILED: {type(error).__name__}: {error}"
    print(f"{results[name]}: {name} ({time.monotonic() - began:.0f} s)", flush=True)


def has_netem():
    """Tries it on the bridge, which still has no traffic."""
    netem = ["tc", "qdisc", "replace", "dev", BRIDGE, "root", "netem", "delay", "1ms"]
    if subprocess.run(netem, capture_output=True).returncode:
        return False
    run("tc", "qdisc", "delete", "dev", BRIDGE, "root")
    return True


run("ip", "link", "set", "lo", "up")
run("ip", "link", "add", BRIDGE, "type", "bridge")
run("ip", "address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
run("ip", "link", "set", BRIDGE, "up")

script = in_store(nodes / "script.py").read_text()
tests = re.findall(r"^with subtest\(.*\):\n    (\w+)\(\)$", script, flags=re.MULTILINE)
unknown = set(wanted) - set(tests)
if unknown:
    sys.exit(f"error: there is no test {', '.join(unknown)}; the tests are {', '.join(tests)}")
left_out = {test: "not asked for" for test in tests if wanted and test not in wanted}
if "impaired" in tests and not has_netem():
    left_out["impaired"] = "this kernel has no netem"
for test, reason in left_out.items():
    print(f"NOT RUN: {test} ({reason})")
    script = re.sub(rf"^with subtest\(.*\):\n    {test}\(\)$", "", script, flags=re.MULTILINE)

names = [entry.name for entry in entries(nodes) if entry.name != "script.py"]
machines = [Machine(name, f"{SUBNET}.{10 * place}") for place, name in enumerate(names, start=1)]
scope = {machine.name: machine for machine in machines}
scope |= {"subtest": subtest, "start_all": lambda: [machine.start() for machine in machines]}
try:
    exec(compile(script, "testScript", "exec"), scope)
finally:
    for machine in machines:
        machine.stop()
passed = sum(result == "passed" for result in results.values())
print(f"nodes: {passed} passed, {len(results) - passed} failed")
sys.exit(passed != len(results) or not results)
