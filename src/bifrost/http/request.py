"""A request whose header fields are looked up, not searched: many rules ask for one, each of them at every request."""

from typing import Any, TypeVar, overload

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope

T = TypeVar("T")


class _Names(dict[str, bytes]):
    """The names that the product asks for, never a client's words: each is made once."""

    def __missing__(self, name: str) -> bytes:
        self[name] = made = name.lower().encode("latin-1")
        return made


_names = _Names()


class FoundHeaders(Headers):
    """Like any other, in every answer that it gives: of a name that came twice the first counts."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._list = raw
        self._first = dict(reversed(raw))

    @overload
    def get(self, key: str, /) -> str | None: ...
    @overload
    def get(self, key: str, /, default: str) -> str: ...
    @overload
    def get(self, key: str, /, default: T) -> str | T: ...
    def get(self, key: str, /, default: Any = None) -> Any:
        found = self._first.get(_names[key])
        return default if found is None else found.decode("latin-1")

    def __getitem__(self, key: str) -> str:
        return self._first[_names[key]].decode("latin-1")

    def __contains__(self, key: Any) -> bool:
        return _names[key] in self._first

    def getlist(self, key: str) -> list[str]:
        name = _names[key]
        if name not in self._first:
            return []
        if len(self._first) == len(self._list):  # no name came twice
            return [self._first[name].decode("latin-1")]
        return super().getlist(key)


class IncomingRequest(Request):
    """What every rule asks for are plain attributes of it."""

    headers: Headers = Headers()
    method: str = ""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.headers = FoundHeaders(scope["headers"])
        self.method = scope["method"]
