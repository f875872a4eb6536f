"""One running program as a pipe: one JSON message a line, both ways (MCP 2025-11-25, transports, stdio)."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from pathlib import Path

from bifrost.base.clock import Clock
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.transports.stdio.command import Program

SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_NOISE_LINES = 100
"""Lines between two messages that are none; a program that prints a banner is forgiven."""

CHUNK_BYTES = 64 * 1024
MAX_PRINTED_BYTES = 16 * 1024
SEND_SECONDS = 10.0
END_OF_INPUT_SECONDS = 1.0
"""A program whose input ended has this long to end by itself, then it is told to (SIGTERM)."""
TERMINATE_SECONDS = 2.0
"""From SIGTERM to SIGKILL."""
KILL_SECONDS = 10.0
"""The supervisor itself is killed when it has not ended by then: far more than it needs."""
_MIN_SECRET_CHARACTERS = 6
_HIDDEN = "…"


class StdioPipe:
    """A Duplex. One task receives; any number may send."""

    def __init__(
        self, name: str, program: Program, process: asyncio.subprocess.Process, lifeline: int, clock: Clock
    ) -> None:
        self._name = name
        self._secrets = [value for value in program.secrets if len(value) >= _MIN_SECRET_CHARACTERS]
        self._process = process
        self._stdin = process.stdin
        self._lifeline = lifeline
        self._clock = clock
        self._lines: deque[bytes] = deque()
        self._half: list[bytes] = []
        self._half_bytes = 0
        self._printed = b""
        self._listening = asyncio.ensure_future(self._listen())
        self._closing: asyncio.Future[None] | None = None
        self._left = False
        self.on_trial = False
        self.fault = ""
        """Why the gateway ended it, when that was the program's own doing."""
        self.started_at = self.used_at = clock.now()

    @classmethod
    async def start(cls, name: str, program: Program, clock: Clock) -> "StdioPipe":
        """Raises UpstreamUnavailable when this machine cannot start another process."""
        end, lifeline = os.pipe()
        arguments = ("-I", "-S", SUPERVISOR, str(end), str(TERMINATE_SECONDS), program.path, *program.arguments)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(end,),
                env=dict(program.env),
                cwd="/",
                start_new_session=True,
                limit=CHUNK_BYTES,
            )
        except OSError as error:
            os.close(lifeline)
            raise UpstreamUnavailable(f"{name} cannot be started: {error.strerror}.") from error
        except BaseException:
            os.close(lifeline)  # whoever waited was cancelled; a supervisor that did start sees it and ends
            raise
        finally:
            os.close(end)
        return cls(name, program, process, lifeline, clock)

    @property
    def process_id(self) -> int:
        """Of the supervisor; the program is its child."""
        return self._process.pid

    @property
    def asked_to_end(self) -> bool:
        """Whether the gateway wanted it to end, before it did."""
        return self._closing is not None and not self._left

    async def send(self, message: bytes) -> None:
        """Raises UpstreamUnavailable."""
        self.used_at = self._clock.now()
        stdin = self._stdin
        if stdin is None or stdin.is_closing() or self.asked_to_end or self._process.returncode is not None:
            raise self._gone()
        # line breaks between the tokens of a message mean nothing, and within them there are none (RFC 8259 §7)
        stdin.write(message.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await stdin.drain()
        except TimeoutError as error:
            raise self._broken(f"{self._name} does not read what it is sent.") from error
        except OSError as error:
            raise self._gone() from error

    async def receive(self) -> bytes:
        """The next message. Raises UpstreamUnavailable when the program has ended, or says what is no message."""
        for _ in range(MAX_NOISE_LINES):
            line = (await self._line()).strip()
            if line.startswith(b"{"):
                self.used_at = self._clock.now()
                return line
            self._keep(line + b"\n")
        raise self._broken(f"{self._name} wrote something that is not JSON-RPC.")

    async def _line(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - asked for with PIPE
        while not self._lines:
            chunk = await self._process.stdout.read(CHUNK_BYTES)
            if not chunk:
                await self.ended()
                raise self._gone()
            first, *rest = chunk.split(b"\n")
            self._half.append(first)
            if rest:
                self._lines.append(b"".join(self._half))
                self._lines.extend(rest[:-1])
                self._half = [rest[-1]]
                self._half_bytes = 0
            self._half_bytes += len(self._half[-1])
            if self._half_bytes > MAX_MESSAGE_BYTES:
                raise self._broken(f"{self._name} wrote a message of more than {MAX_MESSAGE_BYTES} bytes.")
        return self._lines.popleft()

    async def ended(self) -> int:
        """Waits for the end, and gives the exit status of the program."""
        return await self._process.wait()

    def printed(self) -> list[str]:
        """The last of what it wrote to its standard error, and of what it wrote between messages; no configured secret.

        It may still hold what only the rules of the log know to be secret.
        """
        text = self._printed.decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return [line for line in text.splitlines() if line.strip()]

    async def close(self) -> None:
        """End of input, SIGTERM, SIGKILL, as far as it takes; when this returns there is no process any more."""
        if self._closing is None:
            self._left = self._process.returncode is not None
            self._closing = asyncio.ensure_future(self._end())
        await asyncio.shield(self._closing)

    async def _end(self) -> None:
        emptying = asyncio.ensure_future(self._empty())
        try:
            if self._stdin is not None:
                self._stdin.close()
            if not await self._ends_within(END_OF_INPUT_SECONDS):
                self._signal(signal.SIGTERM)
            if not await self._ends_within(KILL_SECONDS):
                self._signal(signal.SIGKILL)
            await self._process.wait()
        finally:
            os.close(self._lifeline)
            emptying.cancel()
            self._listening.cancel()
            await asyncio.gather(emptying, self._listening, return_exceptions=True)

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _empty(self) -> None:
        """A program that is still writing must not wait for a reader while it is asked to end."""
        stdout = self._process.stdout
        while stdout is not None:
            with contextlib.suppress(RuntimeError):  # a last receive may still be reading
                if not await stdout.read(CHUNK_BYTES):
                    return
            await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        """Whatever comes is taken, so that the program never waits; the last of it is kept."""
        assert self._process.stderr is not None  # noqa: S101 - asked for with PIPE
        while chunk := await self._process.stderr.read(CHUNK_BYTES):
            self._keep(chunk)

    def _keep(self, printed: bytes) -> None:
        self._printed = (self._printed + printed)[-MAX_PRINTED_BYTES:]

    def _broken(self, fault: str) -> UpstreamUnavailable:
        """Nothing that follows could be trusted to be whole: the program is ended."""
        self.fault = self.fault or fault
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._end())
        return self._gone()

    def _gone(self) -> UpstreamUnavailable:
        status = self._process.returncode
        how = "has ended" if status is None or self.asked_to_end else f"ended with exit status {status}"
        return UpstreamUnavailable(self.fault or f"{self._name} {how}.")
