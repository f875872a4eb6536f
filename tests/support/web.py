"""The outside, as far as the outbound client sees it: what stands at which address, and who asked for it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bifrost.http.client import MAX_FETCHED_BYTES, Fetched, OutboundClient, OutsideUnreachable

JSON = {"Content-Type": "application/json"}


@dataclass
class Web:
    """Addresses that are not published do not answer. Each fetch is noted, also one that fails."""

    answers: dict[str, Fetched] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def publish(self, url: str, document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[url] = Fetched(status, {**JSON, **(headers or {})}, body)

    def down(self, url: str) -> None:
        self.answers.pop(url, None)

    def answer(self, url: str, max_bytes: int) -> Fetched:
        self.fetched.append(url)
        answer = self.answers.get(url)
        if answer is None or len(answer.body) > max_bytes:
            raise OutsideUnreachable("The server at this URL gave no usable answer.")
        return answer

    @contextmanager
    def instead_of_the_network(self) -> Iterator["Web"]:
        """Every outbound client of the process asks here; which URLs it accepts stays its own decision."""

        async def fetch(client: OutboundClient, url: str, *, max_bytes: int = MAX_FETCHED_BYTES, **_: Any) -> Fetched:
            client.check_url(url)
            return self.answer(url, max_bytes)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OutboundClient, "fetch", fetch)
            yield self
