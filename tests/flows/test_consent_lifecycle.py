"""Flows that are unknown, finished or expired; several flows in one browser; pages opened twice (contract §5)."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from bifrost.authserver.browser import csrf_token
from bifrost.storage.authserver import SqlAuthServerStore
from tests.flows._consent import ACTIONS, COOKIE, HTML, IDENTITY_PAGE, PAGES, SignIn, sign_in, state, without_event
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, VIRTUAL_KEY, TestGateway

pytestmark = pytest.mark.anyio

GARBAGE = ["flow_unknown", "", "' OR 1=1--", "../../etc/passwd", "%00", "x" * 4_000, "flow_%", "é"]


async def _answers(flow: SignIn, flow_id: str, accept: dict[str, str]) -> dict[str, Any]:
    """Every page and every action but submit, asked about this id with a token that would be right for it."""
    headers = {**accept, "Cookie": flow.cookie}
    form = flow.form(flow_id=flow_id, csrf=csrf_token(flow.secret, flow_id))
    http = flow.running.http
    answers = {page: await http.get(page, params={"flow_id": flow_id}, headers=headers) for page in PAGES}
    return answers | {
        action: await http.post(f"{oauth.CONSENT}/{action}", data=form, headers={**headers, "Origin": ISSUER})
        for action in ACTIONS
    }


@pytest.mark.parametrize("accept", [HTML, {"Accept": "application/json"}], ids=["page", "json"])
async def test_unknown_finished_and_expired_flows_answer_with_one_body(
    running: TestGateway, clock: FakeClock, accept: dict[str, str]
) -> None:
    """Contract §5, TC-054: 400 with one identical body; only submit says 409 or 410."""
    async with sign_in(running) as finished, sign_in(running) as expired:
        await finished.press("skip")
        await finished.press("submit")
        kinds = {
            "unknown": await _answers(finished, "flow_unknown", accept),
            "finished": await _answers(finished, finished.flow_id, accept),
        }
        clock.advance(seconds=901)
        kinds["expired"] = await _answers(expired, expired.flow_id, accept)
        seen = {
            (kind, where): answer
            for kind, all_ in kinds.items()
            for where, answer in all_.items()
            if where != "deny" or kind == "unknown"
        }
        statuses = {place: answer.status_code for place, answer in seen.items()}
        assert statuses == dict.fromkeys(statuses, 400) | {
            ("finished", "submit"): 409,
            ("expired", "submit"): 410,
        }
        for where in kinds["unknown"]:
            # the JSON names the operation (contract §2), so that it is one body for each address
            bodies = {
                without_event(answer) for (_, at), answer in seen.items() if at == where and answer.is_client_error
            }
            assert len(bodies) == (3 if where == "submit" else 1), where
        pages = {without_event(answer) for answer in seen.values() if answer.status_code == 400}
        assert accept != HTML or len(pages) == 1


async def test_denying_a_finished_or_expired_flow_is_the_same_400(running: TestGateway, clock: FakeClock) -> None:
    """Contract §5: of the actions only submit has statuses of its own for the two."""
    async with sign_in(running) as finished, sign_in(running) as expired:
        unknown = (await _answers(finished, "flow_unknown", HTML))["deny"]
        await finished.press("skip")
        await finished.press("submit")
        answers = [await finished.press("deny")]
        clock.advance(seconds=901)
        answers.append(await expired.press("deny"))
        assert [answer.status_code for answer in answers] == [400, 400]
        assert {without_event(answer) for answer in answers} == {without_event(unknown)}


@pytest.mark.parametrize("flow_id", GARBAGE)
async def test_garbage_for_a_flow_id_is_an_unknown_flow(running: TestGateway, flow_id: str) -> None:
    """TC-054: never a 500, nothing changes, and the garbage is not repeated."""
    async with sign_in(running) as flow:
        before = await state(running)
        for where, answer in (await _answers(flow, flow_id, HTML)).items():
            assert answer.status_code == 400, where
            assert len(flow_id) < 5 or flow_id not in answer.text
        assert await state(running) == before


async def test_a_missing_flow_id_is_an_unknown_flow(running: TestGateway) -> None:
    """Contract §5."""
    async with sign_in(running) as flow:
        for page in PAGES:
            answer = await flow.browser.get(page)
            assert answer.status_code == 400
            assert without_event(answer) == without_event(await flow.browser.get(page, params={"flow_id": "flow_x"}))


async def test_a_flow_lives_for_fifteen_minutes(running: TestGateway, clock: FakeClock) -> None:
    """Contract §4, TC-055: everything works at 899 s, nothing at 900 s."""
    async with sign_in(running) as flow, sign_in(running) as late:
        for one in (flow, late):
            await one.press("vk", virtual_key=VIRTUAL_KEY)
        clock.advance(seconds=899)
        assert [(await flow.page(page)).status_code for page in PAGES] == [200, 200]
        assert "code" in oauth.response_of(await flow.press("submit"))
        clock.advance(seconds=1)
        before = await state(running)
        assert (await late.press("vk", virtual_key=VIRTUAL_KEY)).status_code == 400
        assert (await late.press("submit")).status_code == 410
        assert await state(running) == before


async def test_submitting_twice_gives_one_code(running: TestGateway) -> None:
    """Contract §5, TC-056: 303 and then 409."""
    async with sign_in(running) as flow:
        await flow.press("skip")
        first, second = await flow.press("submit"), await flow.press("submit")
        assert (first.status_code, second.status_code) == (303, 409)
        assert "location" not in second.headers
        after = await state(running)
        assert (len(after["grants"]), len(after["authorization_codes"])) == (1, 1)


Deed = Callable[[SignIn, httpx2.AsyncClient], Awaitable[object]]
MEANWHILE: dict[str, tuple[Deed, int, str]] = {
    "it is submitted": (lambda flow, _admin: flow.press("submit"), 409, "flow_finished"),
    "it is denied": (lambda flow, _admin: flow.press("deny"), 409, "flow_finished"),
    "another identity is chosen": (lambda flow, _admin: flow.press("skip"), 303, "identity_required"),
    "its key is deleted": (
        lambda _flow, admin: admin.delete(f"/api/governance/virtual-keys/{KEY_ID}"),
        303,
        "identity_required",
    ),
    "its client is blocked": (lambda _flow, admin: _block(admin), 400, "invalid_client"),
}


async def _block(administrator: httpx2.AsyncClient) -> None:
    (client,) = (await administrator.get("/api/oauth2/clients")).json()["clients"]
    assert (await administrator.put(f"/api/oauth2/clients/{client['id']}", json={"blocked": True})).status_code == 200


@pytest.mark.parametrize("what", MEANWHILE)
async def test_a_submit_that_loses_is_told_to_what(
    running: TestGateway, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Contract §5: between its checks and its transaction; 409 only for a consent that was answered already."""
    deed, status, code = MEANWHILE[what]
    written = SqlAuthServerStore.submit_flow

    async with sign_in(running) as first:
        await first.press("vk", virtual_key=VIRTUAL_KEY)
        await first.press("submit")  # from now on the client has its row
    async with sign_in(running) as flow, running.administrator() as administrator:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)

        async def late(store: SqlAuthServerStore, *given: Any, **named: Any) -> Any:
            monkeypatch.setattr(SqlAuthServerStore, "submit_flow", written)
            await deed(flow, administrator)
            return await written(store, *given, **named)

        monkeypatch.setattr(SqlAuthServerStore, "submit_flow", late)
        answer = await flow.browser.post(
            f"{oauth.CONSENT}/submit", data=flow.form(), headers={"Origin": ISSUER, "Accept": "application/json"}
        )
        assert answer.status_code == status, answer.text
        if status == 303:
            assert answer.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow.flow_id}&error={code}"
        else:
            assert answer.json()["error"]["code"] == code
        left = {"it is submitted": 2, "its key is deleted": 0}.get(what, 1)
        assert len(await running.rows("authorization_codes")) == left


