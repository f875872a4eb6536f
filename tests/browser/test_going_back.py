"""The Back button, in a Chromium that keeps pages in memory as a person's own does."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright

from bifrost.settings import environment
from tests.browser._chromium import Window, chromium_path, launch
from tests.browser._gateway import BrowserGateway
from tests.browser._person import Person

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def everyday_chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = launch(playwright, chromium_path(environment()), back_from_memory=True)
    yield browser
    browser.close()


def test_a_page_brought_back_after_the_decision_decides_nothing_more(
    gateway: BrowserGateway, loopback_uri: str, everyday_chromium: Browser
) -> None:
    """Contract §5, TC-084: a browser may show a page from its memory; its buttons then say that it is over."""
    person = _who_decides(gateway, loopback_uri, everyday_chromium, "Deny")
    person.window.go_back()
    person.presses("Finish and allow access")
    person.expects_heading("This sign-in is already finished")


def test_a_page_is_asked_for_again_once_the_decision_has_changed_a_cookie(
    gateway: BrowserGateway, loopback_uri: str, everyday_chromium: Browser
) -> None:
    """Contract §5, TC-084: to finish sets the cookie of the remembered consent, and Chromium forgets such a page."""
    person = _who_decides(gateway, loopback_uri, everyday_chromium, "Finish and allow access")
    person.window.go_back()
    person.expects_heading("This sign-in is over")


def _who_decides(gateway: BrowserGateway, loopback_uri: str, chromium: Browser, decision: str) -> Person:
    person = Person(Window(chromium.new_page()))
    person.begins(gateway.application(loopback_uri))
    person.skips()
    person.presses(decision)
    person.expects_client()
    return person


def test_a_missing_chromium_is_a_failure_that_says_how_to_install_it() -> None:
    """Nobody should believe that these tests passed when they did not run."""
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium_path({"CHROMIUM": "/nowhere/chromium"})
