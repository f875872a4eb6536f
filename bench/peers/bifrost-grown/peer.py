"""This project on SQLite with a million sessions in it (fill.py). Beside `bifrost` it shows what growth costs."""
import os
import shutil
import subprocess

from bench.lib.harness import peer_module


def fill(here, config):
    print("  filling a database with a million sessions: about a minute, once", flush=True)
    subprocess.run([f"{here}/../../../.venv/bin/python", f"{here}/../bifrost-grown/fill.py", config], check=True)


def peer(home, here, up):
    name = "bifrost-grown"
    grown = peer_module("bifrost").peer(home, here, up, name, 18203, workloads=["W1", "W3", "W4", "W6", "W5"],
                                       note="the same on SQLite with 1 000 000 sessions, 100 000 clients and 1 000 keys in it")
    empty, data, kept = grown["before_start"], f"{home}/run/{name}/data", f"{home}/grown"

    def before_start():
        empty()
        if not os.path.exists(f"{kept}/bifrost.db"):
            fill(here, f"{home}/run/{name}/config.json")
            os.rename(data, kept)
        shutil.copytree(kept, data)

    return {**grown, "before_start": before_start}
