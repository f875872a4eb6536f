"""Sessions of older clients (`Mcp-Session-Id`): a sealed id that says everything itself, so that any process knows it.

It says who may use it (anybody else finds no such session), which revision is spoken and what the client can do. What
happens to a session later, its log level and its end, is kept beside it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from msgspec import Raw

from bifrost.base import ids
from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.gateway.errors import UnknownSession
from bifrost.gateway.letters import Letters
from bifrost.gateway.models import Call
from bifrost.protocol import jsonrpc, mcp

LIFETIME_MILLISECONDS = 7 * 24 * 3_600 * SECOND
"""After that a client initializes anew, as it must whenever a session is unknown (2025-11-25, transports)."""

MAX_CAPABILITIES_BYTES = 2_048
MAX_REMEMBERED = 20_000
_USE = "mcp-session"
ENDED, LEVEL = "ended", "level"
"""Kinds of letters."""


class ClientSession(msgspec.Struct, frozen=True, kw_only=True):
    """`id` names it inside the gateway; the client knows only the sealed whole."""

    id: str
    version: str
    capabilities: Raw
    expires_at: int


_decoder = msgspec.json.Decoder(ClientSession)


@dataclass(slots=True)
class ClientSessions:
    ring: KeyRing
    clock: Clock
    letters: Letters
    _opened: OrderedDict[tuple[str, str], ClientSession] = field(default_factory=OrderedDict)
    _levels: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _ended: OrderedDict[str, bool] = field(default_factory=OrderedDict)

    def begin(self, call: Call, version: str, capabilities: Raw | None) -> str:
        """The id for the client."""
        session = ClientSession(
            id=ids.new_id("s_"),
            version=version,
            capabilities=_fitting(capabilities),
            expires_at=self.clock.now() + LIFETIME_MILLISECONDS,
        )
        return self.ring.seal(jsonrpc.encode(session), use=_USE, owner=call.principal)

    def opened(self, call: Call, sealed: str) -> ClientSession:
        """Raises UnknownSession: not ours, somebody else's, ended, or too old; which of them is not told."""
        session = self._opened.get((sealed, call.principal))
        if session is None:
            session = self._unsealed(call, sealed)
            _remember(self._opened, (sealed, call.principal), session)
        if session.id in self._ended or session.expires_at <= self.clock.now():
            raise UnknownSession("There is no such session. Initialize a new one.")
        return session

    async def end(self, session: ClientSession) -> None:
        """Everywhere, and for good. Raises StorageFault."""
        await self.letters.send(session.id, ENDED, {}, expires_at=session.expires_at)
        self.ended(session.id)

    def ended(self, session_id: str) -> None:
        _remember(self._ended, session_id, True)
        self._levels.pop(session_id, None)

    def level(self, session: ClientSession) -> str:
        """What it set with logging/setLevel; empty when it did not."""
        return self._levels.get(session.id, "")

    async def set_level(self, session: ClientSession, level: str) -> None:
        """Raises StorageFault."""
        await self.letters.send(session.id, LEVEL, {"level": level}, expires_at=session.expires_at)
        self.level_set(session.id, level)

    def level_set(self, session_id: str, level: str) -> None:
        _remember(self._levels, session_id, level)

    def _unsealed(self, call: Call, sealed: str) -> ClientSession:
        try:
            return _decoder.decode(self.ring.open(sealed, use=_USE, owner=call.principal))
        except (SealBrokenError, msgspec.MsgspecError) as error:
            raise UnknownSession("There is no such session. Initialize a new one.") from error


K = TypeVar("K")
V = TypeVar("V")


def _remember(place: OrderedDict[K, V], key: K, value: V) -> None:
    place[key] = value
    while len(place) > MAX_REMEMBERED:
        place.popitem(last=False)


def _fitting(capabilities: Raw | None) -> Raw:
    """As they were declared; of an immoderate client only what it is that it can do, without any details."""
    members: Mapping[str, Raw] = jsonrpc.object_members(capabilities)
    whole = jsonrpc.raw(members)
    if len(bytes(whole)) <= MAX_CAPABILITIES_BYTES:
        return whole
    return jsonrpc.raw({area: {} for area in mcp.CLIENT_CAPABILITY.values() if area in members})
