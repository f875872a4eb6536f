"""A guarded MCP server whose authorization server has the habits of a well-known one, and insists on them."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from tests.support.oauth_upstream import OAuthUpstream


@dataclass
class Provider(OAuthUpstream):
    """Each knob is one habit."""

    minimum: tuple[str, ...] = ()
    """What the upstream itself asks for."""
    needs: tuple[tuple[str, str], ...] = ()
    """Parameters without which it refuses the authorization request."""
    needs_for_renewal: tuple[tuple[str, str], ...] = ()
    """Parameters without which there is no refresh token."""
    needs_scope_for_renewal: str = ""
    refuses_resource: bool = False
    separator: str = " "
    basic_only: bool = False
    token_type: str = "Bearer"
    form_encoded: bool = False
    errors_with_200: bool = False
    refusal: str = "invalid_grant"
    slash: str = ""
    """At the end of the issuer, where the upstream names it."""
    silent_about_pkce: bool = False
    expiry_as_text: bool = False

    async def _resource(self, _request: Request) -> Response:
        servers = [f"{self.origin}{self.slash}"]
        return JSONResponse(
            {"resource": self.url, "authorization_servers": servers, "scopes_supported": list(self.minimum)}
        )

    async def _server(self, request: Request) -> Response:
        if self.silent_about_pkce:
            self.metadata = {**self.metadata, "code_challenge_methods_supported": None}
        return await super()._server(request)

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        refused = _lacks(query, self.needs) or (self.refuses_resource and "resource" in query)
        if refused or (self.separator != " " and " " in query.get("scope", "")):
            self.authorizations.append(query)
            answer = {"state": query["state"], "iss": self.origin, "error": "invalid_request"}
            return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)
        return await super()._authorize(request)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        if self.refuses_resource and "resource" in form:
            return JSONResponse({"error": "invalid_target"}, 400)
        if self.basic_only and not request.headers.get("authorization", "").startswith("Basic "):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.get(form.get("code", ""), {})
        answer = await super()._token(request)
        body: dict[str, Any] = _members(answer)
        if answer.status_code == 200 and asked and not self._renews(asked):
            del body["refresh_token"]
        return self._answered(body, answer.status_code)

    def _answered(self, body: dict[str, Any], status: int) -> Response:
        if "error" in body:
            return JSONResponse({"ok": False, "error": self.refusal}, 200 if self.errors_with_200 else status)
        body["token_type"] = self.token_type
        if self.minimum:
            body["scope"] = self.separator.join(self.minimum)
        if self.expiry_as_text and "expires_in" in body:
            body["expires_in"] = str(body["expires_in"])
        if self.form_encoded:
            return Response(urlencode(body), media_type="application/x-www-form-urlencoded")
        return JSONResponse(body)

    def _renews(self, asked: dict[str, str]) -> bool:
        scopes = asked.get("scope", "").split(self.separator)
        wanted = not self.needs_scope_for_renewal or self.needs_scope_for_renewal in scopes
        return wanted and not _lacks(asked, self.needs_for_renewal)


def _lacks(given: dict[str, str], needed: tuple[tuple[str, str], ...]) -> bool:
    return any(given.get(name) != value for name, value in needed)


def _members(answer: Response) -> dict[str, Any]:

    found: dict[str, Any] = json.loads(bytes(answer.body))
    return found
