"""What other browsers and other sites can do to a sign-in that is going on: nothing, and they learn nothing."""

from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import urlsplit

import pytest

from bifrost.authserver.browser import csrf_token
from tests.browser._gateway import ACTION, CLIENT_NAME, BrowserGateway, flow_id_of
from tests.browser._person import Person
from tests.browser._servers import Recording, Site, bound, serving
from tests.browser.conftest import NewPerson
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser

COOKIE_SECONDS = 900


@pytest.fixture(scope="module")
def _attacker() -> Iterator[tuple[Site, Recording, int]]:
    site = Site()
    recording = Recording(site)
    listening, port = bound()
    with serving(recording, listening):
        yield site, recording, port


@pytest.fixture
def attacker(_attacker: tuple[Site, Recording, int]) -> tuple[Site, int]:
    """A site of somebody else on another port, which by the name localhost is the same *site* as the gateway."""
    site, _recording, port = _attacker
    site.pages.clear()
    site.headers.clear()
    return site, port


@pytest.mark.parametrize("name", ["gateway", "secure_gateway"])
def test_the_cookie_is_as_narrow_as_it_can_be(
    request: pytest.FixtureRequest, loopback_uri: str, person: Person, name: str
) -> None:
    """TC-069, contract §4: HttpOnly, Lax, Path=/, Max-Age=900, for this host alone; under https Secure and __Host-."""
    gateway: BrowserGateway = request.getfixturevalue(name)
    person.begins(gateway.application(loopback_uri))
    (cookie,) = person.page.context.cookies()
    secure = gateway.origin.startswith("https:")
    assert cookie["name"] == gateway.cookie_name
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert cookie["secure"] is secure
    assert cookie["domain"] == urlsplit(gateway.origin).hostname  # with a Domain attribute it would begin with a dot
    assert 0 < cookie["expires"] - person.page.evaluate("Date.now() / 1000") <= COOKIE_SECONDS
    assert person.page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("carries", ["no cookie", "a cookie of its own"])
def test_another_browser_learns_nothing(
    gateway: BrowserGateway, loopback_uri: str, person: Person, new_person: NewPerson, carries: str
) -> None:
    """TC-051, TC-053, contract §5: cookie missing or different: 403, nothing of the flow; its owner goes on."""
    person.begins(gateway.application(loopback_uri))
    stranger = new_person()
    if carries == "a cookie of its own":
        stranger.begins(gateway.application(loopback_uri, name="Another"))
    before = gateway.everything()
    for page in (person.page.url, person.page.url.replace("/consent?", "/consent/mcps?")):
        answer = stranger.page.goto(page)
        assert answer is not None
        assert answer.status == 403
        stranger.expects_heading("This sign-in belongs to another browser")
        shown = stranger.page.content()
        for secret in (CLIENT_NAME, urlsplit(loopback_uri).netloc, flow_id_of(person.page.url), "mcp:", "Deny"):
            assert secret not in shown
        assert stranger.page.locator("form, a").count() == 0
    assert _forged_skip(gateway, stranger, flow_id_of(person.page.url)) == 403
    assert gateway.everything() == before
    person.skips()


@pytest.mark.parametrize(
    ("action", "host", "headers", "origin"),
    [
        ("submit", "localhost", {}, "http://localhost:{port}"),
        ("skip", "localhost", {}, "http://localhost:{port}"),
        ("submit", "127.0.0.1", {}, "http://127.0.0.1:{port}"),
        ("submit", "localhost", {b"referrer-policy": b"no-referrer"}, "null"),
        ("submit", "localhost", {b"content-security-policy": b"sandbox allow-forms allow-scripts"}, "null"),
    ],
    ids=["submit, same site", "skip, same site", "submit, other site", "Origin withheld", "sandboxed"],
)
def test_a_form_on_another_origin_changes_nothing(  # noqa: PLR0917 - fixtures and parameters
    gateway: BrowserGateway,
    loopback_uri: str,
    attacker: tuple[Site, int],
    person: Person,
    action: str,
    host: str,
    headers: dict[bytes, bytes],
    origin: str,
) -> None:
    """TC-062, TC-063, contract §5: even one that knows flow and CSRF token and brings the cookie gets 403."""
    site, port = attacker
    person.begins(gateway.application(loopback_uri))
    flow_id = flow_id_of(person.page.url)
    if action == "submit":
        person.skips()
    known = {"flow_id": flow_id, "csrf": person.page.locator("input[name=csrf]").first.input_value()}
    before = gateway.everything()
    site.headers.extend(headers.items())
    site.pages["/"] = _auto_submitting(f"{gateway.origin}{ACTION}/{action}", known)

    with person.page.expect_response(f"**{ACTION}/{action}") as answer:
        person.page.goto(f"http://{host}:{port}/")
    assert answer.value.status == 403
    (sent,) = gateway.recording.arrived(f"{ACTION}/{action}", method="POST")[-1:]
    assert sent.headers["origin"] == origin.format(port=port)
    assert ("cookie" in sent.headers) == (host == "localhost" and "sandbox" not in str(headers))
    assert gateway.everything() == before