async def test_every_answer_to_a_form_is_a_303(running: TestGateway) -> None:
    """A34, TC-020, contract §5, OAuth 2.1 §7.5.3: never 302 or 307, which could send the key on to the next address."""
    answers = []
    async with sign_in(running) as flow:
        for action, form in (
            ("vk", {"virtual_key": "sk-bf-wrong"}),
            ("vk", {"virtual_key": VIRTUAL_KEY}),
            ("skip", {}),
            ("user", {}),
            ("user-id", {}),
            ("submit", {}),
        ):
            answers.append(await flow.press(action, **form))
    async with sign_in(running) as flow:
        answers += [await flow.press("submit"), await flow.press("deny")]
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["referrer-policy"] for answer in answers} == {"no-referrer"}


@pytest.mark.parametrize(
    ("registered", "joined"),
    [
        ("https://app.example/cb?x=1&y=%2F+a&empty=&z", "&"),
        ("https://app.example/cb?code=mine&state=old", "&"),
        ("https://app.example/cb?%7e=%C3%A9&a=b%20c", "&"),
        ("https://app.example/cb?", ""),
        ("https://app.example", "?"),
        ("com.example.app:/back?x=%31", "&"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "?"),
    ],
)
@pytest.mark.parametrize("action", ["submit", "deny"])
async def test_the_registered_redirect_uri_is_kept_byte_for_byte(
    running: TestGateway, registered: str, joined: str, action: str
) -> None:
    """A43, TC-014, contract §5, OAuth 2.1 §2.3: parameters are added, nothing of what was registered is rewritten."""
    async with sign_in(running, metadata={"redirect_uris": [registered]}) as flow:
        await flow.press("skip")
        location = (await flow.press(action)).headers["location"]
        word = {"submit": "code=bfac_", "deny": "error=access_denied"}[action]
        assert location.startswith(f"{registered}{joined}{word}")


