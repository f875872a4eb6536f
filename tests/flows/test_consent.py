"""The person's way through the consent pages (contract §5)."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows._consent import CLIENT_NAME, IDENTITY_PAGE, SERVICES_PAGE, sign_in, state
from tests.flows._html import page
from tests.support import oauth
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-bf-other-0123456789abcdefghijklmnopqrstuvwxyz"
NOWHERE = "http://127.0.0.1:9/mcp"


async def test_the_identity_page_says_who_asks_where_it_leads_and_for_how_long(running: TestGateway) -> None:
    """TC-077, TC-083, contract §5: name, host, not verified, loopback warning, scopes in words, lifetime, ways on.

    A36.
    """
    async with sign_in(running) as flow:
        shown = page(await flow.page())
        for words in (
            f"{CLIENT_NAME} asks for access",
            f"Not verified. It calls itself “{CLIENT_NAME}”",
            "127.0.0.1:33418",
            "Did you start this yourself, just now?",
            "call those that only read",
            "including those that change things",
            "1 day, renewed for up to 30 days without use",
            f"{ISSUER}/mcp",
        ):
            assert words in shown.text
        assert shown.form_targets == [f"{oauth.CONSENT}/{action}" for action in ("vk", "skip", "deny")]
        assert {form["method"] for form in shown.all("form")} == {"post"}


async def test_a_read_only_request_is_shown_as_one(running: TestGateway) -> None:
    """Contract §5: requested scopes in words."""
    async with sign_in(running, scope="mcp:read") as flow:
        text = page(await flow.page()).text
        assert "call those that only read" in text
        assert "change things" not in text


async def test_the_warning_about_programs_of_this_computer_is_for_loopback_clients_only(running: TestGateway) -> None:
    """Contract §5, TC-083."""
    async with sign_in(running, metadata={"redirect_uris": ["https://app.example/cb"]}) as flow:
        text = page(await flow.page()).text
        assert "app.example" in text
        assert "Did you start this yourself" not in text


async def test_the_services_page_needs_an_identity_first(running: TestGateway) -> None:
    """TC-061: who opens step two without step one is sent to step one."""
    async with sign_in(running) as flow:
        answer = await flow.page(SERVICES_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{IDENTITY_PAGE}?flow_id={flow.flow_id}")


async def test_the_services_page_lists_what_the_key_reaches_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §5: each upstream that this identity may use."""
    narrow = {"mcp_client_name": "private_notes", "tools_to_execute": ["*"]}
    sections: dict[str, Any] = {
        "mcp": {
            "client_configs": [
                upstream("open_to_all", NOWHERE),
                upstream("private_notes", NOWHERE, allow_on_all_virtual_keys=False),
                upstream("of_others", NOWHERE, allow_on_all_virtual_keys=False),
                upstream("switched_off", NOWHERE, disabled=True),
            ]
        },
        "governance": {
            "virtual_keys": [{"id": KEY_ID, "name": "Ada's key", "value": VIRTUAL_KEY, "mcp_configs": [narrow]}]
        },
    }
    async with running_gateway(sqlite_url, tmp_path, **sections) as running, sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        text = page(await flow.page(SERVICES_PAGE)).text
        assert "Virtual key Ada's key" in text
        assert VIRTUAL_KEY not in text
        assert ("open_to_all" in text, "private_notes" in text) == (True, True)
        assert ("of_others" in text, "switched_off" in text) == (False, False)


@pytest.mark.parametrize("value", [OTHER_KEY, "sk-bf-short", "", "' OR 1=1--", VIRTUAL_KEY.upper(), f"{VIRTUAL_KEY}x"])
async def test_a_wrong_key_goes_back_to_an_empty_field_and_a_known_sentence(running: TestGateway, value: str) -> None:
    """Contract §5, TC-084: 303 with `error`, words of our own, and what was typed is not repeated."""
    async with sign_in(running) as flow:
        answer = await flow.press("vk", virtual_key=value)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=key_refused"
        shown = page(await flow.browser.get(answer.headers["location"]))
        assert "This virtual key is unknown, inactive or expired." in shown.text
        (field,) = [field for field in shown.all("input") if field.get("name") == "virtual_key"]
        assert (field.get("value"), field["autocomplete"], field["type"]) == (None, "off", "password")
        assert (await flow.row())["identity_kind"] is None


