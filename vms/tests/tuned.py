def tuned():
    """Both kernels hold what the profiles say, and the program that checks hosts agrees."""
    for machine, role in ((client, "client"), (origin, "origin")):
        for key, value in SYSCTL[role].items():
            status, found = machine.execute(f"cat /proc/sys/{key.replace('.', '/')}")
            # A key that this kernel lacks is skipped.
            if status == 0:
                assert found.split() == value.split(), (role, key, found, value)
        machine.succeed(f"hls-swarm tune check --variant lab --only net. --only vm. --profile {role}")
