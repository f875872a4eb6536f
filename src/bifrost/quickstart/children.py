"""Child processes of the quick start: start, hand their output on, wait until they answer, stop, say why they ended."""

import asyncio
import contextlib
import errno
import http.client
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

#: Seconds a child has to finish what it is doing after SIGTERM, before it is killed.
STOP_SECONDS: Final = 15.0
#: Seconds between two looks at whether a child answers.
LOOK_SECONDS: Final = 0.1
#: Seconds one look may take.
ANSWER_SECONDS: Final = 2.0
#: Lines of a child's output that are kept to say why it ended.
KEPT_LINES: Final = 20
#: Longest line kept, in bytes; a longer one is handed on all the same, in pieces.
PIECE_BYTES: Final = 4096


class ChildFailed(Exception):
    """A child ended by itself or never answered; the text says which and why."""


@dataclass(slots=True)
class Child:
    """One running child; `name` is how sentences call it, for example `the gateway`; `said` its last lines."""

    name: str
    process: asyncio.subprocess.Process
    said: deque[bytes]
    reader: asyncio.Task[None]

    @classmethod
    async def start(cls, name: str, arguments: list[str], environment: Mapping[str, str], *, show: bool = True) -> Self:
        """Start `python arguments…`; `show` hands its output on to ours.

        The child gets a session of its own, so that Ctrl-C in the terminal reaches this process alone and the
        children are stopped in their order.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        said: deque[bytes] = deque(maxlen=KEPT_LINES)
        reader = asyncio.create_task(_read_output(process, said, show=show))
        return cls(name=name, process=process, said=said, reader=reader)

    async def answers(self, url: str, *, statuses: frozenset[int], seconds: float) -> None:
        """Wait until `GET url` answers with one of `statuses`; `ChildFailed` when the child ends or time runs out."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.process.returncode is None:
            if await asyncio.to_thread(_status, url) in statuses:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise ChildFailed(f"{self.name.capitalize()} did not answer at {url} within {seconds:.0f} seconds.")
            await asyncio.sleep(LOOK_SECONDS)
        raise ChildFailed(await self.epitaph())

    async def says(self, text: str, *, seconds: float) -> None:
        """Wait until a line of its output has this text: another program may answer at its port, only it can say so.

        `ChildFailed` when the child ends or time runs out.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not any(text.encode() in line for line in self.said):
            if self.process.returncode is not None:
                raise ChildFailed(await self.epitaph())
            if asyncio.get_running_loop().time() > deadline:
                raise ChildFailed(f"{self.name.capitalize()} did not start within {seconds:.0f} seconds.")
            await asyncio.sleep(LOOK_SECONDS)

    async def epitaph(self) -> str:
        """Wait for the end; a sentence with the exit code or signal, and the last line the child said."""
        code = await self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        await self.reader
        said = [text for line in self.said if (text := line.decode(errors="replace").strip())]
        return f"{self.name.capitalize()} {how}" + (f": {said[-1]}" if said else ".")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL after `STOP_SECONDS`; returns when the child is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            print(f"{self.name.capitalize()} did not stop within {STOP_SECONDS:.0f} seconds and is killed.", flush=True)
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
        await self.reader


async def _read_output(process: asyncio.subprocess.Process, said: deque[bytes], *, show: bool) -> None:
    """Read the child's output to its end, copying it to ours as it comes; its last lines are kept in `said`."""
    unfinished = b""
    while process.stdout is not None and (piece := await process.stdout.read(PIECE_BYTES)):
        if show:
            # a closed terminal must not end the reading: the child would block on a full pipe
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
        *lines, unfinished = (unfinished + piece).split(b"\n")
        said.extend(line[-PIECE_BYTES:] for line in lines)
        unfinished = unfinished[-PIECE_BYTES:]
    said.append(unfinished)


def _status(url: str) -> int | None:
    """The status of one GET, or None when nothing answers."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def port_is_free(port: int) -> bool:
    """Whether a server can listen on both loopback addresses; one that the machine does not have counts as free."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
    return True


def free_port() -> int:
    """A port nobody listens on now; it stays free unless another program asks in the same moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def plain_environment() -> dict[str, str]:
    """The environment for a child, without any `BIFROST_…` variable.

    A variable meant for another gateway must not lead the quick start to that one's database or keys; what should be
    different here is written into the directory's own config.json.
    """
    everything = dict(os.environ)  # noqa: TID251 - handed on to a child, read by nobody here
    return {name: value for name, value in everything.items() if not name.startswith("BIFROST_")}
