"""GET /.well-known/jwks.json (RFC 7517 §5): the keys with which others check JWT access tokens."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.signing_keys import PUBLISHED_SECONDS, SigningKeys
from bifrost.http import encoded


@dataclass(frozen=True, slots=True)
class Jwks:
    keys: SigningKeys

    async def __call__(self, _request: Request) -> Response:
        found = await self.keys.key_set()
        # an empty set is about to change: the first token makes the keys
        age = PUBLISHED_SECONDS if found["keys"] else 0
        return encoded.public(found, age)
