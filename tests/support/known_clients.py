"""Known MCP clients as they meet an authorization server: what each sends, and what it insists on.

Reviewed data: registration bodies and habits as they were seen in 2026. `tests/flows/test_known_clients.py` plays each.
"""

from dataclasses import dataclass
from typing import Any, Literal

from tests.support import published_documents

PUBLIC: dict[str, Any] = {
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClient:
    """`registration` is what it posts, unless it has a published `document`; `redirect_uri` is where it then listens."""

    name: str
    redirect_uri: str
    registration: dict[str, Any] | None = None
    document: dict[str, Any] | None = None
    dropped: tuple[str, ...] = ()
    """Redirect URIs that are not kept; the rest of the registration is."""
    scope: Literal["challenge", "all supported", "with offline_access", "openid email profile", "none"] = "challenge"
    resource: Literal["as typed", "origin", "none"] = "as typed"
    begins: Literal["POST", "GET", "guesses addresses"] = "POST"
    resource_must_equal: Literal["typed", "typed or origin", "unchecked"] = "typed"
    needs_iss: bool = False
    web_origin: str = ""
    """A client in a browser asks across origins, with a preflight for everything."""
    signs: bool = False
    """It proves itself with private_key_jwt."""
    secret_by: Literal["", "post", "basic", "basic, with its id in the body"] = ""


def _registers(name: str, *uris: str, **members: Any) -> dict[str, Any]:
    return {"client_name": name, "redirect_uris": list(uris), **PUBLIC, **members}


CURSOR_URIS = (
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "http://localhost:8787/callback",
)
VSCODE_URIS = (
    "https://insiders.vscode.dev/redirect",
    "https://vscode.dev/redirect",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
)
CLAUDE_URIS = ("https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback")

KNOWN: tuple[KnownClient, ...] = (
    KnownClient(
        name="Claude Code",
        document=published_documents.CLAUDE_CODE,
        redirect_uri="http://localhost:52505/callback",
        scope="with offline_access",
        resource_must_equal="typed or origin",
    ),
    KnownClient(
        name="Claude Code, where documents are off",
        registration=_registers("Claude Code (bifrost)", "http://localhost:3118/callback"),
        redirect_uri="http://localhost:3118/callback",
        resource="origin",
        resource_must_equal="typed or origin",
    ),
    *(
        KnownClient(
            name=f"claude.ai at {uri.split('/')[2]}",
            registration=_registers("Claude", *CLAUDE_URIS, token_endpoint_auth_method="client_secret_post"),
            redirect_uri=uri,
            scope="with offline_access",
            secret_by="post",
        )
        for uri in CLAUDE_URIS
    ),
    KnownClient(
        name="claude.ai, published",
        document=published_documents.CLAUDE_AI,
        redirect_uri="https://claude.ai/api/mcp/auth_callback",
        scope="with offline_access",
    ),
    KnownClient(
        name="ChatGPT, published",
        document=published_documents.CHATGPT,
        redirect_uri="https://chatgpt.com/connector_platform_oauth_redirect",
        needs_iss=True,
        signs=True,
    ),
    KnownClient(
        name="ChatGPT, one callback for each connector",
        registration=_registers("ChatGPT", "https://chatgpt.com/connector/oauth/Qm8z-4xT1kWb"),
        redirect_uri="https://chatgpt.com/connector/oauth/Qm8z-4xT1kWb",
    ),
    *(
        KnownClient(
            name=f"Cursor at {uri.split('/')[0]}//{uri.split('/')[2]}",
            registration=_registers("Cursor", *CURSOR_URIS, application_type="web"),
            redirect_uri=uri,
            scope="all supported",
        )
        for uri in CURSOR_URIS
    ),
    KnownClient(
        name="Cursor, older",
        registration=_registers("Cursor", "cursor://anysphere.cursor-retrieval/oauth/user-7f3a/callback"),
        redirect_uri="cursor://anysphere.cursor-retrieval/oauth/user-7f3a/callback",
        scope="all supported",
    ),
    *(
        KnownClient(
            name=f"Visual Studio Code at {uri}",
            registration=_registers(
                "Visual Studio Code",
                *VSCODE_URIS,
                grant_types=[
                    "authorization_code",
                    "refresh_token",
                    "urn:ietf:params:oauth:grant-type:device_code",
                ],
                application_type="native",
            ),
            redirect_uri=uri,
        )
        for uri in (*VSCODE_URIS, "http://127.0.0.1:60001/")
    ),
    KnownClient(
        name="Visual Studio Code, published",
        document=published_documents.VISUAL_STUDIO_CODE,
        redirect_uri="http://127.0.0.1:60002/",
    ),
    KnownClient(
        name="Codex, which sends no resource",
        registration=_registers("Codex", "http://127.0.0.1:41873/callback/3f9ac2"),
        redirect_uri="http://127.0.0.1:41873/callback/3f9ac2",
        resource="none",
        resource_must_equal="unchecked",
        needs_iss=True,
    ),
    KnownClient(
        name="Codex, published",
        document=published_documents.CODEX,
        redirect_uri="http://127.0.0.1:41874/callback",
        needs_iss=True,
    ),
    KnownClient(
        name="mcp-remote",
        registration=_registers(
            "MCP CLI Proxy",
            "http://localhost:13131/oauth/callback",
            client_uri="https://github.com/modelcontextprotocol/mcp-cli",
            software_id="2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
            software_version="0.15.1",
        ),
        redirect_uri="http://localhost:13131/oauth/callback",
        scope="openid email profile",
        begins="GET",
        resource_must_equal="unchecked",
        needs_iss=True,
    ),
    KnownClient(
        name="MCP Inspector",
        registration=_registers(
            "MCP Inspector",
            "http://localhost:6274/oauth/callback",
            client_uri="https://github.com/modelcontextprotocol/inspector",
            scope="mcp:read mcp:write",
        ),
        redirect_uri="http://localhost:6274/oauth/callback",
        web_origin="http://localhost:6274",
        needs_iss=True,
    ),
    KnownClient(
        name="LM Studio",
        registration=_registers("LM Studio", "http://127.0.0.1:35555/mcp-oauth", "lmstudio://mcp/oauth"),
        redirect_uri="http://127.0.0.1:35555/mcp-oauth",
    ),
    KnownClient(
        name="LM Studio with a secret",
        registration=_registers(
            "LM Studio", "http://127.0.0.1:35555/mcp-oauth", token_endpoint_auth_method="client_secret_basic"
        ),
        redirect_uri="http://127.0.0.1:35555/mcp-oauth",
        secret_by="basic",
    ),
    KnownClient(
        name="Goose, which guesses addresses",
        registration=_registers("goose", "http://localhost:40001/oauth_callback"),
        redirect_uri="http://localhost:40001/oauth_callback",
        scope="none",
        begins="guesses addresses",
        resource="none",
        resource_must_equal="unchecked",
    ),
    KnownClient(
        name="Home Assistant, which guesses addresses",
        registration=_registers("Home Assistant", "https://my.home-assistant.io/redirect/oauth"),
        redirect_uri="https://my.home-assistant.io/redirect/oauth",
        scope="none",
        begins="guesses addresses",
        resource="none",
        resource_must_equal="unchecked",
    ),
    KnownClient(
        name="Python SDK, which says who it is twice and puts a slash behind an origin",
        registration=_registers(
            "Python host", "http://localhost:3030/callback", token_endpoint_auth_method="client_secret_basic"
        ),
        redirect_uri="http://localhost:3030/callback",
        resource="origin",
        secret_by="basic, with its id in the body",
    ),
    KnownClient(
        name="opencode",
        registration=_registers(
            "OpenCode", "http://127.0.0.1:19876/mcp/oauth/callback", client_uri="https://opencode.ai"
        ),
        redirect_uri="http://127.0.0.1:19876/mcp/oauth/callback",
    ),
    KnownClient(
        name="opencode, published",
        document=published_documents.OPENCODE,
        redirect_uri="http://127.0.0.1:19877/callback",
    ),
    KnownClient(
        name="Gemini CLI",
        registration=_registers("Gemini CLI MCP Client", "http://localhost:7777/oauth/callback"),
        redirect_uri="http://localhost:7777/oauth/callback",
        scope="all supported",
        needs_iss=True,
    ),
    KnownClient(
        name="a client with one redirect nobody can take",
        registration=_registers("Mixed", "http://mixed.example/cb", "mixed:cb", "https://mixed.example/cb"),
        dropped=("http://mixed.example/cb", "mixed:cb"),
        redirect_uri="https://mixed.example/cb",
    ),
)
