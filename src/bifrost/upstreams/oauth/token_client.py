"""The token endpoint as a client (OAuth 2.1 §3.2): exchange a code, refresh, tell the two kinds of failure apart."""

import asyncio
import base64
import re
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid
from bifrost.http import strict_json
from bifrost.http.client import Fetched, OutboundClient, OutsideUnreachable, OutsideUrlRefused
from bifrost.protocol import oauth
from bifrost.upstreams.accounts import Credential, Registration, SignIn, TokenSet
from bifrost.upstreams.oauth import profiles
from bifrost.upstreams.oauth.client_key import ClientKey
from bifrost.upstreams.oauth.profiles import Profile

_HTTP_OK = 200
_HTTP_CREATED = 201
_DEFINITE = (oauth.INVALID_GRANT, oauth.INVALID_CLIENT, oauth.UNAUTHORIZED_CLIENT, oauth.INVALID_SCOPE)
_TRANSIENT = ("temporarily_unavailable", "server_error")
"""Codes of RFC 6749 §4.1.2.1 that some token endpoints borrow."""

FORM = "application/x-www-form-urlencoded"
MAX_DIGITS = 10
REVOCATION_SECONDS = 5.0
"""How long whoever ends a credential waits for its service to be told."""

_TOKEN = re.compile(r"[!-~]{1,16384}")
"""RFC 6750 §2.1, with every visible sign, for some need more: it stands in a header, which nothing in it may end."""

_BAD_REQUEST, _UNAUTHORIZED = 400, 401
"""The statuses of a refusal (RFC 6749 §5.2). Others come from whatever stands in front: a proxy, a page, a redirect."""


