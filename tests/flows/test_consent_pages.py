"""What every page carries, errors included, and names that try to be more than a name (contract §5)."""

from pathlib import Path

import httpx2
import pytest

from tests.flows._consent import HTML, IDENTITY_PAGE, PAGES, SERVICES_PAGE, SignIn, sign_in
from tests.flows._html import page
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, VIRTUAL_KEY, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

INERT = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
NAMES = [
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</title><script>alert(1)</script>",
    "{{7*7}}${7*7}<%= 7*7 %>{%raw%}",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "</bdi></h1><form action=https://evil.test method=post>",
    "--><!-- <![CDATA[x]]>",
    "&lt;b&gt; &#60;i&#62;",
    "javascript:alert(1)//",
]


async def _error_pages(running: TestGateway, clock: FakeClock) -> dict[str, httpx2.Response]:
    """One page for each way in which a page can be refused."""
    http = running.http
    own = {**HTML, "Origin": ISSUER}
    pages: dict[str, httpx2.Response] = {}
    async with sign_in(running) as flow, sign_in(running) as late:
        await flow.press("skip")
        await late.press("skip")
        vk = f"{oauth.CONSENT}/vk"
        pages["no browser"] = await flow.get(IDENTITY_PAGE, None)
        pages["no CSRF token"] = await flow.post("vk", flow.cookie, csrf="x")
        pages["unknown flow"] = await flow.page(flow_id="flow_x")
        pages["wrong method"] = await http.get(vk, headers=HTML)
        pages["too large"] = await http.post(vk, data={"a": "x" * 70_000}, headers={**own, "Cookie": flow.cookie})
        pages["wrong kind"] = await http.post(vk, json={}, headers={**own, "Cookie": flow.cookie})
        pages["unknown path"] = await http.get("/nothing/here", headers=HTML)
        pages["wrong host"] = await http.get(IDENTITY_PAGE, headers={**HTML, "Host": "evil.test"})
        pages["refused at authorize"] = await http.get(oauth.AUTHORIZE, headers=HTML)
        pages["refused with a way back"] = await http.get(
            oauth.AUTHORIZE, params=flow.client.request(response_type="token"), headers=HTML
        )
        await flow.press("submit")
        pages["finished"] = await flow.press("submit")
        clock.advance(seconds=901)
        pages["expired"] = await late.press("submit")
        await running.gateway.database.close()
        pages["no storage"] = await flow.page()
    return pages


async def test_every_page_has_the_protective_headers(running: TestGateway, clock: FakeClock) -> None:
    """A35, A38, TC-073, contract §5, TC-072 to TC-074: identity, services, home and every kind of error."""
    async with sign_in(running) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        pages = {where: await flow.page(where) for where in PAGES} | {"/": await flow.browser.get("/")}
        pages["with an error"] = await flow.page(error="key_refused")
    pages |= await _error_pages(running, clock)
    statuses = {answer.status_code for answer in pages.values()}
    assert statuses == {200, 400, 403, 404, 405, 409, 410, 413, 415, 421, 503}
    for where, answer in pages.items():
        page(answer)
        assert {name: answer.headers.get(name) for name in INERT} == INERT, where
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
        assert (policy["default-src"], policy["base-uri"], policy["frame-ancestors"]) == ("'none'",) * 3, where
        assert "form-action" not in policy, where
        assert not {"script-src", "script-src-elem", "script-src-attr", "object-src"} & set(policy), where
        assert "unsafe" not in answer.headers["content-security-policy"], where
        assert "access-control-allow-origin" not in answer.headers, where


