"""Runs in a network of its own, in which every address there is leads to one listener and names are what a liar says.

    unshare -rnm python -m tests.wire._rebinding DIRECTORY

The gateway's outbound client, as it is composed for a public URL under https, is sent to each name with the system's own
resolver. Prints, as JSON, for each name the addresses at which a connection arrived.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections import defaultdict
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import cast

from bifrost.app.foundation import foundation
from bifrost.base.errors import DomainError
from bifrost.settings import load
from tests.support.clock import FakeClock
from tests.support.gateway import RING, configuration

PORT = 8443
PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:4700::1111"
A, AAAA = 1, 28
ANSWER_IN_CLASS = b"\xc0\x0c"

NAMES: dict[str, list[list[str]]] = {
    "public.test": [[PUBLIC]],
    "public6.test": [[PUBLIC_6]],
    "loopback.test": [["127.0.0.1"]],
    "private.test": [["10.0.0.1"]],
    "metadata.test": [["169.254.169.254"]],
    "shared.test": [["100.64.0.1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "6to4.test": [["2002:7f00:1::1"]],
    "teredo.test": [["2001:0:7f00:1::1"]],
    "site-local.test": [["fec0::1"]],
    "unique-local.test": [["fd12::1"]],
    "both.test": [[PUBLIC, "10.0.0.1"]],
    "rebinding.test": [[PUBLIC], ["127.0.0.1"], ["10.0.0.1"], ["fd12::1"]],
    "turning.test": [["10.0.0.1"], ["127.0.0.1"], [PUBLIC]],
}
"""The addresses that each round of questions about a name is answered with; the last one stays."""


class Liar(asyncio.DatagramProtocol):
    """A name server that gives every answer for no time at all."""

    def __init__(self) -> None:
        self.round = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        question = data[12 : at + 5]
        kind = int.from_bytes(data[at + 1 : at + 3], "big")
        found = [address for address in self._addresses(".".join(labels)) if _kind(address) == kind]
        head = data[:2] + b"\x84\x00\x00\x01" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
        records = [
            ANSWER_IN_CLASS + kind.to_bytes(2, "big") + b"\0\1" + b"\0\0\0\0" + len(raw).to_bytes(2, "big") + raw
            for raw in (ip_address(address).packed for address in found)
        ]
        self._transport.sendto(head + question + b"".join(records), addr)

    def _addresses(self, name: str) -> list[str]:
        rounds = NAMES.get(name.lower(), [[]])
        return rounds[min(self.round, len(rounds) - 1)]


def _kind(address: str) -> int:
    return A if isinstance(ip_address(address), IPv4Address) else AAAA


def set_up(directory: Path) -> None:
    """Every address is this machine's, and the resolver asks the liar."""
    for command in (
        "link set lo up",
        "addr add 10.255.0.1/32 dev lo",
        "-6 addr add fd00:ffff::1/128 dev lo",
        "route add local default dev lo",
        "-6 route add local default dev lo",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2\n"), ("nsswitch.conf", "hosts: dns\n")):
        (directory / name).write_text(text)
        subprocess.run(["mount", "--bind", str(directory / name), f"/etc/{name}"], check=True)


async def run(directory: Path) -> dict[str, list[str]]:
    arrived: defaultdict[str, set[str]] = defaultdict(set)
    asked = ""

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived[asked].add(_plain(writer.get_extra_info("sockname")[0]))
        writer.close()

    loop = asyncio.get_running_loop()
    liar = Liar()
    await loop.create_datagram_endpoint(lambda: liar, local_addr=("127.0.0.1", 53))
    servers = [
        await asyncio.start_server(listen, host, PORT, family=family)
        for host, family in (("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6))  # noqa: S104 - a network of its own
    ]
    server = {"public_urls": ["https://gateway.example"]}
    sections = configuration(f"sqlite:///{directory}/unused.db", directory, server=server)
    for name, rounds in NAMES.items():
        for liar.round in range(len(rounds) + 1):
            # a new client each time: it would remember an answer for some seconds
            client = foundation(load(None, {}, sections), FakeClock(), RING).outbound
            asked = name
            with contextlib.suppress(DomainError):
                await client.fetch(f"https://{name}:{PORT}/.well-known/oauth-authorization-server")
            await client.close()
    for listening in servers:
        listening.close()
    return {name: sorted(arrived[name]) for name in NAMES}


def _plain(address: str) -> str:
    parsed = ip_address(address.partition("%")[0])
    return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped else parsed)


if __name__ == "__main__":
    set_up(Path(sys.argv[1]))
    print(json.dumps(asyncio.run(run(Path(sys.argv[1])))))
