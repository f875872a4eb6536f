"""auth_type per_user_headers: everybody gives values of their own, on our form, used for their owner alone."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.flows import _connecting as people
from tests.flows import _own_headers as own
from tests.flows._html import page as parsed
from tests.flows._mcp import ask
from tests.support import oauth
from tests.support.gateway import ISSUER, VIRTUAL_KEY, running_gateway
from tests.support.headers_upstream import HeadersUpstream

pytestmark = pytest.mark.anyio

KEY_HEADER = {"x-bf-vk": VIRTUAL_KEY}


async def test_two_people_with_two_sets_of_values_never_mix(database_url: str, tmp_path: Path) -> None:
    """Contract §8, TC-121, R65, R66: each call carries its owner's headers, in the upstream's own log."""
    guarded = own.guarded_by_headers()
    async with own.gateway(database_url, tmp_path, guarded) as running:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        bob = await own.signed_in_with(running, people.SECOND_KEY, own.BOB)
        for _ in range(5):
            assert people.text_of(await people.whoami(running, alice)) == "alice"
            assert people.text_of(await people.whoami(running, bob)) == "bob"
        sent = [headers for method, headers in guarded.requests if method == "tools/call"]
        assert {(one["x-api-key"], one["x-tenant"]) for one in sent} == {own.ALICE, own.BOB}
        assert not any("bfat_" in str(one) or VIRTUAL_KEY in str(one) for one in sent)


async def test_what_a_stateless_service_says_of_itself_to_one_person_is_told_to_nobody_else(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Contract §8, TC-121: it knows who asks, and what it says may be meant for them alone."""
    guarded = own.guarded_by_headers()
    guarded.stateless = True
    async with own.gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        bob = await own.signed_in_with(running, people.SECOND_KEY, own.BOB)
        for who, name in ((alice, "alice"), (bob, "bob"), (alice, "alice")):
            greeting = (await ask(running.http, "initialize", {"protocolVersion": "2025-11-25"}, headers=who)).json()
            assert greeting["result"]["instructions"] == f"guarded: You are {name}."
            assert people.text_of(await people.whoami(running, who)) == name


