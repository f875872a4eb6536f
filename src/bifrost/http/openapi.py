"""The management API's description (OpenAPI 3.1), made from the very operations that are served."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from bifrost.http.api import Operation

VERSION = "3.1.0"
_REFERENCE = "#/components/schemas/{name}"
_Names = dict[type[msgspec.Struct], str]
_PARAMETER = re.compile(r"\{(\w+)\}")
_CREDENTIALS: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]


class OpenApi(msgspec.Struct, frozen=True, kw_only=True):
    """The document itself."""

    openapi: str
    info: dict[str, str]
    servers: list[dict[str, str]]
    security: list[dict[str, list[str]]]
    paths: dict[str, dict[str, Any]]
    components: dict[str, Any]


class GatewayErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    code: str
    message: str
    param: str
    event_id: str


class GatewayErrorExtra(msgspec.Struct, frozen=True, kw_only=True):
    model_requested: str
    request_type: str


class GatewayError(msgspec.Struct, frozen=True, kw_only=True):
    """Every error, whatever its status; all members are always there."""

    event_id: str
    type: str
    is_bifrost_error: bool
    status_code: int
    error: GatewayErrorDetails
    extra_fields: GatewayErrorExtra


def document(operations: Sequence[Operation], *, version: str, server: str, cookie: str) -> OpenApi:
    """`server` is the issuer, `cookie` the name of a session's cookie."""
    kinds: set[type[msgspec.Struct]] = {GatewayError}
    kinds |= {kind for operation in operations for kind in (operation.takes, operation.gives) if kind}
    # in one order, so that the document is always the same
    distinct = sorted(kinds, key=lambda kind: (kind.__name__, kind.__module__))
    references, schemas = msgspec.json.schema_components(distinct, ref_template=_REFERENCE)
    # types of one name in several modules are told apart, so a name is never that of the type alone
    names: _Names = {kind: one["$ref"].rpartition("/")[2] for kind, one in zip(distinct, references, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, schemas, names)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return OpenApi(
        openapi=VERSION,
        info={"title": "Bifrost management API", "version": version},
        servers=[{"url": server}],
        security=_CREDENTIALS,
        paths=paths,
        components={
            "schemas": {
                name: schema for name, schema in schemas.items() if name not in _only_queries(operations, names)
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An administrator's token."},
                "session": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "From session_login."},
            },
        },
    )


def _operation(operation: Operation, schemas: dict[str, Any], names: _Names) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation, schemas, names)],
        "responses": {
            str(operation.status): _answer(operation, names),
            "default": _content(names[GatewayError], "An error."),
        },
    }
    if operation.takes and operation.method != "GET":
        described["requestBody"] = {"required": True, **_content(names[operation.takes])}
    if operation.open:
        described["security"] = [*_CREDENTIALS, {}]
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(operation: Operation, schemas: dict[str, Any], names: _Names) -> list[dict[str, Any]]:
    if operation.takes is None or operation.method != "GET":
        return []
    schema = schemas[names[operation.takes]]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": member}
        for name, member in schema["properties"].items()
    ]


def _answer(operation: Operation, names: _Names) -> dict[str, Any]:
    if operation.gives is None:
        return {"description": "Done."}
    return _content(names[operation.gives], operation.summary)


def _content(name: str, description: str = "") -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=name)}
    described = {"description": description} if description else {}
    return {**described, "content": {"application/json": {"schema": schema}}}


def _only_queries(operations: Sequence[Operation], names: _Names) -> set[str]:
    """Types that only queries are made of; they are written out in their parameters."""
    bodies = {names[one.takes] for one in operations if one.takes and one.method != "GET"}
    queries = {names[one.takes] for one in operations if one.takes and one.method == "GET"}
    return queries - bodies
