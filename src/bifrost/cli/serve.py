"""`bifrost serve`: run the gateway until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from bifrost import __version__, bootstrap, settings
from bifrost.app import build
from bifrost.base.clock import SystemClock
from bifrost.http.server_protocol import LimitedProtocol
from bifrost.identity.set_up import PAGE, SetUp
from bifrost.settings import ConfigurationError, Settings
from bifrost.telemetry import logging

GRACE_SECONDS = 10
BACKLOG = 2_048
MAX_FILES = 65_536
YOUNG_OBJECTS = 5_000
"""How many more are made than freed until those are looked for that only hold each other; Python's own measure, 700,
is that of a few requests at the same time.
"""

_FILES = resource.RLIMIT_NOFILE

log = structlog.get_logger()


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "serve",
        parents=[with_config],
        help="run the gateway",
        description="Run the gateway until it gets SIGTERM or Ctrl-C; requests in flight are finished first.",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8080)")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable, before anything listens."""
    _open_standard_streams()
    loaded = load(chosen.config, chosen.host, chosen.port)
    logging.configure(loaded.server.log_level)
    _check_port(loaded.server.host, loaded.server.port)
    notice = asyncio.run(_prepared(loaded))
    if notice:
        _say(notice)
    server = loaded.server
    log.info(
        "starting",
        version=__version__,
        host=server.host,
        port=server.port,
        workers=server.workers,
        issuer=loaded.public_urls[0],
    )
    options: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "loop": "uvloop",
        "http": LimitedProtocol,
        "ws": "none",
        "limit_concurrency": max_connections(),
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "timeout_keep_alive": 75,
        "backlog": BACKLOG,
    }
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops gracefully and then raises the signal again; a quiet handler makes that an exit with 0
        signal.signal(number, lambda *_: None)
    if server.workers == 1:
        uvicorn.run(_settled(build(loaded).app), **options)
        return 0
    settings.hand_down(chosen.config, {"host": server.host, "port": server.port})
    uvicorn.run("bifrost.cli.serve:worker", factory=True, workers=server.workers, **options)
    return 0


def worker() -> ASGIApp:
    """One of several worker processes: its settings come from the environment that `run` left."""
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    loaded = load(None)
    logging.configure(loaded.server.log_level)
    return _settled(build(loaded).app)


def _settled(app: ASGIApp) -> ASGIApp:
    """What the gateway consists of lasts as long as the process, so it is never looked through for garbage again.

    It is tens of thousands of objects: once or twice a second every request in flight waited 20 ms for that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    return app


def _end_with_the_supervisor() -> None:
    """Stop as at SIGTERM once the process that started this one is gone, killed for want of memory for example.

    A worker that went on alone would keep the port from the next start, and its connections from the database.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)


def load(config: str | None, host: str | None = None, port: int | None = None) -> Settings:
    given = {"host": host, "port": port}
    overrides = {"server": {name: value for name, value in given.items() if value is not None}}
    return settings.load(config, settings.environment(), overrides)


async def _prepared(loaded: Settings) -> str | None:
    """Everything that can be refused is refused here, in one sentence, before a port is opened.

    Returns what there is to say to whoever starts a gateway without an administrator.
    """
    ring = bootstrap.key_ring(loaded)
    gateway = build(loaded, ring=ring)
    try:
        await bootstrap.prepare(loaded, gateway.database, SystemClock(), ring)
        await bootstrap.seed(loaded, gateway, ring)
        return await _set_up_notice(loaded, gateway.set_up)
    finally:
        await gateway.database.close()


def _open_standard_streams() -> None:
    """Those that were closed before the start lead nowhere: else the next file or socket would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # it gets the lowest number that is free, which is this one, also in worker processes
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _say(notice: str) -> None:
    """On the terminal only: a log would keep the link. A terminal that is gone, or full, stops no gateway."""
    reason = "it was closed before the start" if sys.stdout is None else ""  # Python's way to say so
    try:
        print(notice, flush=True)
    except (OSError, ValueError) as error:
        reason = str(error)
        with contextlib.suppress(OSError, ValueError):
            # what is left in the buffer is written at the end of the process, which must not fail because of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if reason:
        log.error("standard_output_unusable", reason=reason, advice="For a set-up link run: bifrost admin setup-link")


async def _set_up_notice(loaded: Settings, set_up: SetUp) -> str | None:
    link = await set_up.first_link()
    if link:
        return (
            "This gateway has no administrator yet. Open this link within 24 hours; it works once:\n\n"
            f"    {loaded.public_urls[0]}{PAGE}?link={link}\n"
        )
    if await set_up.is_needed():
        return "The set-up link that an earlier start printed waits to be opened. For another: bifrost admin setup-link"
    return None


def max_connections() -> int:
    """Half of the files that the process may have open: a call may need a connection to an upstream as well.

    The soft limit, often 1 024 for the sake of programs older than this one, is raised as far as the system allows.
    """
    soft, hard = (MAX_FILES if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(_FILES))
    files = min(max(soft, min(hard, MAX_FILES)), MAX_FILES)
    if files > soft:
        resource.setrlimit(_FILES, (files, resource.getrlimit(_FILES)[1]))
    return files // 2


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port."
            ) from error