async def test_the_form_names_the_headers_and_shows_nothing_that_was_given(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: the form lists the required names; values are never shown again, not even to their owner."""
    async with (
        own.gateway(sqlite_url, tmp_path, own.guarded_by_headers()) as running,
        running.browser() as browser,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await own.give(browser, flow_id, own.ALICE)
        services = await browser.get(answer.headers["location"])
        assert "The account is connected" in services.text
        form = await own.form_of(browser, flow_id)
        inputs = {str(one["name"]): one for one in parsed(form).all("input") if one["type"] != "hidden"}
        assert set(inputs) == {"header.X-Api-Key", "header.X-Tenant"}
        assert all(one["type"] == "password" and "value" not in one for one in inputs.values())
        for page in (form, services):
            assert not any(value in page.text for value in (*own.ALICE, "key-of"))
        assert "<script" not in form.text


async def test_values_are_tried_once_before_they_are_kept(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: verified once upstream; what the service refuses is not kept and the form says so."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        for refuses_with in (401, 403):
            guarded.refuses_with = refuses_with
            answer = await own.give(browser, flow_id, ("wrong-value", "north"))
            assert "notice=headers_refused" in answer.headers["location"]
            page = await browser.get(answer.headers["location"])
            assert "The service did not accept these values" in page.text
            assert "wrong-value" not in page.text
        assert await running.rows("upstream_credentials") == []
        guarded.requests.clear()
        await own.give(browser, flow_id, own.ALICE)
        assert guarded.methods.count("tools/list") == 1
        (row,) = await running.rows("upstream_credentials")
        assert (row["kind"], json.loads(row["header_names"])) == ("headers", ["X-Api-Key", "X-Tenant"])
        assert not any(value in str(row) for value in own.ALICE)


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_service_that_fails_is_said_so_and_nothing_is_kept(
    sqlite_url: str, tmp_path: Path, status: int
) -> None:
    """Values that could not be tried are not kept: nobody would know whether they are right."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        form = await own.form_of(browser, flow_id)
        guarded.status = status
        answer = await own.press(browser, form, own.HEADERS, **own.values(own.ALICE))
        assert "notice=upstream_unavailable" in answer.headers["location"]
        assert "The service did not answer" in (await browser.get(answer.headers["location"])).text
        assert await running.rows("upstream_credentials") == []


@pytest.mark.parametrize("value", ["", "   ", "two\r\nX-Evil: 1", "\x00", "zwölf", "x" * 4_097, "a\x7fb", "a\tb\x0b"])
async def test_a_value_that_cannot_stand_in_a_header_never_leaves(sqlite_url: str, tmp_path: Path, value: str) -> None:
    """RFC 9110 §5.5: no header is split, nothing is sent, the form says what to do, no 500."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await own.give(browser, flow_id, (value, "north"))
        assert answer.status_code == 303
        assert "notice=headers_invalid" in answer.headers["location"]
        assert (await browser.get(answer.headers["location"])).status_code == 200
        assert guarded.requests == []


async def test_only_the_headers_that_were_asked_for_are_taken(sqlite_url: str, tmp_path: Path) -> None:
    """A form with more fields than ours sets no other header."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        more = {"header.Host": "evil.example", "header.Authorization": "Bearer stolen", "X-Api-Key": "other"}
        form = await own.form_of(browser, flow_id)
        answer = await own.press(browser, form, own.HEADERS, **own.values(own.ALICE), **more)
        assert "notice=connected" in answer.headers["location"]
        assert not any("authorization" in headers for _, headers in guarded.requests)
        (connected,) = [row for row in await running.rows("audit_events") if row["event"] == "upstream_connected"]
        assert connected["actor"] == f"flow:{flow_id}"
        assert not any(value in str(connected) for value in own.ALICE)


@pytest.mark.parametrize("wrong", ["origin", "csrf", "other_csrf", "cookie", "session_of_another"])
async def test_another_site_or_browser_cannot_give_values(sqlite_url: str, tmp_path: Path, wrong: str) -> None:
    """Contract §5: own CSRF token and exact Origin, and the cookie of the flow's browser."""
    guarded = own.guarded_by_headers()
    async with (
        own.gateway(sqlite_url, tmp_path, guarded) as running,
        running.browser() as browser,
        running.browser() as stranger,
    ):
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        _other, other_csrf = await people.identify(browser, await oauth.register(running.http))
        await people.identify(stranger, await oauth.register(running.http))
        form = await own.form_of(browser, flow_id)
        fields = own.values(own.ALICE)
        sender = stranger if wrong == "cookie" else browser
        fields |= {"csrf": {"csrf": "0" * 64, "other_csrf": other_csrf}[wrong]} if "csrf" in wrong else {}
        fields |= {"session": "con_unknown"} if wrong == "session_of_another" else {}
        origin = "https://sibling.example" if wrong == "origin" else ISSUER
        answer = await own.press(sender, form, own.HEADERS, origin, **fields)
        assert answer.status_code in (400, 403)
        assert guarded.requests == []
        assert await running.rows("upstream_credentials") == []


async def test_a_refused_call_asks_for_the_values_again(database_url: str, tmp_path: Path) -> None:
    """Contract §8: an upstream 401 → needs_reauth, and the call answers with the link to the form."""
    guarded = own.guarded_by_headers()
    async with own.gateway(database_url, tmp_path, guarded) as running, running.browser() as browser:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        assert people.text_of(await people.whoami(running, alice)) == "alice"
        guarded.accounts = {("new-key", "north"): "alice"}
        result = (await people.whoami(running, alice)).json()["result"]
        (row,) = await running.rows("upstream_credentials")
        assert (row["state"], row["reason"]) == ("needs_reauth", "The service no longer accepts the values.")
        facts = result["_meta"]["mcp_auth_required"]
        assert (facts["kind"], "authorize_url" in facts) == ("headers", False)
        link = urlsplit(facts["submit_url"])
        page = await browser.get(f"{link.path}?{link.query}")
        proven = await own.press(browser, page, "/api/oauth/per-user/connect/vk", virtual_key=VIRTUAL_KEY)
        form = await browser.get(proven.headers["location"])
        answer = await own.press(browser, form, own.HEADERS, **own.values(("new-key", "north")))
        assert "The account is connected" in (await browser.get(answer.headers["location"])).text
        assert people.text_of(await people.whoami(running, alice)) == "alice"


async def test_403_says_nothing_about_the_values(sqlite_url: str, tmp_path: Path) -> None:
    """A call that the service does not allow leaves the values as they are."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        await people.whoami(running, alice)
        guarded.status = 403
        await people.whoami(running, alice)
        (row,) = await running.rows("upstream_credentials")
        assert row["state"] == "active"


async def test_other_headers_asked_for_need_an_update_and_the_old_ones_again_do_not(
    database_url: str, tmp_path: Path
) -> None:
    """Contract §8: the administrator changes the schema → needs_update; nothing is sent in the meantime."""
    guarded = own.guarded_by_headers()
    async with own.gateway(database_url, tmp_path, guarded) as running:
        alice = await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        cases = [(["X-Api-Key", "X-Team"], "needs_update"), (["X-Api-Key"], "needs_update")]
        for keys, state in [*cases, (["x-api-key", "X-TENANT"], "active")]:
            configs = {"client_configs": [own.entry(guarded, per_user_header_keys=keys)]}
            guarded.requests.clear()
            async with running_gateway(
                database_url, tmp_path, clock=running.clock, mcp=configs, governance=people.KEYS
            ) as changed:
                answer = await people.whoami(changed, alice)
                (row,) = await changed.rows("upstream_credentials")
                assert row["state"] == state
                assert ("mcp_auth_required" in answer.text) == (state == "needs_update")
                assert (guarded.requests == []) == (state == "needs_update")


async def test_the_services_page_says_that_other_values_are_needed(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: needs_update, in words."""
    guarded = own.guarded_by_headers()
    async with own.gateway(sqlite_url, tmp_path, guarded) as running:
        await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        configs = {"client_configs": [own.entry(guarded, per_user_header_keys=["X-Other"])]}
        async with (
            running_gateway(sqlite_url, tmp_path, clock=running.clock, mcp=configs, governance=people.KEYS) as changed,
            changed.browser() as browser,
        ):
            flow_id, _csrf = await people.identify(browser, await oauth.register(changed.http))
            page = await browser.get("/oauth/consent/mcps", params={"flow_id": flow_id})
            assert "Needs other values from you" in page.text


async def test_values_given_in_a_consent_belong_to_it_until_it_is_finished(database_url: str, tmp_path: Path) -> None:
    """Contract §5: moved by submit, deleted by deny."""
    async with (
        own.gateway(database_url, tmp_path, own.guarded_by_headers()) as running,
        running.browser() as browser,
    ):
        flow_id, csrf = await people.identify(browser, await oauth.register(running.http))
        await own.give(browser, flow_id, own.ALICE)
        (held,) = await running.rows("upstream_credentials")
        assert (held["owner_kind"], held["owner_id"]) == ("flow", flow_id)
        assert (await people.whoami(running, KEY_HEADER)).json()["result"]["isError"] is True
        await oauth.press(browser, "deny", flow_id, csrf=csrf)
        assert await running.rows("upstream_credentials") == []


async def test_values_copied_to_another_owner_do_not_open(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §8: the owner is associated data of the seal."""
    async with own.gateway(sqlite_url, tmp_path, own.guarded_by_headers()) as running:
        await own.signed_in_with(running, VIRTUAL_KEY, own.ALICE)
        bob = await own.signed_in_with(running, people.SECOND_KEY, own.BOB)
        async with running.gateway.database.transaction() as connection:
            await connection.run(
                "UPDATE upstream_credentials SET sealed = (SELECT sealed FROM upstream_credentials "
                "WHERE owner_id = 'vk-test') WHERE owner_id = 'vk-two'"
            )
        answer = await people.whoami(running, bob)
        assert "alice" not in answer.text
        assert answer.json()["result"]["isError"] is True


async def test_a_server_without_tools_accepts_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    """-32601 says that it has no tools, not that the values are wrong."""
    guarded = HeadersUpstream(accounts={own.ALICE: "alice"}, has_tools=False)
    async with own.gateway(sqlite_url, tmp_path, guarded) as running, running.browser() as browser:
        flow_id, _csrf = await people.identify(browser, await oauth.register(running.http))
        answer = await own.give(browser, flow_id, own.ALICE)
        assert "notice=connected" in answer.headers["location"]
