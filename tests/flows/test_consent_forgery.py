"""Forms that did not come from our own page (contract §5): own CSRF token and exact Origin, both."""

import pytest

from tests.flows._consent import ACTIONS, HTML, shows_nothing_of, sign_in, state
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway

pytestmark = pytest.mark.anyio

FOREIGN_ORIGINS: dict[str, list[str]] = {
    "missing": [],
    "null": ["null"],
    "empty": [""],
    "evil": ["https://evil.test"],
    "sibling host": ["http://sibling.localhost:8080"],
    "our name as a prefix": ["http://localhost:8080.evil.test"],
    "other port": ["http://localhost:8081"],
    "no port": ["http://localhost"],
    "other scheme": ["https://localhost:8080"],
    "another of our own names": ["http://127.0.0.1:8080"],
    "with a path": [f"{ISSUER}/"],
    "twice": [ISSUER, ISSUER],
    "ours and evil": [ISSUER, "https://evil.test"],
}


@pytest.mark.parametrize("origins", FOREIGN_ORIGINS.values(), ids=FOREIGN_ORIGINS)
async def test_a_form_from_another_origin_is_refused(running: TestGateway, origins: list[str]) -> None:
    """Contract §5, TC-062, TC-063: exact Origin on every action, although cookie and CSRF token are right."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        before = await state(running)
        headers = [("Cookie", flow.cookie), *HTML.items(), *(("Origin", origin) for origin in origins)]
        for action in ACTIONS:
            answer = await running.http.post(f"{oauth.CONSENT}/{action}", data=flow.form(), headers=headers)
            assert answer.status_code == 403, action
            assert "location" not in answer.headers
            assert shows_nothing_of(answer, flow), action
        assert await state(running) == before


@pytest.mark.parametrize("how", ["text/plain", "multipart", "json"])
async def test_a_foreign_form_of_another_kind_is_refused(running: TestGateway, how: str) -> None:
    """TC-062: enctype text/plain and multipart need no preflight, so they are refused like any other form."""
    async with sign_in(running) as flow:
        before = await state(running)
        for origin, status in ((None, 403), ("https://evil.test", 403), (ISSUER, 415)):
            headers = {"Cookie": flow.cookie, **({"Origin": origin} if origin else {})}
            for action in ACTIONS:
                url = f"{oauth.CONSENT}/{action}"
                if how == "multipart":
                    parts = {name: (None, value) for name, value in flow.form().items()}
                    answer = await running.http.post(url, files=parts, headers=headers)
                elif how == "json":
                    answer = await running.http.post(url, json=flow.form(), headers=headers)
                else:
                    text = "&".join(f"{name}={value}" for name, value in flow.form().items())
                    answer = await running.http.post(
                        url, content=text, headers={**headers, "Content-Type": "text/plain"}
                    )
                assert answer.status_code == status, (action, origin)
        assert await state(running) == before


@pytest.mark.parametrize("forged", ["missing", "empty", "wrong", "truncated", "another flow's", "the secret itself"])
async def test_a_form_without_the_flows_own_csrf_token_is_refused(running: TestGateway, forged: str) -> None:
    """Contract §5, TC-062: 403 on every action and no change, also with a token of another flow of the same browser.

    A36, G2.
    """
    async with sign_in(running) as flow, sign_in(running, browser=flow.browser) as other:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        tokens = {
            "missing": None,
            "empty": "",
            "wrong": "0" * len(flow.csrf),
            "truncated": flow.csrf[:-1],
            "another flow's": other.csrf,
            "the secret itself": flow.secret,
        }
        form = flow.form()
        token = tokens[forged]
        form = {**form, "csrf": token} if token is not None else {n: v for n, v in form.items() if n != "csrf"}
        before = await state(running)
        for action in ACTIONS:
            answer = await flow.browser.post(f"{oauth.CONSENT}/{action}", data=form, headers={"Origin": ISSUER})
            assert answer.status_code == 403, action
            assert "location" not in answer.headers
        assert await state(running) == before


async def test_the_csrf_token_of_a_flow_is_no_use_for_another_one_in_either_direction(running: TestGateway) -> None:
    """Contract §5: two flows of one browser have two tokens."""
    async with sign_in(running) as flow, sign_in(running, browser=flow.browser) as other:
        assert flow.csrf != other.csrf
        for one, token in ((flow, other.csrf), (other, flow.csrf)):
            assert (await one.press("deny", csrf=token)).status_code == 403
        assert [row["finished_at"] for row in await running.rows("pending_flows")] == [None, None]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
async def test_actions_answer_to_post_only(running: TestGateway, action: str, method: str) -> None:
    """Contract §2, TC-064: 405 with Allow, and nothing happens, also with everything else right."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        before = await state(running)
        answer = await flow.browser.request(
            method, f"{oauth.CONSENT}/{action}", params=flow.form(), headers={"Origin": ISSUER}
        )
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert await state(running) == before


@pytest.mark.parametrize("repeated", ["flow_id", "csrf", "virtual_key"])
async def test_a_repeated_field_is_refused(running: TestGateway, repeated: str) -> None:
    """OAuth 2.1 §3.1: which of two equal names counts must never be a question."""
    async with sign_in(running) as flow:
        before = await state(running)
        fields = [*flow.form().items(), (repeated, flow.form()[repeated])]
        body = "&".join(f"{name}={value}" for name, value in fields)
        answer = await flow.browser.post(
            f"{oauth.CONSENT}/vk",
            content=body,
            headers={"Origin": ISSUER, "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 400
        assert await state(running) == before


async def test_what_a_form_adds_about_the_request_is_ignored(running: TestGateway) -> None:
    """TC-031: the code is bound to what the authorization request said, whatever the forms claim."""
    added = {
        "code_challenge": "A" * 43,
        "redirect_uri": "https://evil.test/cb",
        "client_id": "evil",
        "scope": "mcp:read mcp:write admin",
        "resource": "https://evil.test/mcp",
        "identity": "admin",
        "identity_kind": "user",
        "state": "evil",
    }
    async with sign_in(running, scope="mcp:read") as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY, **added)
        answer = await flow.press("submit", **added)
        assert answer.headers["location"].startswith(f"{oauth.REDIRECT_URI}?code=")
        response = oauth.response_of(answer)
        assert response["state"] == flow.client.state
        tokens = (await flow.client.redeem(response["code"])).json()
        assert tokens["scope"] == "mcp:read"
        (grant,) = await running.rows("grants")
        assert (grant["identity_kind"], grant["resource"]) == ("vk", "/mcp")


async def test_parameters_of_an_action_count_only_in_its_body(running: TestGateway) -> None:
    """TC-042: an action that took its fields from the URL could be started by a link."""
    async with sign_in(running) as flow:
        before = await state(running)
        for action in ACTIONS:
            answer = await flow.browser.post(
                f"{oauth.CONSENT}/{action}", params=flow.form(), data={"a": "b"}, headers={"Origin": ISSUER}
            )
            assert answer.status_code in (400, 403), action
        assert await state(running) == before
