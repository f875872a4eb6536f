"""The guard of the management API, and the session of a browser in which an administrator signed in."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from bifrost.base import log_context
from bifrost.http import api, commands, cookies
from bifrost.http.client_address import TrustedProxies
from bifrost.http.commands import Command
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.administrators import SESSION_SECONDS, Administrators
from bifrost.identity.errors import AdministratorNeeded, CrossSiteAdministration
from bifrost.identity.models import Administrator

COOKIE = "bifrost_admin"
MAX_LOGIN_BYTES = 4_096
_SAFE = ("GET", "HEAD")


class Login(Command, frozen=True, kw_only=True):
    token: Annotated[str, Meta(min_length=1, max_length=512, description="An administrator's token.")]


class SignedIn(Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(description="Of the token; `configured` is the one of BIFROST_ADMIN_TOKEN.")]
    name: str
    expires_at: Annotated[str, Meta(description="When the session ends at the latest (RFC 3339).")]


@dataclass(frozen=True, slots=True)
class AdministratorEndpoints:
    administrators: Administrators
    public_urls: PublicUrls
    proxies: TrustedProxies

    async def guard(self, request: Request) -> None:
        """A token in the Authorization header, or a session's cookie.

        A token that does not verify never falls back to the cookie. With a cookie, which a browser sends by itself,
        a change must come from our own page. Raises AdministratorNeeded, TooManyAdministratorGuesses,
        CrossSiteAdministration.
        """
        administrator = await self._authenticated(request)
        address = self.proxies.client_address(request)
        log_context.add(administrator=administrator.id, client_address=address)

    async def signed_in(self, request: Request) -> Administrator | None:
        """The administrator whose session this browser has: for pages, which are open to everybody before that."""
        return await self.administrators.by_session(self._secrets(request))

    async def login(self, request: Request) -> Response:
        """A session for a token, which is in the body or in the Authorization header. Raises as `guard` does."""
        if request.headers.getlist("origin") and not self.public_urls.sent_from_here(request):
            raise CrossSiteAdministration
        value = _bearer(request) or await _posted(request)
        address = self.proxies.client_address(request)
        administrator, secret, expires_at = await self.administrators.login(value, address=address)
        answer = api.json(SignedIn(id=administrator.id, name=administrator.name, expires_at=api.rfc3339(expires_at)))
        answer.headers.append("Set-Cookie", self.cookie(secret))
        return answer

    async def logout(self, request: Request) -> Response:
        await self.administrators.logout(self._secrets(request))
        answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
        answer.headers.append("Set-Cookie", self.cookie("", max_age=0))
        return answer

    def cookie(self, secret: str, *, max_age: int = SESSION_SECONDS) -> str:
        return cookies.browser_cookie(
            self.cookie_name, secret, max_age=max_age, secure=self.public_urls.secure, same_site="Strict"
        )

    async def _authenticated(self, request: Request) -> Administrator:
        token = _bearer(request)
        if token is not None:
            return await self.administrators.by_token(token, address=self.proxies.client_address(request))
        administrator = await self.administrators.by_session(self._secrets(request))
        if administrator is None:
            raise AdministratorNeeded("Send an administrator's token: Authorization: Bearer …")
        if request.method not in _SAFE and not self.public_urls.sent_from_here(request):
            raise CrossSiteAdministration
        return administrator

    def _secrets(self, request: Request) -> list[str]:
        return [value for value in cookies.values(request, self.cookie_name) if value]

    @property
    def cookie_name(self) -> str:
        return cookies.host_prefixed(COOKIE, secure=self.public_urls.secure)


def _bearer(request: Request) -> str | None:
    """None without an Authorization header. Raises AdministratorNeeded."""
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise AdministratorNeeded("Send one Authorization header: Bearer and an administrator's token.")
    return token.strip()


async def _posted(request: Request) -> str:
    """Raises AdministratorNeeded when nothing was sent at all, else as `from_body` does."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        raise AdministratorNeeded("Send an administrator's token.")
    return (await commands.from_body(request, Login, limit=MAX_LOGIN_BYTES)).token