async def test_unknown_inactive_and_expired_keys_are_refused_in_one_word(sqlite_url: str, tmp_path: Path) -> None:
    """TC-163: the form is no oracle for the state of a key."""
    keys = [
        {"id": "a", "name": "inactive", "value": VIRTUAL_KEY, "is_active": False},
        {"id": "b", "name": "expired", "value": OTHER_KEY, "expires_at": "2027-01-15T07:59:59Z"},
    ]
    unknown = f"{OTHER_KEY}-unknown"
    async with (
        running_gateway(sqlite_url, tmp_path, governance={"virtual_keys": keys}) as running,
        sign_in(running) as flow,
    ):
        answers = {
            (await flow.press("vk", virtual_key=v)).headers["location"] for v in (VIRTUAL_KEY, OTHER_KEY, unknown)
        }
        assert answers == {f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=key_refused"}


@pytest.mark.parametrize("error", ["Call +1 800 555", "<b>x</b>", "key_refused ", "KEY_REFUSED", "__class__", ""])
async def test_an_error_code_that_is_not_ours_renders_nothing(running: TestGateway, error: str) -> None:
    """Contract §5, TC-076: only known codes have words; free text in the query is never shown."""
    async with sign_in(running) as flow:
        assert (await flow.page(error=error)).text == (await flow.page()).text


@pytest.mark.parametrize("name", ["msg", "message", "client_name", "error_description", "redirect_uri"])
async def test_no_other_parameter_of_the_query_reaches_the_page(running: TestGateway, name: str) -> None:
    """TC-076: content spoofing by query."""
    async with sign_in(running) as flow:
        for where in (IDENTITY_PAGE, SERVICES_PAGE):
            await flow.press("vk", virtual_key=VIRTUAL_KEY)
            assert (await flow.page(where, **{name: "Call 555"})).text == (await flow.page(where)).text


async def test_skipping_gives_an_anonymous_session_of_its_own(running: TestGateway) -> None:
    """Contract §5: skip is offered while `enforce_auth_on_inference` is false, and every time it is somebody new."""
    for _ in range(2):
        async with sign_in(running) as flow:
            answer = await flow.press("skip")
            assert answer.headers["location"] == f"{SERVICES_PAGE}?flow_id={flow.flow_id}"
            assert "Anonymous session" in page(await flow.page(SERVICES_PAGE)).text
            assert "code" in oauth.response_of(await flow.press("submit"))
    grants = await running.rows("grants")
    assert {grant["identity_kind"] for grant in grants} == {"session"}
    assert len({grant["identity_id"] for grant in grants}) == 2


async def test_skipping_is_neither_offered_nor_possible_where_everybody_needs_a_key(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §5."""
    enforced = {"enforce_auth_on_inference": True}
    async with running_gateway(sqlite_url, tmp_path, client=enforced) as running, sign_in(running) as flow:
        assert f"{oauth.CONSENT}/skip" not in page(await flow.page()).form_targets
        answer = await flow.press("skip")
        assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=anonymous_not_allowed"
        assert (
            "This gateway asks everybody for a virtual key."
            in page(await flow.browser.get(answer.headers["location"])).text
        )
        assert (await flow.press("submit")).headers["location"].startswith(IDENTITY_PAGE)
        assert await running.rows("grants") == []


@pytest.mark.parametrize("action", ["user", "user-id"])
async def test_identities_that_are_not_offered_cannot_be_chosen(running: TestGateway, action: str) -> None:
    """Contract §5, D7: a self-declared user id is off unless it is switched on."""
    async with sign_in(running) as flow:
        answer = await flow.press(action, user_id="alice")
        assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=identity_not_offered"
        assert (await flow.row())["identity_kind"] is None


async def test_an_identity_can_be_changed_until_the_end(running: TestGateway) -> None:
    """Contract §5: Change identity; the last choice counts."""
    async with sign_in(running) as flow:
        await flow.press("skip")
        links = [link["href"] for link in page(await flow.page(SERVICES_PAGE)).all("a")]
        assert links == [f"{IDENTITY_PAGE}?flow_id={flow.flow_id}"]
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        await flow.press("submit")
        (grant,) = await running.rows("grants")
        assert (grant["identity_kind"], grant["identity_id"]) == ("vk", KEY_ID)


async def test_a_failed_change_of_identity_leaves_the_chosen_one(running: TestGateway) -> None:
    """Contract §5: a wrong key changes nothing."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        await flow.press("vk", virtual_key=OTHER_KEY)
        assert (await flow.row())["identity_id"] == KEY_ID


async def test_submitting_without_an_identity_gives_no_code(running: TestGateway) -> None:
    """TC-061: back to the identity page, and the flow stays open."""
    async with sign_in(running) as flow:
        answer = await flow.press("submit")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=identity_required"
        assert "Choose who you are first." in page(await flow.browser.get(answer.headers["location"])).text
        assert (await state(running))["authorization_codes"] == []
        assert "code" in await oauth.approve(flow.browser, flow.flow_id)


async def test_a_key_that_is_deactivated_meanwhile_gives_no_code(running: TestGateway) -> None:
    """TC-123: asked again at submit."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        await running.gateway.virtual_keys.revoke(KEY_ID)
        answer = await flow.press("submit")
        assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error=identity_required"
        after = await state(running)
        assert (after["grants"], after["authorization_codes"]) == ([], [])
        assert (await flow.row())["finished_at"] is None


@pytest.mark.parametrize("choice", [None, "vk", "skip"])
async def test_denying_tells_the_client_and_ends_the_flow(running: TestGateway, choice: str | None) -> None:
    """A10, A41, contract §5, TC-079: access_denied with state and iss, at any moment; nothing was given."""
    async with sign_in(running) as flow:
        if choice:
            await flow.press(choice, virtual_key=VIRTUAL_KEY)
        answer = await flow.press("deny")
        assert answer.headers["location"].startswith(f"{oauth.REDIRECT_URI}?")
        assert oauth.response_of(answer) == {"error": "access_denied", "state": flow.client.state, "iss": ISSUER}
        assert (await flow.press("submit")).status_code == 409
        after = await state(running)
        assert (after["grants"], after["authorization_codes"]) == ([], [])


async def test_state_comes_back_byte_for_byte_and_only_if_it_was_sent(running: TestGateway) -> None:
    """A40, OAuth 2.1 §4.1.2, TC-046: odd characters survive; absent and empty states are not made up."""
    for sent in ("a b+c%2B&=é<>\"'/?#", "0", None, ""):
        for action, word in (("submit", "code"), ("deny", "error")):
            async with sign_in(running, state=sent) as flow:
                await flow.press("skip")
                response = oauth.response_of(await flow.press(action))
                assert word in response
                assert response.get("state") == (sent or None)
                assert response["iss"] == ISSUER
