"""This project on a throw-away PostgreSQL (the wheel that the tests use: make setup-dev)."""
import subprocess

from bench.lib.harness import peer_module


def peer(home, here, up):
    python, script, cluster = f"{here}/../../../.venv/bin/python", f"{here}/cluster.py", f"{home}/run/postgresql"

    def storage():
        return subprocess.run([python, script, "fresh", cluster], check=True, capture_output=True, text=True).stdout.strip()

    return peer_module("bifrost").peer(home, here, up, "bifrost-pg", 18202, storage, aux=[[python, script, "serve", cluster]],
                       note="the same on PostgreSQL, one database per start, cluster on the generator's core")
