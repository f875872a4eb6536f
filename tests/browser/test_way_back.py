"""The way back to the client: no rule of the browser stops it, and nothing but the answer goes with it."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.browser._gateway import ACTION, Application, BrowserGateway
from tests.browser._person import Person
from tests.browser._servers import Recording
from tests.browser.conftest import NewPerson
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser

APP_URIS = ("com.example.app:/callback", "cursor://anysphere.cursor-mcp/oauth/callback")
REGISTERED_QUERY = "?a=%20b&c&d=(1)"
REFUSED = {"response_type": "token"}
LONG_SECONDS = 120


def _set_out_for(person: Person, uri: str) -> dict[str, str]:
    """The parameters with which the browser went to the redirect URI, whoever handles it."""

    def found() -> list[str]:
        return [url for url in person.window.requested if url.startswith(uri)]

    person.window.wait_until(found)
    (url,) = found()
    return dict(parse_qsl(url.removeprefix(uri).lstrip("?&")))


def _expect_code(person: Person, application: Application) -> None:
    answer = _set_out_for(person, application.redirect_uri)
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == (application.state, application.gateway.origin)
    assert application.redeem(answer["code"])["access_token"]


def _redirect_uri(request: pytest.FixtureRequest, kind: str) -> str:
    return str(request.getfixturevalue(kind)) if kind.endswith("_uri") else kind


@pytest.mark.parametrize("kind", ["https_uri", *APP_URIS])
def test_finishing_leads_to_the_client(
    gateway: BrowserGateway, new_person: NewPerson, request: pytest.FixtureRequest, kind: str
) -> None:
    """TC-073, contract §5: Chromium applies form-action to the redirect after a form; the policy lets every kind pass."""
    person = new_person()
    application = gateway.application(_redirect_uri(request, kind))
    person.begins(application)
    person.skips()
    person.finishes()
    _expect_code(person, application)


@pytest.mark.parametrize("kind", ["loopback_uri", "https_uri"])
def test_finishing_leads_from_https_to_the_client(
    secure_gateway: BrowserGateway, person: Person, request: pytest.FixtureRequest, kind: str
) -> None:
    """TC-073, contract §5 as it is in production: the same from an https gateway, down to plain http on loopback."""
    application = secure_gateway.application(_redirect_uri(request, kind))
    person.begins(application)
    person.pastes(VIRTUAL_KEY)
    person.expects_step("Step 2 of 2")
    person.finishes()
    _expect_code(person, application)


def test_the_query_of_the_registered_uri_arrives_byte_for_byte(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, person: Person
) -> None:
    """Contract §5, submit: what was registered is kept as it is; here by the name localhost."""
    uri = loopback_uri.replace("127.0.0.1", "localhost") + REGISTERED_QUERY
    person.begins(gateway.application(uri))
    person.skips()
    person.finishes()
    person.expects_client()
    (arrived,) = listener.arrived("/callback")
    assert f"?{arrived.raw_query}".startswith(f"{REGISTERED_QUERY}&code=")


def test_denying_leads_to_an_application(gateway: BrowserGateway, new_person: NewPerson) -> None:
    """Contract §5, deny: by the same way."""
    person = new_person()
    application = gateway.application(APP_URIS[0])
    person.begins(application)
    person.denies()
    answer = _set_out_for(person, application.redirect_uri)
    assert answer == {"error": "access_denied", "state": application.state, "iss": gateway.origin}


@pytest.mark.parametrize("path", ["finish", "deny", "link"])
def test_no_referer_goes_with_it(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, person: Person, path: str
) -> None:
    """TC-021, contract §5, Referrer-Policy: neither flow ids nor our address leave with the browser."""
    person.begins(gateway.application(loopback_uri), **(REFUSED if path == "link" else {}))
    if path == "finish":
        person.skips()
        person.finishes()
    elif path == "deny":
        person.denies()
    else:
        person.page.get_by_role("link").click()
    person.expects_client()
    (arrived,) = listener.arrived("/callback")
    assert "referer" not in arrived.headers


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_refusal_returns_by_itself_to_a_program_on_this_computer(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, new_person: NewPerson, javascript: bool
) -> None:
    """Contract §4: after the seconds that the page names, and not before; with the error, state and issuer."""
    person = new_person(java_script_enabled=javascript)
    application = gateway.application(loopback_uri)
    person.begins(application, **REFUSED)
    person.expects_heading("This did not work")
    said = person.page.get_by_text("You will be taken back to").inner_text()
    assert urlsplit(loopback_uri).netloc in said
    seconds = int(said.rsplit(" in ", 1)[1].split(" ")[0])
    assert 3 <= seconds <= 30

    person.window.pass_time(seconds - 1)
    assert listener.requests == []
    person.window.pass_time(2)
    person.window.wait_until(lambda: listener.requests)
    (arrived,) = listener.arrived("/callback")
    assert "referer" not in arrived.headers
    assert arrived.query == {
        "error": "unsupported_response_type",
        "error_description": "The response_type must be code.",
        "state": application.state,
        "iss": gateway.origin,
    }


def test_a_refusal_returns_by_itself_to_an_application(gateway: BrowserGateway, new_person: NewPerson) -> None:
    """Contract §4: so it does for app schemes."""
    person = new_person()
    application = gateway.application(APP_URIS[1])
    person.begins(application, **REFUSED)
    person.window.pass_time(LONG_SECONDS)
    assert _set_out_for(person, application.redirect_uri)["error"] == "unsupported_response_type"


def test_a_refusal_waits_for_a_click_before_it_goes_to_a_website(
    gateway: BrowserGateway, website: Recording, https_uri: str, new_person: NewPerson
) -> None:
    """TC-018, contract §4: to any other host by a link that names it, never by itself (RFC 9700 §4.11.2)."""
    person = new_person()
    person.begins(gateway.application(https_uri), **REFUSED)
    person.window.pass_time(LONG_SECONDS)
    assert website.requests == []
    link = person.page.get_by_role("link", name=f"Return to {urlsplit(https_uri).netloc}", exact=True)
    assert person.page.get_by_role("link").count() == 1
    link.click()
    person.window.wait_until(lambda: website.requests)
    assert website.arrived("/callback")[0].query["error"] == "unsupported_response_type"


@pytest.mark.parametrize("changes", [{"redirect_uri": "http://127.0.0.1:1/elsewhere"}, {"client_id": "nobody"}])
def test_a_refusal_never_leads_to_an_address_nobody_registered(
    gateway: BrowserGateway, loopback_uri: str, person: Person, changes: dict[str, str]
) -> None:
    """TC-016, contract §4: unknown client or unregistered redirect URI, no link to it and nothing by itself."""
    person.begins(gateway.application(loopback_uri), **changes)
    assert person.page.get_by_role("alert").is_visible()
    assert person.page.get_by_role("link").count() == 0
    assert person.page.locator("meta[http-equiv]").count() == 0
    assert "127.0.0.1" not in person.page.content()


def test_our_own_forms_carry_our_origin(gateway: BrowserGateway, loopback_uri: str, person: Person) -> None:
    """Contract §5, exact Origin: under no-referrer alone Chromium would send `Origin: null` with our own forms."""
    for origin in (gateway.origin, gateway.other_origin):
        gateway.recording.requests.clear()
        person.begins(gateway.application(loopback_uri), origin=origin)
        person.pastes(VIRTUAL_KEY)
        person.expects_step("Step 2 of 2")
        person.denies()
        person.expects_client()
        sent = [seen for seen in gateway.recording.requests if seen.method == "POST" and seen.path.startswith(ACTION)]
        assert [seen.headers.get("origin") for seen in sent] == [origin, origin]
