"""The whole walk through the consent pages, as a person makes it, with JavaScript and without."""

import pytest

from tests.browser._gateway import Application, BrowserGateway
from tests.browser._person import Person
from tests.browser._servers import Recording
from tests.browser.conftest import KEY_NAME
from tests.support.gateway import KEY_ID, VIRTUAL_KEY

pytestmark = pytest.mark.browser

WRONG_KEY = "sk-bf-wrong-0123456789abcdefghijklmnopqrstuvwxyz"
FLOW_SECONDS = 15 * 60
LOCK_SECONDS = 5 * 60


def _token(application: Application, listener: Recording) -> str:
    """The access token for the code that arrived, once state and issuer are found right."""
    (arrived,) = listener.arrived("/callback")
    assert set(arrived.query) == {"code", "state", "iss"}
    assert (arrived.query["state"], arrived.query["iss"]) == (application.state, application.gateway.origin)
    return str(application.redeem(arrived.query["code"])["access_token"])


def test_a_person_approves_with_a_key(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, any_person: Person
) -> None:
    """A41, contract §5, submit: code, state and iss arrive, and the token that the code buys opens /mcp."""
    application = gateway.application(loopback_uri)
    any_person.begins(application)
    any_person.pastes(VIRTUAL_KEY)
    any_person.expects_step("Step 2 of 2")
    assert f"Virtual key {KEY_NAME}" in any_person.page.locator("dl.panel").inner_text()
    any_person.finishes()
    any_person.expects_client()

    token = _token(application, listener)
    assert application.list_tools(token).status_code == 200
    assert application.list_tools(token + "x").status_code == 401
    assert gateway.rows("grants")[-1]["identity_id"] == KEY_ID


def test_a_person_goes_on_without_a_key(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, any_person: Person
) -> None:
    """Contract §5, skip: an anonymous session, on offer while no key is enforced."""
    application = gateway.application(loopback_uri)
    any_person.begins(application)
    any_person.skips()
    assert "Anonymous session" in any_person.page.locator("dl.panel").inner_text()
    any_person.finishes()
    any_person.expects_client()

    assert application.list_tools(_token(application, listener)).status_code == 200
    assert gateway.rows("grants")[-1]["identity_kind"] == "session"


def test_a_wrong_key_is_answered_on_the_page(gateway: BrowserGateway, loopback_uri: str, any_person: Person) -> None:
    """Contract §5: back to the page with a known error; the field is empty, focused, and bound to the message."""
    any_person.begins(gateway.application(loopback_uri))
    any_person.pastes(WRONG_KEY)

    alert = any_person.page.get_by_role("alert")
    assert alert.inner_text() == "This virtual key is unknown, inactive or expired. Check it and paste it again."
    assert alert.is_visible()
    assert any_person.key_field.input_value() == ""
    assert any_person.page.locator("#virtual-key:focus").count() == 1
    assert any_person.key_field.get_attribute("aria-invalid") == "true"
    assert str(alert.get_attribute("id")) in str(any_person.key_field.get_attribute("aria-describedby"))
    assert any_person.page.title().startswith("Error: ")
    assert WRONG_KEY not in any_person.page.url + any_person.page.content()

    any_person.pastes(VIRTUAL_KEY)
    any_person.expects_step("Step 2 of 2")


def test_five_wrong_keys_close_the_form_for_a_while(
    gateway: BrowserGateway, loopback_uri: str, plain_person: Person
) -> None:
    """TC-163, contract §5: after five failures the form locks, says so, and opens again by itself."""
    plain_person.begins(gateway.application(loopback_uri))
    for _ in range(5):
        plain_person.pastes(WRONG_KEY)
    assert "Too many wrong keys" in plain_person.page.get_by_role("alert").inner_text()
    assert plain_person.key_field.count() == 0

    gateway.clock.advance(seconds=LOCK_SECONDS + 1)
    plain_person.page.get_by_role("link", name="Try again").click()
    plain_person.pastes(VIRTUAL_KEY)
    plain_person.expects_step("Step 2 of 2")