async def test_the_port_of_a_loopback_redirect_is_the_one_of_the_request(running: TestGateway) -> None:
    """Contract §4, R28: registered with one port, used with another."""
    asked = oauth.REDIRECT_URI.replace("33418", "50999")
    async with sign_in(running, redirect_uri=asked) as flow:
        assert "127.0.0.1:50999" in (await flow.page()).text
        await flow.press("skip")
        assert (await flow.press("submit")).headers["location"].startswith(f"{asked}?code=")


async def test_two_flows_in_one_browser_both_finish(running: TestGateway) -> None:
    """Contract §4, R59: the second one does not take the first one's cookie away."""
    async with sign_in(running) as first, sign_in(running, browser=first.browser) as second:
        assert first.secret == second.secret
        for flow in (first, second):
            await flow.press("vk", virtual_key=VIRTUAL_KEY)
        for flow in (second, first):
            response = oauth.response_of(await flow.press("submit"))
            assert (await flow.client.redeem(response["code"])).status_code == 200


async def test_abandoned_flows_do_not_fill_the_cookie_header(running: TestGateway) -> None:
    """TC-068, R55: the twenty-first flow works, and the browser carries one cookie."""
    async with running.browser() as browser:
        client = await oauth.register(running.http)
        for _ in range(20):
            await oauth.begin(browser, client)
        assert len(list(browser.cookies.jar)) == 1
        assert "code" in await oauth.approve(browser, await oauth.begin(browser, client))


async def test_a_second_client_asks_again_in_the_same_browser(running: TestGateway) -> None:
    """G1, contract §5, TC-080: what one client was allowed is never handed to another one."""
    async with sign_in(running) as first:
        await first.press("vk", virtual_key=VIRTUAL_KEY)
        await first.press("submit")
        client = await oauth.register(running.http, client_name="Attacker")
        answer = await first.browser.get(oauth.AUTHORIZE, params=client.request())
        assert answer.headers["location"].startswith(f"{IDENTITY_PAGE}?flow_id=")
        flow_id = oauth.flow_id_of(answer)
        refused = await oauth.press(first.browser, "submit", flow_id)
        assert refused.headers["location"] == f"{IDENTITY_PAGE}?flow_id={flow_id}&error=identity_required"


@pytest.mark.parametrize("older", [True, False])
async def test_a_page_opened_twice_works_from_either_window(running: TestGateway, *, older: bool) -> None:
    """TC-065, R54: the older form still works, once."""
    async with sign_in(running) as flow:
        tokens = [await oauth.csrf_of(flow.browser, flow.flow_id) for _ in range(2)]
        csrf = tokens[0 if older else 1]
        assert (await flow.press("vk", virtual_key=VIRTUAL_KEY, csrf=csrf)).status_code == 303
        assert "code" in oauth.response_of(await flow.press("submit", csrf=csrf))
        assert (await flow.press("submit", csrf=tokens[1 if older else 0])).status_code == 409


async def test_looking_at_a_page_changes_nothing(running: TestGateway) -> None:
    """TC-064, R54: a prefetch has no effect and sets no cookie."""
    async with sign_in(running) as flow:
        before = await state(running)
        for page in (*PAGES, *PAGES):
            answer = await flow.page(page)
            assert COOKIE not in answer.headers.get("set-cookie", "")
        assert await state(running) == before


@pytest.mark.parametrize("flow_id", ["flow_unknown", "{}x", ""])
async def test_a_form_whose_hidden_flow_was_changed_does_nothing(running: TestGateway, flow_id: str) -> None:
    """TC-031: hidden fields are as untrusted as any other."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        before = await state(running)
        for action in ACTIONS:
            answer = await flow.post(action, flow.cookie, flow_id=flow_id.format(flow.flow_id))
            assert answer.status_code in (400, 403), action
        assert await state(running) == before
