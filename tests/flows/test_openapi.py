"""The description of the management API is what is served: no operation more, none less (contract §9)."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from bifrost.http.api import ByMethod
from tests.support.gateway import TestGateway, routes

pytestmark = pytest.mark.anyio

ADDRESS = "/api/openapi.json"


@pytest.fixture
async def document(running: TestGateway) -> dict[str, Any]:
    async with running.administrator() as admin:
        answer = await admin.get(ADDRESS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    described: dict[str, Any] = answer.json()
    return described


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            else:
                yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


async def test_only_an_administrator_reads_it(running: TestGateway) -> None:
    """TC-161: nothing about the API is told to anybody else."""
    assert (await running.http.get(ADDRESS)).status_code == 401
    assert (await running.http.get("/openapi.json")).status_code == 404


async def test_every_operation_is_in_it_and_no_other(running: TestGateway, document: dict[str, Any]) -> None:
    """Contract §9: the routes of the running application against the document."""
    served = {
        (route.path, method.lower())
        for route in routes(running.gateway)
        if isinstance(route.app, ByMethod)
        for method in route.app.routes
    }
    assert {(path, method) for path, method, _ in _operations(document)} == served
    assert len(served) > 8
    assert all(path.startswith("/api/") for path, _ in served)


async def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    """OpenAPI 3.1 §4.8: what every document and operation must have."""
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    assert document["servers"] == [{"url": "http://localhost:8080"}]
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(set(names)) == len(names)
    for path, method, operation in _operations(document):
        assert operation["summary"], (path, method)
        assert operation["responses"], (path, method)
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, method, status)
        assert ("requestBody" not in operation) or method in ("post", "put")


async def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    """OpenAPI 3.1 §4.8.12: a templated path has its parameters."""
    for path, _, operation in _operations(document):
        described = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert described == re.findall(r"\{(\w+)\}", path)


async def test_what_it_points_to_is_in_it(document: dict[str, Any]) -> None:
    """JSON Schema: every `$ref` resolves."""
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


async def test_every_operation_needs_the_administrator_but_the_one_that_signs_in(document: dict[str, Any]) -> None:
    """Contract §9."""
    assert document["security"] == [{"token": []}, {"session": []}]
    assert set(document["components"]["securitySchemes"]) == {"token", "session"}
    open_to_all = [operation["operationId"] for _, _, operation in _operations(document) if "security" in operation]
    assert open_to_all == ["session_login"]


async def test_bodies_are_described_as_strictly_as_they_are_read(document: dict[str, Any]) -> None:
    """Ours: an unknown member is an error, here as there."""
    body = document["paths"]["/api/governance/virtual-keys"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert {"name", "expires_at", "mcp_configs", "rate_limit", "budgets"} <= set(schema["properties"])


async def test_lists_say_their_parameters(document: dict[str, Any]) -> None:
    """Contract §9: search and paging."""
    parameters = document["paths"]["/api/governance/virtual-keys"]["get"]["parameters"]
    by_name = {one["name"]: one for one in parameters}
    assert set(by_name) == {"search", "limit", "offset"}
    assert by_name["limit"]["schema"]["maximum"] == 200
    assert by_name["limit"]["required"] is False


async def test_an_answer_has_the_members_that_are_described(running: TestGateway, document: dict[str, Any]) -> None:
    """Ours: the description is made from the types that answers are made of."""
    async with running.administrator() as admin:
        listed = await admin.get("/api/governance/virtual-keys")
        refused = await admin.get("/api/governance/virtual-keys/unknown")
    schemas = document["components"]["schemas"]
    assert set(listed.json()) == set(schemas["KeysAnswer"]["properties"])
    assert set(listed.json()["virtual_keys"][0]) == set(schemas["KeyAnswer"]["properties"])
    _is_described(refused, schemas, "GatewayError")


def _is_described(answer: httpx2.Response, schemas: dict[str, Any], name: str) -> None:
    assert set(answer.json()) == set(schemas[name]["required"])
    assert set(answer.json()["error"]) == set(schemas["GatewayErrorDetails"]["required"])
