"""Discovery documents (RFC 8414 §3, RFC 9728 §3). Public, and the same for everybody."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bifrost.base.errors import NotFound
from bifrost.http.encoded import EncodedJson
from bifrost.http.public_urls import PublicUrls
from bifrost.protocol import metadata

CACHE = ((b"cache-control", b"public, max-age=60"),)
RESOURCE_NAME = "Bifrost MCP gateway"


@dataclass(frozen=True, slots=True)
class Metadata:
    public_urls: PublicUrls
    endpoint_of: Callable[[str], Awaitable[str | None]]
    client_documents: bool
    requires_par: bool

    async def authorization_server(self, request: Request) -> Response:
        """At the root and with an endpoint's path inserted: the issuer is the same."""
        await self._check_path(request)
        document = _authorization_server(self.public_urls.issuer, self.client_documents, self.requires_par)
        return EncodedJson(document, fields=CACHE)

    async def protected_resource(self, request: Request) -> Response:
        """`resource` is the address that was asked for, byte for byte: clients compare it (RFC 9728 §3.3)."""
        await self._check_path(request)
        resource = f"{self.public_urls.origin_of(request)}{_suffix(request)}"
        return EncodedJson(_protected_resource(resource, self.public_urls.issuer), fields=CACHE)

    async def _check_path(self, request: Request) -> None:
        suffix = _suffix(request)
        if suffix and (not suffix.startswith("/") or await self.endpoint_of(self.public_urls.issuer + suffix) is None):
            raise NotFound("There is no MCP endpoint at this address.")


@functools.lru_cache(maxsize=4)
def _authorization_server(issuer: str, client_documents: bool, requires_par: bool) -> bytes:
    document = metadata.authorization_server(issuer, client_documents=client_documents, requires_par=requires_par)
    return msgspec.json.encode(document)


@functools.lru_cache(maxsize=1_024)
def _protected_resource(resource: str, issuer: str) -> bytes:
    """One for each endpoint under each of our origins."""
    return msgspec.json.encode(metadata.protected_resource(resource, issuer, RESOURCE_NAME))


def _suffix(request: Request) -> str:
    return str(request.path_params.get("endpoint", ""))
