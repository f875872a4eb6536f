"""What codes, tokens, grants, keys and accounts do when everything happens one after the other (contract §§5, 6).

`steps` is the whole of it: what an operation may answer in a state, and the state after that. It knows nothing of how
the product does it, and only of what was asked in one test: two consents of one virtual key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

BURNT = 5
"""Failed attempts that end a code (contract §6)."""

Result = tuple[str, ...]
"""A word, and what was given with it: a code, or an access and a refresh token."""

REFUSED: Result = ("refused",)
DONE: Result = ("done",)


@dataclass(frozen=True, slots=True)
class Operation:
    """`flow` says which of the consents, `token` is the refresh token that is presented."""

    name: str
    flow: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent and what came of it. `connected`: the account that its grant will bring along."""

    is_open: bool = True
    connected: bool = False
    grant: Literal["none", "living", "ended"] = "none"
    redeemed: bool = False
    failures: int = 0
    pairs: tuple[tuple[str, str], ...] = ()
    """Access and refresh token, each pair the successor of the one before; only the last one was not used."""

    @property
    def lives(self) -> bool:
        return self.grant == "living"

    def ended(self) -> "Consent":
        return replace(self, grant="ended") if self.lives else self

    def number_of(self, token: str) -> int:
        return next((number for number, (_, refresh) in enumerate(self.pairs) if refresh == token), -1)


@dataclass(frozen=True, slots=True)
class World:
    """`late`: so much time has passed that a used refresh token need not be answered again (contract §6, 30 s)."""

    key: bool = True
    account: bool = False
    """Whether the key has an account at the upstream."""
    consents: tuple[Consent, ...] = (Consent(), Consent())
    late: bool = False

    def having(self, flow: int, consent: Consent, **more: bool) -> "World":
        consents = (*self.consents[:flow], consent, *self.consents[flow + 1 :])
        return replace(self, consents=consents, **more)


def steps(world: World, operation: Operation, result: Result) -> Iterator[World]:
    """The worlds after it; none when it cannot have answered this."""
    found = _RULES[operation.name](world, operation, result)
    yield from (after for answer, after in found if answer in (result, result[:1]))


_Outcomes = Iterator[tuple[Result, World]]


def _submit(world: World, operation: Operation, _result: Result) -> _Outcomes:
    """One consent gives one code, and brings its account along."""
    consent = world.consents[operation.flow]
    if not (consent.is_open and world.key):
        yield REFUSED, world
        return
    finished = replace(consent, is_open=False, connected=False, grant="living")
    yield ("code",), world.having(operation.flow, finished, account=world.account or consent.connected)


def _deny(world: World, operation: Operation, _result: Result) -> _Outcomes:
    consent = world.consents[operation.flow]
    if consent.is_open:
        yield ("denied",), world.having(operation.flow, replace(consent, is_open=False, connected=False))
    else:
        yield REFUSED, world


def _connect(world: World, operation: Operation, _result: Result) -> _Outcomes:
    consent = world.consents[operation.flow]
    if consent.is_open and world.key:
        yield ("connected",), world.having(operation.flow, replace(consent, connected=True))
    else:
        yield REFUSED, world


def _disconnect(world: World, operation: Operation, _result: Result) -> _Outcomes:
    """What was connected in this consent first, else what the key has."""
    consent = world.consents[operation.flow]
    if not (consent.is_open and world.key):
        yield REFUSED, world
    elif consent.connected:
        yield ("disconnected",), world.having(operation.flow, replace(consent, connected=False))
    else:
        yield ("disconnected",), replace(world, account=False)


def _redeem(world: World, operation: Operation, result: Result) -> _Outcomes:
    """One code gives one pair. Redeemed again with the right proof it leaked, and the grant ends."""
    consent = world.consents[operation.flow]
    if consent.lives and not consent.redeemed and consent.failures < BURNT:
        given = replace(consent, redeemed=True, pairs=(_pair(result),))
        yield ("pair",), world.having(operation.flow, given)
    else:
        yield REFUSED, world.having(operation.flow, consent.ended() if consent.redeemed else consent)


def _redeem_wrongly(world: World, operation: Operation, _result: Result) -> _Outcomes:
    """Without the proof: it is counted, and changes nothing else."""
    consent = world.consents[operation.flow]
    failures = min(BURNT, consent.failures + (not consent.redeemed))
    yield REFUSED, world.having(operation.flow, replace(consent, failures=failures))


def _refresh(world: World, operation: Operation, result: Result) -> _Outcomes:
    """The current token rotates; a used one gives its successors again."""
    consent = world.consents[operation.flow]
    number = consent.number_of(operation.token)
    if number < 0:
        return
    if not consent.lives:
        yield REFUSED, world
    elif number + 1 == len(consent.pairs):
        if result[0] == "pair" and _pair(result) not in consent.pairs:
            yield ("pair",), world.having(operation.flow, replace(consent, pairs=(*consent.pairs, _pair(result))))
    else:
        yield ("pair", *consent.pairs[number + 1]), world
        if world.late:
            yield REFUSED, world.having(operation.flow, consent.ended())


def _steal(world: World, operation: Operation, _result: Result) -> _Outcomes:
    """Another client gets nothing; with a token that was used it shows that two hold it."""
    consent = world.consents[operation.flow]
    number = consent.number_of(operation.token)
    if number < 0:
        return
    used = number + 1 < len(consent.pairs)
    yield REFUSED, world.having(operation.flow, consent.ended() if used else consent)


def _end(world: World, operation: Operation, _result: Result) -> _Outcomes:
    """By its client, with a refresh token (RFC 7009), or by an administrator: nothing of it is given afterwards."""
    yield DONE, world.having(operation.flow, world.consents[operation.flow].ended())


def _delete_key(world: World, _operation: Operation, _result: Result) -> _Outcomes:
    consents = tuple(consent.ended() for consent in world.consents)
    yield DONE, replace(world, key=False, account=False, consents=consents)


def _accounts(world: World, _operation: Operation, _result: Result) -> _Outcomes:
    yield ("held", str(int(world.account))), world


def _pair(result: Result) -> tuple[str, str]:
    return (result[1], result[2]) if result[0] == "pair" else ("", "")


_RULES: dict[str, Callable[[World, Operation, Result], _Outcomes]] = {
    "submit": _submit,
    "deny": _deny,
    "connect": _connect,
    "disconnect": _disconnect,
    "redeem": _redeem,
    "redeem_wrongly": _redeem_wrongly,
    "refresh": _refresh,
    "steal": _steal,
    "give_back": _end,
    "end_grant": _end,
    "delete_key": _delete_key,
    "accounts": _accounts,
}
