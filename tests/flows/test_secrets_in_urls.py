"""What is secret travels in bodies: an address is kept by logs, proxies and histories (OAuth 2.1 §2.4.1)."""

import pytest

from tests.flows._tokens import error_of, opens, signed_in
from tests.support.gateway import ADMIN_TOKEN, TestGateway

pytestmark = pytest.mark.anyio

ADMINISTRATOR = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SECRETS = ("client_assertion", "client_secret", "code", "code_verifier", "refresh_token", "token")


@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect", "par"])
@pytest.mark.parametrize("name", SECRETS)
async def test_a_secret_in_the_url_is_refused_at_every_endpoint_for_programs(
    running: TestGateway, endpoint: str, name: str
) -> None:
    """Contract §6: refused, whatever the body says, so that nobody comes to rely on it; and nothing happens."""
    client, tokens = await signed_in(running)
    path = f"/api/oauth/per-user/{endpoint}"
    form = {"client_id": client.client_id, "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    form |= {"token": tokens["access_token"]}
    headers = ADMINISTRATOR if endpoint == "introspect" else {}
    answer = await running.http.post(path, params={name: tokens["access_token"]}, data=form, headers=headers)
    assert error_of(answer) == "invalid_request"
    assert "never in the URL" in answer.json()["error_description"]
    assert tokens["access_token"] not in answer.text
    assert await opens(running, tokens["access_token"]) == 200


@pytest.mark.parametrize("query", [{"token": ""}, {"client_id": "x"}, {"utm_source": "x"}])
async def test_what_is_no_secret_in_the_url_is_not_looked_at(running: TestGateway, query: dict[str, str]) -> None:
    """RFC 6749 §3.2: unknown parameters are ignored, and the form is what counts; an empty value is none."""
    client, tokens = await signed_in(running)
    form = {"client_id": client.client_id, "token": tokens["access_token"]}
    answer = await running.http.post("/api/oauth/per-user/revoke", params=query, data=form)
    assert answer.status_code == 200
    assert await opens(running, tokens["access_token"]) == 401
