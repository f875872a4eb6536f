"""An upstream and somebody's account at it, as they are stored."""

from dataclasses import replace
from typing import Any

from bifrost.base.clock import SECOND
from bifrost.base.ids import hash_secret
from bifrost.protocol.upstream_metadata import AuthorizationServer
from bifrost.upstreams.accounts import Credential, Discovered, Owner, Registration, SignIn, TokenSet
from bifrost.upstreams.models import Upstream
from tests.support.clock import START

CALLBACK = "http://localhost:8080/api/oauth/callback"
STATE, BROWSER = hash_secret("state"), hash_secret("browser")
ANN = Owner("vk", "vk-1")
REGISTRATION = Registration(issuer="https://as.example", client_id="us", client_secret="canary-secret")


def upstream(**changes: Any) -> Upstream:
    """A server that everybody may use; `id` is also its name unless one is given."""
    usual = Upstream(
        id="up_1",
        name=changes.get("id", "up_1"),
        endpoint_slug=changes.get("id", "up_1"),
        connection_type="http",
        connection_string="https://up.example/mcp",
        auth_type="per_user_oauth",
        tools_to_execute=("*",),
        allow_on_all_virtual_keys=True,
        tool_execution_timeout=30,
        disabled=False,
    )
    return replace(usual, **changes)


def sign_in(**changes: Any) -> SignIn:
    server = AuthorizationServer(
        issuer="https://as.example",
        authorization_endpoint="https://as.example/authorize",
        token_endpoint="https://as.example/token",
    )
    usual = SignIn(
        upstream_id="up_1",
        owner=ANN,
        browser_hash=BROWSER,
        return_to="flow:flow_1",
        discovered=Discovered(server=server, resource="https://up.example/mcp", scopes=("a",)),
        registration=REGISTRATION,
        code_verifier="canary-verifier",
        scope="a",
        expires_at=START + 600 * SECOND,
    )
    return replace(usual, **changes)


def credential(**changes: Any) -> Credential:
    usual = Credential(
        upstream_id="up_1",
        owner=ANN,
        tokens=TokenSet(access_token="canary-access", refresh_token="canary-refresh", issued_at=START),
        registration=REGISTRATION,
        token_endpoint="https://as.example/token",
        resource="https://up.example/mcp",
    )
    return replace(usual, **changes)
