def tuned():
    """Both kernels have the values of the profiles, and `hls-swarm tune check` agrees."""
    for machine, role in ((client, "client"), (origin, "origin")):
        for key, value in SYSCTL[role].items():
            status, found = machine.execute(f"cat /proc/sys/{key.replace('.', '/')}")
            # Keys that this kernel does not have are skipped.
            if status == 0:
                assert found.split() == value.split(), (role, key, found, value)
        only = " ".join(f"--only {key}" for key in SYSCTL[role] if key.startswith(("net.", "vm.")))
        machine.succeed(f"hls-swarm tune check --variant lab {only} --profile {role}")
