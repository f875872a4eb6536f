"""POST register (RFC 7591 §3)."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.register import Register
from bifrost.base.errors import Invalid
from bifrost.http import body, encoded, strict_json
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError

MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RegisterEndpoint:
    register: Register

    async def __call__(self, request: Request) -> Response:
        raw = await body.read(request, limit=MAX_BYTES, content_type="application/json")
        try:
            metadata = strict_json.loads(raw)
        except Invalid as error:
            raise OAuthError(oauth.INVALID_CLIENT_METADATA, error.message) from error
        if not isinstance(metadata, dict):
            raise OAuthError(oauth.INVALID_CLIENT_METADATA, "The body must be a JSON object.")
        return encoded.not_stored(await self.register.register(metadata), 201)
