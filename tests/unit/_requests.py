"""Requests as Starlette would hand them over, made of nothing but their scope."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


def request(
    headers: Headers = (),
    *,
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
    peer: tuple[str, int] | None = ("203.0.113.7", 40_000),
    body: bytes = b"",
    event_id: str = "evt_test",
) -> Request:
    """`headers` may name one header several times when given as pairs."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    sent = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, object]:
        return next(sent, {"type": "http.disconnect"})

    return Request(
        {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
            "client": peer,
            "server": ("localhost", 8080),
            "scheme": "http",
            "event_id": event_id,
        },
        receive,
    )
