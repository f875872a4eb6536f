"""The authorization server of one sample service: accounts by name, a sign-in page, everything in memory.

As much of OAuth 2.1 as MCP asks of a server: metadata (RFC 8414), registration (RFC 7591), PKCE, `iss` (RFC 9207), and
refresh tokens that rotate. Whoever knows an account's name is that account: it is a sample, on loopback only.
"""

import html
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from bifrost.base import ids
from bifrost.protocol import metadata, oauth, pkce

ACCESS_TOKEN_SECONDS: Final = 3_600
MAX_ACCOUNT_CHARACTERS: Final = 40
MAX_BODY_BYTES: Final = 64 * 1024
#: Clients, codes and tokens kept; the oldest go first, so that a loop cannot fill the machine.
MAX_KEPT: Final = 1_000

_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Sign in at {service}</title>
<style>body{{font:1.1rem system-ui;max-width:26rem;margin:4rem auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem}}</style>
<h1>{service}</h1><p>This is the sample service's own sign-in page. Bifrost asks for access to your account here.</p>
<form method="post" action=""><label>Account name <input type="text" name="account" required maxlength="{most}"></label>
<button type="submit">Sign in and allow</button></form></html>"""
_NO_STORE: Final = {"Cache-Control": "no-store"}
_PRIVATE: Final = {
    **_NO_STORE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


class Refused(Exception):
    """A request that cannot be answered; `code` is the word of RFC 6749 §5.2."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Kept(OrderedDict[str, Any]):
    def keep(self, key: str, value: Any) -> None:
        self[key] = value
        while len(self) > MAX_KEPT:
            self.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    account: str
    client_id: str
    redirect_uri: str
    challenge: str


@dataclass(slots=True)
class Accounts:
    """`issuer` and `resource` are URLs of the running service; `service` is its name for people."""

    service: str
    issuer: str
    resource: str
    _clients: _Kept = field(default_factory=_Kept)
    _codes: _Kept = field(default_factory=_Kept)
    _access: _Kept = field(default_factory=_Kept)
    _refresh: _Kept = field(default_factory=_Kept)

    def routes(self) -> list[Route]:
        """Everything below the issuer, and its two documents."""
        path, resource = urlsplit(self.issuer).path, urlsplit(self.resource).path
        return [
            Route(f"{metadata.AUTHORIZATION_SERVER}{path}", self._metadata),
            Route(f"{metadata.PROTECTED_RESOURCE}{resource}", self._resource_metadata),
            Route(f"{path}/register", self._register, methods=["POST"]),
            Route(f"{path}/sign-in", self._sign_in, methods=["GET", "POST"]),
            Route(f"{path}/token", self._token, methods=["POST"]),
        ]

    def account_of(self, authorization: str) -> str | None:
        """Whose token this header carries; None for anybody else."""
        found: str | None = self._access.get(authorization.removeprefix("Bearer "))
        return found

    def challenge(self) -> str:
        """The WWW-Authenticate of a refusal (RFC 9728 §5.1)."""
        origin = self.issuer.removesuffix(urlsplit(self.issuer).path)
        return f'Bearer resource_metadata="{origin}{metadata.PROTECTED_RESOURCE}{urlsplit(self.resource).path}"'

    async def _metadata(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/sign-in",
                "token_endpoint": f"{self.issuer}/token",
                "registration_endpoint": f"{self.issuer}/register",
                "response_types_supported": [oauth.RESPONSE_TYPE],
                "grant_types_supported": list(oauth.GRANT_TYPES),
                "token_endpoint_auth_methods_supported": [oauth.NONE],
                "code_challenge_methods_supported": [pkce.METHOD],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _resource_metadata(self, _request: Request) -> Response:
        return JSONResponse({"resource": self.resource, "authorization_servers": [self.issuer]})

    async def _register(self, request: Request) -> Response:
        try:
            document = msgspec.json.decode(await _body(request))
            redirect_uris = [str(uri) for uri in document["redirect_uris"]]
        except (Refused, msgspec.DecodeError, KeyError, TypeError):
            return JSONResponse({"error": oauth.INVALID_CLIENT_METADATA}, 400, _NO_STORE)
        client_id = ids.new_id("sample_")
        self._clients.keep(client_id, redirect_uris)
        registered = {"client_id": client_id, "redirect_uris": redirect_uris, "token_endpoint_auth_method": oauth.NONE}
        return JSONResponse(registered, 201, _NO_STORE)

    async def _sign_in(self, request: Request) -> Response:
        """The page, and its form. What is wrong with the request is said here: nobody is sent away with it."""
        query = request.query_params
        right = (
            query.get("redirect_uri") in self._clients.get(query.get("client_id", ""), ())
            and query.get("response_type") == oauth.RESPONSE_TYPE
            and query.get("code_challenge_method") == pkce.METHOD
            and pkce.is_challenge(query.get("code_challenge", ""))
            and query.get("resource", self.resource) == self.resource
        )
        if not right:
            return PlainTextResponse("This is not a request that this service can answer.", 400, _PRIVATE)
        try:
            account = (await _form(request)).get("account", "").strip()
        except Refused:
            account = ""
        if not 0 < len(account) <= MAX_ACCOUNT_CHARACTERS:
            page = _PAGE.format(service=html.escape(self.service), most=MAX_ACCOUNT_CHARACTERS)
            return HTMLResponse(page, headers=_PRIVATE)
        code = ids.new_secret()
        redirect_uri, challenge = query["redirect_uri"], query["code_challenge"]
        self._codes.keep(
            code,
            _Code(account=account, client_id=query["client_id"], redirect_uri=redirect_uri, challenge=challenge),
        )
        answer = {"code": code, "state": query.get("state", ""), "iss": self.issuer}
        return RedirectResponse(f"{redirect_uri}?{urlencode(answer)}", 303, _PRIVATE)

    async def _token(self, request: Request) -> Response:
        try:
            account, client_id = self._redeemed(await _form(request))
        except Refused as refused:
            return JSONResponse({"error": refused.code}, 400, _NO_STORE)
        access, refresh = ids.new_secret(), ids.new_secret()
        self._access.keep(access, account)
        self._refresh.keep(refresh, (account, client_id))
        answer = {"access_token": access, "token_type": "Bearer", "refresh_token": refresh}
        return JSONResponse({**answer, "expires_in": ACCESS_TOKEN_SECONDS}, headers=_NO_STORE)

    def _redeemed(self, form: dict[str, str]) -> tuple[str, str]:
        """The account and the client that a code or a refresh token belongs to; each works once. Raises Refused."""
        client_id = form.get("client_id", "")
        if form.get("grant_type") == oauth.REFRESH_TOKEN:
            account, owner = self._refresh.pop(form.get("refresh_token", ""), ("", ""))
            if account and owner == client_id:
                return account, client_id
            raise Refused(oauth.INVALID_GRANT)
        if form.get("grant_type") != oauth.AUTHORIZATION_CODE:
            raise Refused(oauth.UNSUPPORTED_GRANT_TYPE)
        code = self._codes.pop(form.get("code", ""), None)
        if (
            code is None
            or (code.client_id, code.redirect_uri) != (client_id, form.get("redirect_uri"))
            or not pkce.verifies(form.get("code_verifier", ""), code.challenge)
        ):
            raise Refused(oauth.INVALID_GRANT)
        return code.account, client_id


async def _form(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl((await _body(request)).decode(), max_num_fields=20))
    except ValueError:
        raise Refused(oauth.INVALID_REQUEST) from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(oauth.INVALID_REQUEST)
    return bytes(body)
