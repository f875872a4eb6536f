"""This project on PostgreSQL with a million sessions in it. Beside `bifrost-pg` it shows what growth costs."""
import os
import shutil
import subprocess

from bench.lib.harness import peer_module


def peer(home, here, up):
    name = "bifrost-pg-grown"
    python, script, cluster = f"{here}/../../../.venv/bin/python", f"{here}/../bifrost-pg/cluster.py", f"{home}/run/postgresql-grown"
    config, data, kept = f"{home}/run/{name}/config.json", f"{home}/run/{name}/data", f"{home}/grown-pg"

    def database(verb):
        return subprocess.run([python, script, verb, cluster], check=True, capture_output=True, text=True).stdout.strip()

    def storage():
        return database("copy") if os.path.exists(kept) else database("fresh")

    grown = peer_module("bifrost").peer(home, here, up, name, 18204, storage, workloads=["W3", "W4", "W6", "W5"],
                                       aux=[[python, script, "serve", cluster]],
                                       note="the same on PostgreSQL with 1 000 000 sessions, 100 000 clients and 1 000 keys in it")
    before = grown["before_start"]

    def before_start():
        before()
        if not os.path.exists(kept):
            peer_module("bifrost-grown").fill(here, config)
            database("keep")
            os.rename(data, kept)  # the ring of keys belongs to the database
            before()
        shutil.copytree(kept, data)

    return {**grown, "before_start": before_start}