def test_a_person_denies_at_once(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, any_person: Person
) -> None:
    """Contract §5, deny: the client learns access_denied with its state and our issuer, and nothing is granted."""
    before = gateway.rows("grants")
    application = gateway.application(loopback_uri)
    any_person.begins(application)
    any_person.denies()
    any_person.expects_client()
    (arrived,) = listener.arrived("/callback")
    assert arrived.query == {"error": "access_denied", "state": application.state, "iss": gateway.origin}
    assert gateway.rows("grants") == before


def test_a_person_denies_at_the_last_step(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, person: Person
) -> None:
    """Contract §5: Deny is on the services page too."""
    before = gateway.rows("grants")
    person.begins(gateway.application(loopback_uri))
    person.skips()
    person.denies()
    person.expects_client()
    assert listener.arrived("/callback")[0].query["error"] == "access_denied"
    assert gateway.rows("grants") == before


@pytest.mark.parametrize(
    ("button", "status", "heading"),
    [
        ("Continue without a key", 400, "This sign-in is over"),
        ("Finish and allow access", 410, "This sign-in has expired"),
        ("Deny", 400, "This sign-in is over"),
    ],
)
def test_an_expired_sign_in_says_so(  # noqa: PLR0917 - fixtures and parameters
    gateway: BrowserGateway,
    listener: Recording,
    loopback_uri: str,
    person: Person,
    button: str,
    status: int,
    heading: str,
) -> None:
    """Contract §5: 400 with one body for every action but submit, which says 410; nothing reaches the client."""
    person.begins(gateway.application(loopback_uri))
    consent_url = person.page.url
    if button.startswith("Finish"):
        person.skips()
    gateway.clock.advance(seconds=FLOW_SECONDS)
    with person.page.expect_response(lambda answer: "/consent/" in answer.url) as answer:
        person.presses(button)
    assert answer.value.status == status
    person.expects_heading(heading)
    assert person.page.locator("form").count() == 0

    reopened = person.page.goto(consent_url)
    assert reopened is not None
    assert reopened.status == 400
    person.expects_heading("This sign-in is over")
    assert listener.requests == []


def test_a_person_changes_their_mind_about_who_they_are(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, plain_person: Person
) -> None:
    """Contract §5, services page, *Change identity*: the last choice counts."""
    application = gateway.application(loopback_uri)
    plain_person.begins(application)
    plain_person.skips()
    plain_person.page.get_by_role("link", name="Change identity").click()
    plain_person.expects_step("Step 1 of 2")
    plain_person.pastes(VIRTUAL_KEY)
    plain_person.expects_step("Step 2 of 2")
    plain_person.finishes()
    plain_person.expects_client()
    assert gateway.rows("grants")[-1]["identity_id"] == KEY_ID
    assert _token(application, listener)


@pytest.mark.parametrize("first", [0, 1])
def test_two_sign_ins_in_one_browser_both_finish(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, person: Person, first: int
) -> None:
    """Contract §4: a browser keeps its secret, so several flows finish, in either order."""
    applications = [gateway.application(loopback_uri, name=name) for name in ("Editor", "Terminal")]
    second_tab = person.opens_a_tab()
    tabs = [person, second_tab]
    for tab, application in zip(tabs, applications, strict=True):
        tab.begins(application)
    for index in (first, 1 - first):
        listener.requests.clear()
        tabs[index].skips()
        tabs[index].finishes()
        tabs[index].expects_client()
        assert _token(applications[index], listener)
    assert second_tab.window.violations == []


def test_one_sign_in_in_two_tabs_is_answered_once(
    gateway: BrowserGateway, listener: Recording, loopback_uri: str, person: Person
) -> None:
    """TC-056, TC-065, contract §5: of several submits one wins, the others are told with 409 that it is finished."""
    person.begins(gateway.application(loopback_uri))
    person.skips()
    tab = person.opens_a_tab()
    tab.page.goto(person.page.url)
    person.finishes()
    person.expects_client()
    with tab.page.expect_response("**/consent/submit") as answer:
        tab.finishes()
    assert answer.value.status == 409
    tab.expects_heading("This sign-in is already finished")
    assert tab.page.get_by_role("status").is_visible()
    assert len(listener.arrived("/callback")) == 1
