"""One Chromium and one gateway for all of these tests; every test has browser profiles and an application of its own.

The driver keeps an event loop running in the thread of the tests, so its fixtures end with this package.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from bifrost.settings import environment
from tests.browser._chromium import DESKTOP, Window, chromium_path, launch
from tests.browser._gateway import TLS_HOST, BrowserGateway, running_gateway
from tests.browser._person import Person
from tests.browser._servers import Recording, Site, bound, serving, write_certificate
from tests.flows._connecting import KEYS
from tests.support.gateway import KEY_ID, VIRTUAL_KEY, upstream
from tests.support.oauth_upstream import OAuthUpstream
from tests.support.servers import serving as serving_in_thread

CLIENT_HOST = "app.client.example"
UNUSED = "http://127.0.0.1:9/mcp"
SERVICES = ("weather", "issue_tracker", "relationship_archive_of_the_northern_region")
KEY_NAME = "Ada's <b>own</b> key"
_AN_HOUR = 3_600
STEP_SECONDS = 10

NewPerson = Callable[..., Person]


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def chromium(
    playwright: Playwright,
    plain_gateway: BrowserGateway,
    tls_gateway: BrowserGateway,
    accounts_gateway: tuple[BrowserGateway, OAuthUpstream],
    _loopback_site: tuple[Recording, int],
    _https_site: tuple[Recording, int],
) -> Iterator[Browser]:
    """It ends before the servers do: they could not close the connections that it keeps open."""
    browser = launch(playwright, chromium_path(environment()))
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "certificate.pem", TLS_HOST, CLIENT_HOST)


@pytest.fixture(scope="package")
def plain_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserGateway]:
    """At http://localhost, and at http://127.0.0.1 too; with three services."""
    with running_gateway(tmp_path_factory.mktemp("plain"), **_sections()) as started:
        yield started


@pytest.fixture(scope="package")
def tls_gateway(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[BrowserGateway]:
    """At https://gateway.example, where everybody needs a key."""
    with running_gateway(tmp_path_factory.mktemp("tls"), certificate=certificate, **_sections()) as started:
        yield started


@pytest.fixture(scope="package")
def accounts_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrowserGateway, OAuthUpstream]]:
    """With two keys, and one service that asks everybody for an account of their own."""
    guarded = OAuthUpstream()
    with serving_in_thread(guarded.app()) as origin:
        guarded.origin = origin
        entries = {"client_configs": [upstream("guarded", guarded.url, auth_type="per_user_oauth")]}
        with running_gateway(tmp_path_factory.mktemp("accounts"), governance=KEYS, mcp=entries) as started:
            yield started, guarded


@pytest.fixture
def gateway(plain_gateway: BrowserGateway) -> BrowserGateway:
    return _rested(plain_gateway)


@pytest.fixture
def secure_gateway(tls_gateway: BrowserGateway) -> BrowserGateway:
    return _rested(tls_gateway)


@pytest.fixture(scope="package")
def _loopback_site() -> Iterator[tuple[Recording, int]]:
    site = Recording(Site())
    listening, port = bound()
    with serving(site, listening):
        yield site, port


@pytest.fixture
def listener(_loopback_site: tuple[Recording, int]) -> Recording:
    """The client's callback listener on loopback, and what has arrived there."""
    _loopback_site[0].requests.clear()
    return _loopback_site[0]


@pytest.fixture
def loopback_uri(listener: Recording, _loopback_site: tuple[Recording, int]) -> str:
    return f"http://127.0.0.1:{_loopback_site[1]}/callback"


@pytest.fixture(scope="package")
def _https_site(certificate: Path) -> Iterator[tuple[Recording, int]]:
    site = Recording(Site())
    listening, port = bound()
    with serving(site, listening, certificate=certificate):
        yield site, port


@pytest.fixture
def website(_https_site: tuple[Recording, int]) -> Recording:
    """A client on the web, and what has arrived there."""
    _https_site[0].requests.clear()
    return _https_site[0]


@pytest.fixture
def https_uri(website: Recording, _https_site: tuple[Recording, int]) -> str:
    return f"https://{CLIENT_HOST}:{_https_site[1]}/callback"


@pytest.fixture
def new_person(chromium: Browser) -> Iterator[NewPerson]:
    """Somebody with a browser profile of their own. Nothing may be stopped by a Content-Security-Policy.

    To be used instead of `person` where a test leaves a window as no other test could use it: with its timers run
    ahead, or with Chromium's question whether it may start an application.
    """
    people: list[Person] = []

    def begin(**options: Any) -> Person:
        people.append(_person(chromium, **options))
        return people[-1]

    yield begin
    for person in people:
        person.page.context.close()
    assert [person.window.violations for person in people] == [[] for _ in people]


@pytest.fixture(scope="package")
def _with_javascript(chromium: Browser) -> Person:
    return _person(chromium)


@pytest.fixture(scope="package")
def _without_javascript(chromium: Browser) -> Person:
    return _person(chromium, java_script_enabled=False)


@pytest.fixture
def person(_with_javascript: Person) -> Iterator[Person]:
    """A person whose browser knows nothing yet."""
    yield from _fresh(_with_javascript)


@pytest.fixture
def plain_person(_without_javascript: Person) -> Iterator[Person]:
    """The same, without JavaScript."""
    yield from _fresh(_without_javascript)


@pytest.fixture(params=["person", "plain_person"], ids=["with JavaScript", "without JavaScript"])
def any_person(request: pytest.FixtureRequest) -> Person:
    """Whatever uses it runs with JavaScript and without."""
    found: Person = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screenshots")


def _sections() -> dict[str, Any]:
    upstreams = [upstream(name, UNUSED) for name in SERVICES]
    key = {"id": KEY_ID, "name": KEY_NAME, "value": VIRTUAL_KEY}
    return {"mcp": {"client_configs": upstreams}, "governance": {"virtual_keys": [key]}}


def _person(chromium: Browser, **options: Any) -> Person:
    context = chromium.new_context(ignore_https_errors=True, viewport=DESKTOP, **options)
    context.set_default_timeout(STEP_SECONDS * 1_000)
    return Person(Window(context.new_page()))


def _fresh(person: Person) -> Iterator[Person]:
    person.window.forget()
    yield person
    assert person.window.violations == []


def _rested(gateway: BrowserGateway) -> BrowserGateway:
    """What earlier tests left is over: their sign-ins have expired, and their wrong keys are forgotten."""
    gateway.clock.advance(seconds=_AN_HOUR)
    gateway.recording.requests.clear()
    return gateway