class TokenRefused(Exception):
    """The authorization server said no, and would say it again. `code` is its own word."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TokenUnavailable(Exception):
    """No answer, or one that may be different the next time."""


@dataclass(frozen=True, slots=True)
class TokenClient:
    client: OutboundClient
    key: ClientKey
    clock: Clock

    async def exchange(self, sign_in: SignIn, code: str, redirect_uri: str) -> TokenSet:
        """Raises TokenRefused, TokenUnavailable."""
        form = {
            "grant_type": oauth.AUTHORIZATION_CODE,
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": sign_in.code_verifier,
            **_resource(sign_in.registration, sign_in.discovered.resource),
        }
        return await self._post(sign_in.discovered.server.token_endpoint, sign_in.registration, form, sign_in.scope)

    async def refresh(self, credential: Credential) -> TokenSet:
        """The new set; a refresh token that was not replaced stays. Raises TokenRefused, TokenUnavailable."""
        old = credential.tokens
        form = {
            "grant_type": oauth.REFRESH_TOKEN,
            "refresh_token": old.refresh_token,
            **_resource(credential.registration, credential.resource),
        }
        fresh = await self._post(credential.token_endpoint, credential.registration, form, old.scope)
        return fresh if fresh.refresh_token else replace(fresh, refresh_token=old.refresh_token)

    async def _post(self, endpoint: str, registration: Registration, form: dict[str, str], scope: str) -> TokenSet:
        answer = await self._ask(endpoint, registration, form, _HTTP_OK)
        return _token_set(answer, scope, profiles.of(registration.issuer), self.clock.now())

    async def revoke(self, credential: Credential, *, seconds: float) -> bool:
        """Tell the server that the sign-in is over (RFC 7009 §2), once; whether it said that it knows."""
        token = credential.tokens.refresh_token or credential.tokens.access_token
        hint = "refresh_token" if credential.tokens.refresh_token else "access_token"
        form = {"token": token, "token_type_hint": hint}
        try:
            async with asyncio.timeout(seconds):
                fetched = await self._send(credential.revocation_endpoint, credential.registration, form)
        except (OutsideUnreachable, OutsideUrlRefused, TimeoutError):
            return False
        return fetched.status == _HTTP_OK

    async def push(self, endpoint: str, registration: Registration, parameters: dict[str, str]) -> str:
        """An authorization request, handed over beforehand (RFC 9126 §2): its `request_uri`.

        Raises TokenRefused, TokenUnavailable.
        """
        answer = await self._ask(endpoint, registration, parameters, _HTTP_CREATED)
        request_uri = answer.get("request_uri")
        if not isinstance(request_uri, str) or not request_uri:
            raise TokenUnavailable
        return request_uri

    async def _ask(
        self, endpoint: str, registration: Registration, form: dict[str, str], expected: int
    ) -> dict[str, Any]:
        try:
            fetched = await self._send(endpoint, registration, form)
        except (OutsideUnreachable, OutsideUrlRefused) as error:  # also one that is not gone to any more
            raise TokenUnavailable from error
        answer, status = _object(fetched), fetched.status
        if status == expected and answer.get("error") and not answer.get("access_token"):
            status = _BAD_REQUEST  # some say errors with the status of success
        if status != expected:
            code = answer.get("error")
            raise _refusal(status, dict(profiles.of(registration.issuer).errors).get(str(code), code))
        return answer

    async def _send(self, endpoint: str, registration: Registration, form: dict[str, str]) -> Fetched:
        credentials = await self._authentication(registration)
        headers = {"Content-Type": FORM, "Accept": "application/json"}
        return await self.client.fetch(
            endpoint,
            method="POST",
            body=urlencode({**form, **credentials.form}).encode(),
            headers={**headers, **credentials.headers},
        )

    async def _authentication(self, registration: Registration) -> "_Credentials":
        """RFC 6749 §2.3.1: inside Basic both parts are form-urlencoded. RFC 7523 §2.2: or a signature."""
        if registration.auth_method == oauth.CLIENT_SECRET_BASIC:
            pair = f"{quote(registration.client_id, safe='')}:{quote(registration.client_secret, safe='')}"
            return _Credentials({}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})
        form = {"client_id": registration.client_id}
        if registration.auth_method == oauth.CLIENT_SECRET_POST:
            form["client_secret"] = registration.client_secret
        if registration.auth_method == oauth.PRIVATE_KEY_JWT:
            form["client_assertion_type"] = oauth.CLIENT_ASSERTION_TYPE
            form["client_assertion"] = await self.key.assertion(registration.client_id, registration.issuer)
        return _Credentials(form, {})


def _refusal(status: int, code: object) -> TokenRefused | TokenUnavailable:
    """A refusal costs a person a new sign-in, so only what is surely one counts."""
    if status not in (_BAD_REQUEST, _UNAUTHORIZED) or code in _TRANSIENT:
        return TokenUnavailable()
    if isinstance(code, str) and code in _DEFINITE:
        return TokenRefused(code)
    return TokenRefused(oauth.INVALID_CLIENT if status == _UNAUTHORIZED else "refused")


@dataclass(frozen=True, slots=True)
class _Credentials:
    form: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)


def _resource(registration: Registration, resource: str) -> dict[str, str]:
    """RFC 8707 §2.2, for servers that know the parameter by its own name."""
    return {"resource": resource} if profiles.of(registration.issuer).resource_name == "resource" else {}


def _token_set(answer: dict[str, Any], scope: str, profile: Profile, now: int) -> TokenSet:
    """RFC 6749 §5.1. A token of a type that is not used like Bearer could not be used."""
    access, kind = answer.get("access_token"), str(answer.get("token_type")).lower()
    if not isinstance(access, str) or not _TOKEN.fullmatch(access) or kind not in profile.token_types:
        raise TokenRefused("unusable_token")
    refresh, granted = answer.get("refresh_token"), answer.get("scope")
    seconds = _seconds(answer.get("expires_in")) or profile.lifetime_seconds
    return TokenSet(
        access_token=access,
        refresh_token=refresh if isinstance(refresh, str) else "",
        scope=granted.replace(profile.scope_separator, " ") if isinstance(granted, str) and granted else scope,
        issued_at=now,
        expires_at=now + seconds * SECOND if seconds else None,
    )


def _seconds(value: object) -> int | None:
    """`expires_in`: a number, which some write as a text. None when it says nothing that can be true."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**MAX_DIGITS:
        return None
    return int(value) or 1


def _object(fetched: Fetched) -> dict[str, Any]:
    """JSON, or the form that some servers still answer with."""
    if fetched.headers.get("Content-Type", "").partition(";")[0].strip().lower() == FORM:
        return dict(parse_qsl(fetched.body.decode("utf-8", "replace")))
    try:
        answer = strict_json.loads(fetched.body)
    except Invalid:
        return {}
    return answer if isinstance(answer, dict) else {}