@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_our_own_page_without_its_token_changes_nothing(
    gateway: BrowserGateway, loopback_uri: str, person: Person, csrf: str
) -> None:
    """TC-062, contract §5: the Origin check *and* the CSRF token; the right origin alone is not enough."""
    person.begins(gateway.application(loopback_uri))
    before = gateway.everything()
    person.page.evaluate("csrf => document.getElementsByName('csrf').forEach(field => { field.value = csrf; })", csrf)
    with person.page.expect_response(f"**{ACTION}/vk") as answer:
        person.pastes(VIRTUAL_KEY)
    assert answer.value.status == 403
    assert gateway.everything() == before


@pytest.mark.parametrize("page", ["identity", "services", "refused", "home"])
def test_no_page_can_be_framed(
    gateway: BrowserGateway, loopback_uri: str, attacker: tuple[Site, int], person: Person, page: str
) -> None:
    """A35, TC-072, contract §5, frame-ancestors 'none': not even on the same site, where the cookie comes along."""
    site, port = attacker
    application = gateway.application(loopback_uri)
    person.begins(application)
    if page == "services":
        person.skips()
    url = {
        "identity": person.page.url,
        "services": person.page.url,
        "refused": application.authorize_url(response_type="token"),
        "home": f"{gateway.origin}/",
    }[page]
    site.pages["/frames"] = (
        f'<iframe name="theirs" src="{escape(url)}"></iframe><iframe name="ours" src="/ours"></iframe>'
    )
    path = urlsplit(url).path
    before = len(gateway.recording.arrived(path))
    person.page.goto(f"http://localhost:{port}/frames")
    assert len(gateway.recording.arrived(path)) == before + 1
    assert "cookie" in gateway.recording.arrived(path)[-1].headers
    assert _frame_address(person, "ours") == f"http://localhost:{port}/ours"
    assert _frame_address(person, "theirs") == "chrome-error://chromewebdata/"
    person.window.wait_until(lambda: any("frame-ancestors" in text for text in person.window.violations))
    person.window.violations.clear()  # this once, it is meant to be stopped


def _forged_skip(gateway: BrowserGateway, stranger: Person, flow_id: str) -> int:
    """The status for a form with the CSRF token that a stranger can work out: that of their own cookie."""
    cookies = stranger.page.context.cookies()
    csrf = csrf_token(cookies[0]["value"], flow_id) if cookies else ""
    form: dict[str, str | float | bool] = {"flow_id": flow_id, "csrf": csrf}
    url, headers = f"{gateway.origin}{ACTION}/skip", {"Origin": gateway.origin}
    return stranger.page.context.request.post(url, form=form, headers=headers, max_redirects=0).status


def _frame_address(person: Person, name: str) -> Any:
    """Of the document that a frame really shows."""
    frame = person.page.frame(name=name)
    assert frame is not None
    return frame.evaluate("location.href")


def _auto_submitting(action: str, fields: dict[str, str]) -> str:
    inputs = "".join(f'<input name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items())
    form = f'<form method="post" action="{escape(action)}">{inputs}</form>'
    return f"<!DOCTYPE html>{form}<script>document.forms[0].submit()</script>"
