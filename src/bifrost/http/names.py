"""The addresses of a host: literals at once, names by the machine's resolver, in threads of our own.

The machine's resolver cannot be called off: a name whose servers do not answer keeps a thread for as long as the
resolver likes. So a name has one question under way at a time, whoever asks, and nobody else's work waits in line for
these threads.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from socket import getaddrinfo
from typing import Any

from bifrost.base.singleflight import SingleFlight

MAX_THREADS = 16
"""As many names may hang at once before others have to wait for them."""

Address = tuple[socket.AddressFamily, Any]
"""A family, and what its sockets connect to."""


class Names:
    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="names")
        self._asking: SingleFlight[list[Address]] = SingleFlight()

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Each once, in the order of the resolver. Raises OSError, UnicodeError."""
        try:
            return _distinct(getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        except socket.gaierror:
            return await self._asking.do((host, port), lambda: self._asked(host, port))

    async def _asked(self, host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        return _distinct(await loop.run_in_executor(self._threads, _resolved, host, port))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _resolved(host: str, port: int) -> list[Any]:
    return getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _distinct(found: list[Any]) -> list[Address]:
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))
