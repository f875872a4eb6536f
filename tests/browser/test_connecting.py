"""Links that connect accounts, opened by the wrong person: what Chromium's cookies let each browser do."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser._gateway import BrowserGateway
from tests.browser._person import Person
from tests.browser.conftest import NewPerson
from tests.flows._connecting import SECOND_KEY
from tests.support.gateway import VIRTUAL_KEY
from tests.support.oauth_upstream import OAuthUpstream

pytestmark = pytest.mark.browser


@pytest.fixture
def gateway(accounts_gateway: tuple[BrowserGateway, OAuthUpstream]) -> BrowserGateway:
    return accounts_gateway[0]


@pytest.fixture
def service(accounts_gateway: tuple[BrowserGateway, OAuthUpstream]) -> Iterator[OAuthUpstream]:
    """The service behind the gateway, at which nobody has asked for anything yet."""
    gateway, service = accounts_gateway
    for requests in (service.authorizations, service.token_requests, service.calls):
        requests.clear()
    yield service
    gateway.clock.advance(seconds=3_600)


def _called(gateway: BrowserGateway, key: str) -> dict[str, Any]:
    """What a client with this key is told when it calls the service's tool."""
    params = {"name": "guarded-whoami", "arguments": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    result: dict[str, Any] = gateway.http.post("/mcp", json=message, headers={"x-bf-vk": key}).json()["result"]
    return result


def _link(gateway: BrowserGateway, key: str) -> str:
    return str(_called(gateway, key)["_meta"]["mcp_auth_required"]["authorize_url"])


def _consented(person: Person, gateway: BrowserGateway, redirect_uri: str, key: str) -> None:
    """Their browser carries the cookie of a consent that they gave with this key."""
    person.begins(gateway.application(redirect_uri))
    person.pastes(key)
    person.expects_step("Step 2 of 2")
    person.finishes()
    person.expects_client()


def _learns_nothing(person: Person) -> None:
    person.expects_heading("Is this you?")
    shown = person.page.content()
    assert "guarded" not in shown
    assert "Your services" not in shown


def _signs_in_at_the_service(person: Person, account: str) -> None:
    person.expects_heading("Sign in at the service")
    person.page.get_by_label("Account").fill(account)
    person.presses("Sign in")


def test_a_link_of_somebody_else_connects_nothing(
    gateway: BrowserGateway, service: OAuthUpstream, loopback_uri: str, new_person: NewPerson
) -> None:
    """TC-107, G6: Ben opens Ann's link, with a consent of his own and with his own key; Ann's account stays Ann's."""
    link = _link(gateway, VIRTUAL_KEY)
    ben, ann = new_person(), new_person()
    _consented(ben, gateway, loopback_uri, SECOND_KEY)
    ben.page.goto(link)
    _learns_nothing(ben)
    ben.pastes(SECOND_KEY)
    _learns_nothing(ben)
    assert service.authorizations == []

    ann.page.goto(link)
    ann.pastes(VIRTUAL_KEY)
    ann.expects_heading("Your services")
    ben.page.goto(link)
    _learns_nothing(ben)
    ben.pastes(VIRTUAL_KEY)
    ben.expects_heading("This sign-in belongs to another browser")
    assert service.authorizations == []

    ann.presses("Connect guarded")
    _signs_in_at_the_service(ann, "alice")
    ann.page.get_by_text("The account is connected").wait_for()
    assert _called(gateway, VIRTUAL_KEY)["content"] == [{"type": "text", "text": "alice"}]
    assert "mcp_auth_required" in _called(gateway, SECOND_KEY)["_meta"]


def test_a_link_of_an_attacker_does_not_take_the_account_of_whoever_opens_it(
    gateway: BrowserGateway, service: OAuthUpstream, loopback_uri: str, new_person: NewPerson
) -> None:
    """TC-108: Ann, who has given consent with her own key, opens Ben's link; nothing of hers ends up with him."""
    link = _link(gateway, SECOND_KEY)
    ann = new_person()
    _consented(ann, gateway, loopback_uri, VIRTUAL_KEY)
    ann.page.goto(link)
    _learns_nothing(ann)
    ann.pastes(VIRTUAL_KEY)
    _learns_nothing(ann)
    assert service.authorizations == []
    assert not [row for row in gateway.rows("upstream_credentials") if row["owner_id"] == "vk-two"]


def test_a_sign_in_that_an_attacker_began_is_not_finished_by_whoever_signs_in(
    gateway: BrowserGateway, service: OAuthUpstream, loopback_uri: str, new_person: NewPerson
) -> None:
    """TC-106, TC-108, CVE-2026-27124: the address of the service itself, sent on; Ann signs in, nobody uses her code."""
    ben, ann = new_person(), new_person()
    _consented(ann, gateway, loopback_uri, VIRTUAL_KEY)
    ben.page.goto(_link(gateway, SECOND_KEY))
    ben.pastes(SECOND_KEY)
    ben.presses("Connect guarded")
    ben.expects_heading("Sign in at the service")
    ann.page.goto(ben.page.url)
    _signs_in_at_the_service(ann, "alice")
    ann.expects_heading("This account was not connected")
    assert len(service.authorizations) == 1
    assert service.token_requests == []
    assert not [row for row in gateway.rows("upstream_credentials") if row["owner_id"] == "vk-two"]
