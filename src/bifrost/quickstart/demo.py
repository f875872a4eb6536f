"""`make demo`: a scripted client signs in at a gateway and calls a tool, and shows every leg with its time.

    python -m bifrost.quickstart.demo [--url http://localhost:8080/mcp] [--key sk-bf-…]

With no gateway at the URL it starts one of its own for the moment, in a temporary directory.
"""

import argparse
import asyncio
import http.client
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from bifrost.quickstart import dev_directory, stack
from bifrost.quickstart.children import ChildFailed, free_port
from bifrost.quickstart.people import People
from bifrost.quickstart.walk import LegFailed, Unreachable, Walk

DEFAULT_URL: Final = "http://localhost:8080/mcp"
KEY_FILE: Final = Path("dev/config.json")
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
#: Seconds to find out whether anybody listens at the URL.
LOOK_SECONDS: Final = 3.0


class Shown(Protocol):
    def legs(self) -> list[tuple[str, Callable[[], str]]]:
        """Every leg in order, by name; each returns what it saw, or raises `LegFailed` or `Unreachable`."""
        ...


def both(url: str, key: str, second_key: str) -> int:
    """One sign-in leg by leg and, where there is a second key, two people with accounts of their own."""
    ended = show(Walk(mcp_url=url, key=key))
    if ended or not second_key:
        return ended
    print("\nTwo people connect an account each at two services, and see only what is theirs:")
    return show(People.of(url, {"ann": key, "ben": second_key}))


def show(walk: Shown) -> int:
    """Run the legs in order, a line each, up to the first that fails; 0 when all are ok."""
    legs = walk.legs()
    width = max(len(name) for name, _ in legs)
    begin = time.perf_counter()
    for number, (name, leg) in enumerate(legs, 1):
        started = time.perf_counter()
        try:
            verdict, ok = f"ok    {leg()}", True
        except (LegFailed, Unreachable) as failure:
            verdict, ok = f"FAIL  {failure}", False
        print(f"{number:3}  {name:{width}}  {_milliseconds(started):8.1f} ms  {verdict}", flush=True)
        if not ok:
            print(f"{number - 1} of {len(legs)} legs ok; stopped at: {name}.")
            return 1
    print(f"All {len(legs)} legs ok in {_milliseconds(begin):.0f} ms.")
    return 0


async def with_temporary_gateway() -> int:
    """Start a gateway and a sample upstream in a temporary directory, walk through them, stop them."""
    with tempfile.TemporaryDirectory(prefix="bifrost-demo-") as directory:
        try:
            async with stack.running(Path(directory), free_port(), show=False) as running:
                print(f"Its MCP endpoint is {running.url}.")
                return await asyncio.to_thread(both, running.url, running.key, running.second_key)
        except (ChildFailed, dev_directory.UnusableDirectory) as failure:
            print(failure, file=sys.stderr)
            return 1


def main(arguments: list[str] | None = None) -> int:
    """Walk through the gateway at the URL, or through one of our own when there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m bifrost.quickstart.demo", description="Sign in at a gateway, call a tool, show every step."
    )
    parser.add_argument("--url", default=DEFAULT_URL, help="the MCP endpoint (default: %(default)s)")
    parser.add_argument("--key", help=f"a virtual key (default: the demo key in {KEY_FILE})")
    options = parser.parse_args(arguments)
    # a termination is a Ctrl-C: whatever was started is stopped on the way out
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _demo(options.url, options.key)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 1


def _demo(url: str, key: str | None) -> int:
    try:
        address = urlsplit(url)
        port = address.port or {"http": 80, "https": 443}[address.scheme]
    except (ValueError, KeyError):
        print(f"{url} is not an http or https URL.", file=sys.stderr)
        return 1
    if address.hostname in LOOPBACK and not key and not _listens(address.hostname, port):
        print(f"Nothing runs at {url}: starting a gateway of the demo's own, for the moment.", flush=True)
        return asyncio.run(with_temporary_gateway())
    if key:
        return both(url, key, "")
    first = dev_directory.demo_key(KEY_FILE)
    if first is None:
        print(f"{KEY_FILE} has no demo key: give one with --key.", file=sys.stderr)
        return 1
    return both(url, first, dev_directory.demo_key(KEY_FILE, dev_directory.SECOND_KEY_ID) or "")


def _listens(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=LOOK_SECONDS)
    try:
        connection.connect()
    except OSError:
        return False
    connection.close()
    return True


def _milliseconds(started: float) -> float:
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())
