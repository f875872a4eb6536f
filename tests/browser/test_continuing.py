"""A client that was allowed before, in a real browser: one click, and everything else within reach."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser._gateway import Application, BrowserGateway, running_gateway
from tests.browser._person import Person
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[BrowserGateway]:
    assert chromium
    entry = {"client_id": "notebook", "client_name": "Notebook", "redirect_uris": ["http://127.0.0.1/callback"]}
    with running_gateway(tmp_path_factory.mktemp("known"), client={"registered_clients": [entry]}) as started:
        yield started


def test_the_second_time_takes_one_click(
    gateway: BrowserGateway, loopback_uri: str, new_person: Callable[..., Person]
) -> None:
    """Contract §5: the cookie of the earlier consent is there, the redirect is not stopped, and a code comes of it."""
    person, registered = new_person(), {"client_id": "notebook", "redirect_uris": [loopback_uri]}
    person.begins(Application(gateway=gateway, registration=registered))
    person.expects_heading("Notebook asks for access")
    person.pastes(VIRTUAL_KEY)
    person.expects_step("Step 2 of 2")
    person.finishes()
    person.expects_client()

    again = Application(gateway=gateway, registration=registered)
    person.begins(again)
    person.expects_heading("Notebook asks for access again")
    person.page.get_by_role("link", name="Show everything instead").click()
    person.expects_heading("Notebook asks for access")
    person.page.go_back()
    person.presses("Continue as test")
    person.expects_client()
    answer = parse_qs(urlsplit(person.page.url).query)
    assert answer["state"] == [again.state]
    assert again.redeem(answer["code"][0])["token_type"] == "Bearer"
