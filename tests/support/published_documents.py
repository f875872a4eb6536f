"""Metadata documents that known clients publish, as they were in the autumn of 2026, and one already in a database."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

CODE_AND_REFRESH = {"grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}

CLAUDE_CODE: dict[str, Any] = {
    "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
    "client_name": "Claude Code",
    "client_uri": "https://claude.ai",
    "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    "token_endpoint_auth_method": "none",
    **CODE_AND_REFRESH,
}
CHATGPT: dict[str, Any] = {
    "client_id": "https://chatgpt.com/oauth/client.json",
    "client_name": "ChatGPT",
    "client_uri": "https://chatgpt.com/",
    "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": "https://chatgpt.com/oauth/jwks.json",
    **CODE_AND_REFRESH,
}
VISUAL_STUDIO_CODE: dict[str, Any] = {
    "client_id": "https://vscode.dev/oauth/client-metadata.json",
    "client_name": "Visual Studio Code",
    "client_uri": "https://vscode.dev/product",
    "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "application_type": "native",
}
CODEX: dict[str, Any] = {
    "client_id": "https://chatgpt.com/oauth/codex/client.json",
    "client_name": "Codex",
    "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
    "token_endpoint_auth_method": "none",
    **CODE_AND_REFRESH,
}
OPENCODE: dict[str, Any] = {
    "client_id": "https://opencode.ai/oauth/opencode/client.json",
    "client_name": "opencode",
    "client_uri": "https://opencode.ai",
    "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
    "token_endpoint_auth_method": "none",
    **CODE_AND_REFRESH,
}
CLAUDE_AI: dict[str, Any] = {
    "client_id": "https://claude.ai/oauth/mcp-oauth-client-metadata",
    "client_name": "Claude",
    "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
    "token_endpoint_auth_method": "none",
    **CODE_AND_REFRESH,
}
ALL = (CLAUDE_CODE, CHATGPT, VISUAL_STUDIO_CODE, CODEX, OPENCODE, CLAUDE_AI)


def keep(database: Path, document: dict[str, Any]) -> None:
    """As if its client had been allowed before: then the gateway needs no network to know it."""
    kept = ("redirect_uris", "grant_types", "token_endpoint_auth_method")
    metadata = {name: document[name] for name in kept} | {"verified_host": document["client_id"].split("/")[2]}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO oauth_clients (id, client_id, origin, client_name, metadata, secret_hash, label, scope_limit, "
            "fetched_at, fresh_until, config_mac, created_at, updated_at) "
            "VALUES ('kept', ?, 'document', ?, ?, '', '', '', 0, ?, '', 0, 0)",
            (document["client_id"], document["client_name"], json.dumps(metadata), 2**62),
        )
