"""`requestState` (2026-07-28, multi-round-trip requests): what the gateway must know again when a call is retried.

It goes through the client's hands, so it is sealed, and bound to whom it was given, for what, and until when. The
upstream's own state is inside: it comes back to the same upstream, and only in answer to the same request.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from bifrost.base.clock import SECOND, Clock
from bifrost.base.sealing import KeyRing, SealBrokenError
from bifrost.gateway.models import Call, Route
from bifrost.protocol import jsonrpc
from bifrost.protocol.jsonrpc import RpcError

LIFETIME_MILLISECONDS = 600 * SECOND
INPUT_RESPONSES, REQUEST_STATE = "inputResponses", "requestState"
_USE = "mcp-request-state"


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`upstream_state` is the upstream's own; `held` names a call that waits here for the answers."""

    expires_at: int
    upstream_state: str | None = None
    held: str = ""
    own: bool = False
    """The gateway itself asked; the upstream knows nothing of it."""


_decoder = msgspec.json.Decoder(State)
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class RequestStates:
    ring: KeyRing
    clock: Clock

    def seal(
        self,
        call: Call,
        route: Route,
        params: Mapping[str, Any],
        *,
        upstream_state: str | None = None,
        held: str = "",
        own: bool = False,
    ) -> str:
        state = State(
            expires_at=self.clock.now() + LIFETIME_MILLISECONDS, upstream_state=upstream_state, held=held, own=own
        )
        return self.ring.seal(jsonrpc.encode(state), use=_USE, owner=_owner(call, route, params))

    def opened(self, call: Call, route: Route, params: Mapping[str, Raw]) -> State | None:
        """None when the request carries none. Raises RpcError: it is not for this request, or too old."""
        raw = params.get(REQUEST_STATE)
        if raw is None:
            return None
        try:
            sealed = self.ring.open(jsonrpc.text(raw) or "", use=_USE, owner=_owner(call, route, params))
            state = _decoder.decode(sealed)
        except (SealBrokenError, msgspec.MsgspecError) as error:
            raise RpcError(jsonrpc.INVALID_PARAMS, "This requestState was not given for this request.") from error
        if state.expires_at <= self.clock.now():
            raise RpcError(jsonrpc.INVALID_PARAMS, "This requestState has expired. Send the request without it.")
        return state


def _owner(call: Call, route: Route, params: Mapping[str, Any]) -> str:
    """Principal and endpoint, upstream, method, name, and the arguments whatever their spelling."""
    digest = hashlib.sha256(_canonical(jsonrpc.encode(params.get("arguments")))).hexdigest()
    return f"{call.principal}\n{route.upstream.id}\n{route.method}\n{route.key}\n{digest}"


def _canonical(arguments: bytes) -> bytes:
    """One form for every spelling of the same arguments. What two readers may read in two ways stands for itself."""
    try:
        value = jsonrpc.value(arguments)
        json.loads(arguments, object_pairs_hook=_check_names_differ)
        return b"value\n" + _sorted.encode(value)
    except (ValueError, RecursionError):
        return b"bytes\n" + arguments


def _check_names_differ(members: list[tuple[str, Any]]) -> None:
    """Raises ValueError."""
    if len({name for name, _ in members}) != len(members):
        raise ValueError("two members have one name")
