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


@pytest.mark.parametrize("decision", ["Finish and allow access", "Deny"])
def test_a_page_brought_back_after_the_decision_decides_nothing_more(
    gateway: BrowserGateway, loopback_uri: str, everyday_chromium: Browser, decision: str
) -> None:
    """Contract §5, TC-084: a browser may show a page from its memory; its buttons then say that it is over."""
    person = Person(Window(everyday_chromium.new_page()))
    person.begins(gateway.application(loopback_uri))
    person.skips()
    person.presses(decision)
    person.expects_client()
    person.window.go_back()
    person.presses("Finish and allow access")
    person.expects_heading("This sign-in is already finished")


def test_a_missing_chromium_is_a_failure_that_says_how_to_install_it() -> None:
    """Nobody should believe that these tests passed when they did not run."""
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium_path({"CHROMIUM": "/nowhere/chromium"})
