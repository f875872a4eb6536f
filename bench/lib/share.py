"""A share of a core for each process of a server, kept by the kernel (Linux control groups; needs root).

With it two workers can be given as much as two cores of their own would be to one on its core, on a machine whose other
half the generator needs.
"""
from __future__ import annotations

import contextlib
import os
import time

V1, V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
PERIOD_US = 10_000


class Shares:
    """Every process that is put here gets `share` of a core and no more, and a group of its own."""

    def __init__(self, share):
        self.share, self.groups = share, []

    def hold(self, pids):
        for pid in pids:
            self.groups.append(group(f"bifrost-bench-{pid}", int(self.share * PERIOD_US)))
            put(f"{self.groups[-1]}/cgroup.procs", pid)

    def release(self):
        """Groups are removed once their processes have ended."""
        for path in self.groups:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
                    break
                time.sleep(0.1)
        self.groups = []


def group(name, quota_us):
    try:
        if os.path.exists(f"{V1}/cpu.cfs_quota_us"):
            path = f"{V1}/{name}"
            os.makedirs(path, exist_ok=True)
            put(f"{path}/cpu.cfs_period_us", PERIOD_US)
            put(f"{path}/cpu.cfs_quota_us", quota_us)
        else:
            put(f"{V2}/cgroup.subtree_control", "+cpu")
            path = f"{V2}/{name}"
            os.makedirs(path, exist_ok=True)
            put(f"{path}/cpu.max", f"{quota_us} {PERIOD_US}")
    except OSError as e:
        raise SystemExit(f"--share needs control groups that may be written (root): {e}") from e
    return path


def put(path, value):
    with open(path, "w") as f:
        f.write(str(value))
