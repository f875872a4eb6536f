"""The token endpoint as a client (OAuth 2.1 §3.2): exchange a code, refresh, tell the two kinds of failure apart."""

import base64
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from bifrost.base.clock import SECOND, Clock
from bifrost.base.errors import Invalid
from bifrost.http import strict_json
from bifrost.http.client import OutboundClient, OutsideUnreachable
from bifrost.protocol import oauth
from bifrost.upstreams.accounts import Credential, Registration, SignIn, TokenSet

_HTTP_OK = 200
_HTTP_CREATED = 201
_DEFINITE = (oauth.INVALID_GRANT, oauth.INVALID_CLIENT, oauth.UNAUTHORIZED_CLIENT, oauth.INVALID_SCOPE)
_TRANSIENT = ("temporarily_unavailable", "server_error")
"""Codes of RFC 6749 §4.1.2.1 that some token endpoints borrow."""

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
    clock: Clock

    async def exchange(self, sign_in: SignIn, code: str, redirect_uri: str) -> TokenSet:
        """Raises TokenRefused, TokenUnavailable."""
        form = {
            "grant_type": oauth.AUTHORIZATION_CODE,
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": sign_in.code_verifier,
            "resource": sign_in.discovered.resource,
        }
        return await self._post(sign_in.discovered.server.token_endpoint, sign_in.registration, form, sign_in.scope)

    async def refresh(self, credential: Credential) -> TokenSet:
        """The new set; a refresh token that was not replaced stays. Raises TokenRefused, TokenUnavailable."""
        old = credential.tokens
        form = {
            "grant_type": oauth.REFRESH_TOKEN,
            "refresh_token": old.refresh_token,
            "resource": credential.resource,
        }
        fresh = await self._post(credential.token_endpoint, credential.registration, form, old.scope)
        return fresh if fresh.refresh_token else replace(fresh, refresh_token=old.refresh_token)

    async def _post(self, endpoint: str, registration: Registration, form: dict[str, str], scope: str) -> TokenSet:
        answer = await self._ask(endpoint, registration, form, _HTTP_OK)
        return _token_set(answer, scope, self.clock.now())

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
        credentials = _authentication(registration)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            fetched = await self.client.fetch(
                endpoint,
                method="POST",
                body=urlencode({**form, **credentials.form}).encode(),
                headers={**headers, **credentials.headers},
            )
        except OutsideUnreachable as error:
            raise TokenUnavailable from error
        answer = _object(fetched.body)
        if fetched.status != expected:
            raise _refusal(fetched.status, answer.get("error"))
        return answer


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


def _authentication(registration: Registration) -> _Credentials:
    """RFC 6749 §2.3.1: inside Basic both parts are form-urlencoded."""
    if registration.auth_method == oauth.CLIENT_SECRET_BASIC:
        pair = f"{quote(registration.client_id, safe='')}:{quote(registration.client_secret, safe='')}"
        return _Credentials({}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})
    form = {"client_id": registration.client_id}
    if registration.auth_method == oauth.CLIENT_SECRET_POST:
        form["client_secret"] = registration.client_secret
    return _Credentials(form, {})


def _token_set(answer: dict[str, Any], scope: str, now: int) -> TokenSet:
    """RFC 6749 §5.1. A token of another type than Bearer could not be used."""
    access, kind = answer.get("access_token"), answer.get("token_type", "")
    if not isinstance(access, str) or not access or not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefused("unusable_token")
    refresh, lifetime, granted = answer.get("refresh_token"), answer.get("expires_in"), answer.get("scope")
    return TokenSet(
        access_token=access,
        refresh_token=refresh if isinstance(refresh, str) else "",
        scope=granted if isinstance(granted, str) else scope,
        issued_at=now,
        expires_at=now + int(lifetime) * SECOND if isinstance(lifetime, int | float) and lifetime > 0 else None,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        answer = strict_json.loads(body)
    except Invalid:
        return {}
    return answer if isinstance(answer, dict) else {}
