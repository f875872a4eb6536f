"""What goes on to others when a browser leaves the consent pages, and a client that leads further."""

import pytest

from tests.browser._gateway import BrowserGateway
from tests.browser._person import Person
from tests.browser._servers import Recording, Site
from tests.browser.conftest import NewPerson
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser


def test_no_address_of_a_consent_page_reaches_the_client_or_its_friends(
    gateway: BrowserGateway, person: Person, website: Recording, https_uri: str
) -> None:
    """A38, TC-021, RFC 9700 §4.2: no Referer towards the client, and none of ours towards what its page loads."""
    site = website.app
    assert isinstance(site, Site)
    site.pages["/callback"] = '<!DOCTYPE html><h1>Back at the client</h1><img src="/tracker.png" alt="">'
    try:
        person.begins(gateway.application(https_uri))
        flow_url = person.page.url
        person.pastes(VIRTUAL_KEY)
        person.expects_step("Step 2 of 2")
        person.finishes()
        person.expects_client()
        person.window.wait_until(lambda: website.arrived("/tracker.png"))
    finally:
        site.pages.clear()
    (arrived,) = website.arrived("/callback")
    assert "referer" not in arrived.headers
    flow_id = flow_url.split("flow_id=")[1]
    for seen in website.requests:
        assert flow_id not in str(seen.headers)
        assert gateway.origin not in seen.headers.get("referer", "")


def test_a_client_that_hands_over_to_its_app_gets_there(
    gateway: BrowserGateway, new_person: NewPerson, website: Recording, https_uri: str
) -> None:
    """R53: one hosted client hops from its https callback to its own scheme; no rule of our page stops either hop."""
    site = website.app
    assert isinstance(site, Site)
    site.pages["/callback"] = (
        '<!DOCTYPE html><meta http-equiv="refresh" content="0;url=claude://connected"><h1>Wait</h1>'
    )
    person = new_person()
    try:
        person.begins(gateway.application(https_uri))
        person.pastes(VIRTUAL_KEY)
        person.expects_step("Step 2 of 2")
        person.finishes()
        person.window.wait_until(lambda: [url for url in person.window.requested if url.startswith("claude://")])
    finally:
        site.pages.clear()
    assert website.arrived("/callback")