async def test_no_page_needs_a_script_or_loads_anything(running: TestGateway, clock: FakeClock) -> None:
    """Contract §5, A38, TC-078: pages work without JavaScript and ask no other address for anything."""
    async with sign_in(running, metadata={"logo_uri": "https://evil.test/logo.png"}) as flow:
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        pages = [await flow.page(where) for where in PAGES]
    for answer in [*pages, *(await _error_pages(running, clock)).values()]:
        shown = page(answer)
        assert not {tag for tag, _ in shown.elements} & {"script", "img", "iframe", "link", "object", "embed", "base"}
        assert not [name for _, attributes in shown.elements for name in attributes if name.startswith("on")]
        assert "evil.test" not in answer.text


async def test_a_refusal_for_a_program_is_json_with_every_member(running: TestGateway) -> None:
    """Contract §2: the same facts as the page, and the id of the request in header and body."""
    async with sign_in(running) as flow:
        answer = await running.http.get(IDENTITY_PAGE, params={"flow_id": flow.flow_id})
        assert answer.json() == {
            "event_id": answer.headers["x-request-id"],
            "type": "permission_error",
            "is_bifrost_error": True,
            "status_code": 403,
            "error": {
                "type": "permission_error",
                "code": "wrong_browser",
                "message": "This page can only be used in the browser in which the sign-in was started.",
                "param": "",
                "event_id": answer.headers["x-request-id"],
            },
            "extra_fields": {"model_requested": "", "request_type": "oauth_consent_identity"},
        }
        assert answer.headers["cache-control"] == "no-store"


async def test_storage_that_does_not_answer_is_a_503_with_retry_after(running: TestGateway) -> None:
    """Contract §2."""
    async with sign_in(running) as flow:
        await running.gateway.database.close()
        for answer in [await flow.page(where) for where in PAGES] + [
            await flow.post(action, flow.cookie) for action in ("vk", "skip", "submit", "deny")
        ]:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "sqlite" not in answer.text.lower()


async def test_https_pages_say_so_for_good(sqlite_url: str, tmp_path: Path) -> None:
    """TC-074: HSTS when the public URL is https, and never on loopback."""
    async with running_gateway(sqlite_url, tmp_path, server={"public_urls": ["https://gw.example"]}) as running:
        answer = await running.http.get("/", headers={**HTML, "Host": "gw.example"})
        assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_loopback_pages_do_not_force_https(running: TestGateway) -> None:
    """TC-074: HSTS on localhost would break every other program there."""
    assert "strict-transport-security" not in (await running.http.get("/", headers=HTML)).headers


async def _pages_of(flow: SignIn) -> list[httpx2.Response]:
    identity = await flow.page()
    await flow.press("skip")
    return [identity, await flow.page(SERVICES_PAGE)]


@pytest.mark.parametrize("name", NAMES)
async def test_a_hostile_client_name_is_text_and_nothing_else(running: TestGateway, name: str) -> None:
    """TC-075: no new element, no new attribute, and the name is read as it was written."""
    async with sign_in(running, metadata={"client_name": "Plain"}) as plain:
        expected = [page(answer) for answer in await _pages_of(plain)]
    async with sign_in(running, metadata={"client_name": name}) as flow:
        for answer, usual in zip(await _pages_of(flow), expected, strict=True):
            shown = page(answer)
            assert shown.skeleton == usual.skeleton
            assert shown.text == usual.text.replace("Plain", name)


CLEANED: dict[str, tuple[str, str]] = {
    "right-to-left override": ("Claude\u202eedoC", "Claude edoC"),
    "isolates": ("a\u2066b\u2067c\u2068d\u2069e", "a b c d e"),
    "embeddings and marks": ("a\u202ab\u202bc\u202cd\u200ee\u200ff\u061cg", "a b c d e f g"),
    "zero width": ("Bi\u200bfr\u200cost\u200d\ufeff", "Bi fr ost"),
    "control characters": ("a\x00b\x07c\x1b[31md\x7fe\x85f", "a b c [31md e f"),
    "line ends": ("Bifrost\r\n\n\u2028\u2029official", "Bifrost official"),
    "soft hyphen and tags": ("a\u00adb\U000e0041c", "a b c"),
    "spaces": ("  a \u3000\u00a0 b  ", "a b"),
    "long": ("n" * 200, "n" * 64),
    "long after cleaning": ("\u202e" * 100 + "m" * 100, "m" * 64),
    "nothing visible": ("\u200b\u202e \n", "An unnamed application"),
    "nothing": ("", "An unnamed application"),
    "official": ("Bifrost (official)", "Bifrost (official)"),
    "emoji": ("Tools \U0001f6e0", "Tools \U0001f6e0"),
}


