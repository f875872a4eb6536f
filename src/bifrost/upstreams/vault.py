"""The only module that sees upstream credentials in plain text."""

from dataclasses import dataclass

import msgspec

from bifrost.base.sealing import KeyRing

_HEADERS_USE = "upstream_headers"


@dataclass(frozen=True, slots=True)
class Vault:
    ring: KeyRing

    def seal_headers(self, upstream_id: str, headers: dict[str, str]) -> str:
        return self.ring.seal(msgspec.json.encode(headers), use=_HEADERS_USE, owner=upstream_id)

    def open_headers(self, upstream_id: str, sealed: str) -> dict[str, str]:
        """Raises SealBrokenError, also when the sealed value belongs to another upstream."""
        opened = self.ring.open(sealed, use=_HEADERS_USE, owner=upstream_id)
        return msgspec.json.decode(opened, type=dict[str, str])
