"""For which sessions somebody is there: whoever has a stream open, in this process or in another one.

A process that has streams says so to the others every few minutes, and at once when one is opened: what a session is
subscribed to may be heard elsewhere.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from msgspec import Raw

from bifrost.base.clock import SECOND, Clock
from bifrost.gateway.letter_limits import LETTERS, LetterLimits
from bifrost.gateway.letters import Handler, Letters
from bifrost.protocol import jsonrpc
from bifrost.upstreams.uses import Uses

ABSENT_MILLISECONDS = 30 * 60 * SECOND
"""After so long without a stream nobody is taken to be there."""

SAY_MILLISECONDS = 5 * 60 * SECOND
PRESENT = "present"
"""A kind of letters."""

_SESSIONS = "sessions"


@dataclass(slots=True)
class Presence:
    """`returned` is told of a session that has a stream in another process."""

    letters: Letters
    limits: LetterLimits
    clock: Clock
    returned: Callable[[str], None] = field(default=lambda _session: None)
    _uses: Uses[str] = field(init=False)
    _said_at: int = field(init=False)

    def __post_init__(self) -> None:
        self._uses = Uses(self.clock)
        self._said_at = self.clock.now()

    def comes(self, session: str, principal: str, *, known_elsewhere: bool = True) -> None:
        """`known_elsewhere`: it is a session, and no subscription that is here alone."""
        self._uses.of(session).begins()
        if not (known_elsewhere and self.letters.shared):
            return
        if self.limits.has_room(principal, LETTERS):  # else they hear of it a little later
            self.letters.post(session, PRESENT, {_SESSIONS: [session]})

    def goes(self, session: str) -> None:
        self._uses.of(session).ends()

    def is_here(self, session: str) -> bool:
        """Whether a stream of it is open in this process."""
        return self._uses.runs(session)

    def say(self, sessions: Collection[str]) -> None:
        """That these, which have streams here, still have."""
        if self.letters.shared and sessions and self.clock.now() - self._said_at >= SAY_MILLISECONDS:
            self._said_at = self.clock.now()
            self.letters.post("", PRESENT, {_SESSIONS: sorted(sessions)})

    def absent(self, sessions: Collection[str]) -> set[str]:
        """Of these, which are all that anything is heard for, those that nobody was there for."""
        return set(self._uses.idle(sessions, ABSENT_MILLISECONDS))

    def reads(self) -> dict[str, Handler]:
        return {PRESENT: self._present}

    def _present(self, _session: str, body: dict[str, Raw]) -> None:
        sessions = jsonrpc.value(body.get(_SESSIONS, Raw(b"[]")))
        for session in sessions if isinstance(sessions, list) else ():
            if isinstance(session, str):
                with self._uses.of(session):
                    self.returned(session)