@pytest.mark.parametrize(("name", "shown"), CLEANED.values(), ids=CLEANED)
async def test_a_name_is_cleaned_and_cut_before_it_is_shown(running: TestGateway, name: str, shown: str) -> None:
    """Contract §5, TC-077: no control or bidi characters, one line, at most 64 characters, and always not verified."""
    if "\x00" in name:
        name = name.replace("\x00", "\x01")  # a NUL is refused when the client registers
    async with sign_in(running, metadata={"client_name": name}) as flow:
        for answer, words in zip(
            await _pages_of(flow), (f"{shown} asks for access", f"What {shown} will reach"), strict=True
        ):
            text = page(answer).text
            assert words in text
            assert f"Not verified. It calls itself “{shown}”" in text
            assert "127.0.0.1:33418" in text


async def test_a_name_of_five_hundred_characters_cannot_push_the_facts_off_the_page(running: TestGateway) -> None:
    """TC-077: refused when the client registers; nothing that long reaches a page."""
    answer = await running.http.post(
        oauth.REGISTER, json={"client_name": "x" * 500, "redirect_uris": [oauth.REDIRECT_URI]}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


async def test_two_clients_with_one_name_are_told_apart_by_their_destination(running: TestGateway) -> None:
    """TC-077: the redirect host stands in large type."""
    hosts = ("app.example", "app.example.evil.test")
    for host in hosts:
        metadata = {"client_name": "Same", "redirect_uris": [f"https://{host}/cb"]}
        async with sign_in(running, metadata=metadata) as flow:
            answer = await flow.page()
            assert f'<p class="host"><bdo dir="ltr">{host}</bdo></p>' in answer.text


@pytest.mark.parametrize("member", ["client_uri", "logo_uri", "policy_uri", "tos_uri"])
@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:image/svg+xml,<svg onload=alert(1)>", "//evil.test"])
async def test_addresses_in_the_metadata_are_web_addresses(running: TestGateway, member: str, uri: str) -> None:
    """TC-075: refused when the client registers."""
    answer = await running.http.post(oauth.REGISTER, json={"redirect_uris": [oauth.REDIRECT_URI], member: uri})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")


@pytest.mark.parametrize("text", NAMES)
async def test_hostile_parameters_of_the_request_are_not_shown(running: TestGateway, text: str) -> None:
    """TC-075: scope and state never reach a page."""
    async with sign_in(running, scope=f"mcp:read {text}", state=text) as flow:
        for answer in await _pages_of(flow):
            assert text not in answer.text
            assert text not in page(answer).text


async def test_a_hostile_name_of_a_key_is_text_and_nothing_else(sqlite_url: str, tmp_path: Path) -> None:
    """TC-075: what an administrator typed is escaped like everything else."""
    key = {"name": "<script>alert(1)</script>", "value": VIRTUAL_KEY}
    async with (
        running_gateway(
            sqlite_url,
            tmp_path,
            governance={"virtual_keys": [key]},
            mcp={"client_configs": [upstream("notes", "http://127.0.0.1:9/mcp")]},
        ) as running,
        sign_in(running) as flow,
    ):
        await flow.press("vk", virtual_key=VIRTUAL_KEY)
        shown = page(await flow.page(SERVICES_PAGE))
        assert "Virtual key <script>alert(1)</script>" in shown.text
        assert shown.all("script") == []
