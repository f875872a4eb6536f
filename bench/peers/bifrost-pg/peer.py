"""This project on a throw-away PostgreSQL (the wheel that the tests use: make setup-dev)."""
import importlib.util
import os
import subprocess


def peer(home, here, up):
    spec = importlib.util.spec_from_file_location("bifrost_peer", os.path.join(here, "..", "bifrost", "peer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    python, script, cluster = f"{here}/../../../.venv/bin/python", f"{here}/cluster.py", f"{home}/run/postgresql"

    def storage():
        return subprocess.run([python, script, "fresh", cluster], check=True, capture_output=True, text=True).stdout.strip()

    return module.peer(home, here, up, "bifrost-pg", 18202, storage, aux=[[python, script, "serve", cluster]],
                       note="the same on PostgreSQL, one database per start, cluster on the generator's core")
