"""`make run`: a gateway with a sample upstream and a demo key, on loopback, in one command.

python -m bifrost.quickstart [--port 8080] [--dir dev]
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from bifrost.quickstart import stack
from bifrost.quickstart.children import ChildFailed, port_is_free
from bifrost.quickstart.dev_directory import UnusableDirectory
from bifrost.quickstart.guide import DEFAULT_PORT, guide

HIGHEST_PORT: Final = 65_535


async def run(directory: Path, port: int) -> int:
    """Run until a signal (0) or until a child ends by itself (1, with a sentence)."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine always runs in one
    asked_to_stop = False

    def stop() -> None:
        # a second signal must not cut the children's own clean stop short
        nonlocal asked_to_stop
        if not asked_to_stop:
            asked_to_stop = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        async with stack.running(directory, port) as running:
            print(guide(running.url, running.key, str(directory / "config.json"), str(directory / "data")), flush=True)
            print(await running.first_end(), file=sys.stderr, flush=True)
    except asyncio.CancelledError:
        print("\nStopped.", flush=True)
        return 0
    except (ChildFailed, UnusableDirectory) as failure:
        print(failure, file=sys.stderr)
    return 1


def port_number(text: str) -> int:
    """A TCP port, 1 to 65535."""
    port = int(text)
    if not 1 <= port <= HIGHEST_PORT:
        raise ValueError(text)
    return port


def main(arguments: list[str] | None = None) -> int:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(
        prog="python -m bifrost.quickstart",
        description="Run a gateway with a sample upstream and a demo key on loopback.",
    )
    parser.add_argument("--port", type=port_number, default=DEFAULT_PORT, help="gateway port (default: %(default)s)")
    parser.add_argument(
        "--dir", type=Path, default=Path("dev"), help="configuration, key and data (default: ./%(default)s)"
    )
    options = parser.parse_args(arguments)
    if not port_is_free(options.port):
        other = 9090 if options.port != 9090 else 9191  # noqa: PLR2004 - two examples
        print(f"Port {options.port} is in use. Choose another: make run PORT={other}", file=sys.stderr)
        return 1
    return asyncio.run(run(options.dir, options.port))


if __name__ == "__main__":
    sys.exit(main())
