"""Authlib's AsyncOAuth2Client (what Starlette and FastAPI applications use) against the authorization server.

    authlib_client.py http://127.0.0.1:8080/mcp [--auth-method none] [--scope "mcp:read"] [--print-token]

Discovery, registration, PKCE, code, refresh, introspection and revocation where advertised. With --print-token only
the access token is printed, for use as a bearer by any other tool.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.common.security import generate_token
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from autobrowser import approve
from loopback import Loopback


def well_known(url: str, name: str) -> str:
    """RFC 8414 §3.1 and RFC 9728 §3.1: the well-known part goes between host and path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


async def discover(http: httpx2.AsyncClient, url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of the protected resource at `url` and of its authorization server."""
    resource = (await http.get(well_known(url, "oauth-protected-resource"))).raise_for_status().json()
    issuer = resource["authorization_servers"][0]
    server = (await http.get(well_known(issuer, "oauth-authorization-server"))).raise_for_status().json()
    if server["issuer"] != issuer:
        raise RuntimeError(f"issuer {server['issuer']!r} is not {issuer!r}")
    return resource, server


async def register(
    http: httpx2.AsyncClient, server: dict[str, Any], *, name: str, redirect_uri: str, auth_method: str, scope: str
) -> dict[str, Any]:
    request = {
        "client_name": name,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": auth_method,
        "scope": scope,
    }
    answer = await http.post(server["registration_endpoint"], json=request)
    registered: dict[str, Any] = answer.raise_for_status().json()
    return registered


async def sign_in(
    client: AsyncOAuth2Client, server: dict[str, Any], resource: str, callback: Loopback
) -> dict[str, Any]:
    """One authorization code, and the refresh token used once at once; returns the newest tokens."""
    verifier = generate_token(64)
    url, state = client.create_authorization_url(
        server["authorization_endpoint"],
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        resource=resource,
    )
    await asyncio.to_thread(approve, url)
    first = await client.fetch_token(
        server["token_endpoint"],
        authorization_response=await asyncio.to_thread(callback.wait_url),
        state=state,
        code_verifier=verifier,
        resource=resource,
    )
    second: dict[str, Any] = await client.refresh_token(server["token_endpoint"], resource=resource)
    if second["refresh_token"] == first["refresh_token"]:
        raise RuntimeError("the refresh token was not rotated")
    return second


async def run(args: argparse.Namespace) -> dict[str, Any]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        resource, server = await discover(http, args.url)
        scope = args.scope or " ".join(resource["scopes_supported"])
        with Loopback() as callback:
            where, method = callback.redirect_uri, args.auth_method
            info = await register(
                http, server, name="authlib driver", redirect_uri=where, auth_method=method, scope=scope
            )
            async with AsyncOAuth2Client(
                client_id=info["client_id"],
                client_secret=info.get("client_secret"),
                token_endpoint_auth_method=method,
                revocation_endpoint_auth_method=method,
                redirect_uri=where,
                scope=scope,
                trust_env=False,
            ) as client:
                token = await sign_in(client, server, resource["resource"], callback)
                if args.print_token:
                    return token
                seen: dict[str, Any] = {}
                if endpoint := server.get("introspection_endpoint"):
                    asked = await client.introspect_token(endpoint, token=token["access_token"])
                    seen["introspection"] = [asked.status_code, asked.json()]
                revoked = await client.revoke_token(server["revocation_endpoint"], token=token["access_token"])
                revoked.raise_for_status()
                return seen | {
                    "client": "authlib",
                    "registration": info | {"client_secret": "..."},
                    **{name: token.get(name) for name in ("token_type", "expires_in", "scope")},
                    "revocation": revoked.status_code,
                }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--scope")
    parser.add_argument("--auth-method", default="client_secret_post")
    parser.add_argument("--print-token", action="store_true")
    args = parser.parse_args()
    seen = asyncio.run(run(args))
    print(seen["access_token"] if args.print_token else json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
