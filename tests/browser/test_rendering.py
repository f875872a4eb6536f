"""How the pages look to a person: on a large and a small screen, in light and dark, and with hostile text on them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import ViewportSize

from tests.browser._gateway import ACTION, BrowserGateway, flow_id_of
from tests.browser._person import Person
from tests.browser._servers import bound, serving
from tests.browser._specimens import SPECIMENS, specimens
from tests.browser.conftest import KEY_NAME
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser

MEASURE = Path(__file__).with_name("_measure.js").read_text()
SCREENS: tuple[ViewportSize, ...] = ({"width": 1280, "height": 900}, {"width": 360, "height": 740})
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WRONG_KEY = "sk-bf-wrong-0123456789abcdefghijklmnopqrstuvwxyz"
VECTORS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</bdi></h1><form action=//x><button>Deny",
    "'-alert(1)-' {{7*7}} ${7*7} {% raw %}",
    "&lt;b&gt;&#60;script&#62; <!-- <style>*{display:none}</style>",
)


def _identity(gateway: BrowserGateway, person: Person, uri: str) -> None:
    person.begins(gateway.application(uri))


def _wrong_key(gateway: BrowserGateway, person: Person, uri: str) -> None:
    _identity(gateway, person, uri)
    person.pastes(WRONG_KEY)


def _locked(gateway: BrowserGateway, person: Person, uri: str) -> None:
    _identity(gateway, person, uri)
    for _ in range(5):
        _post(gateway, person, "vk", virtual_key=WRONG_KEY)
    person.page.reload()
    assert person.key_field.count() == 0


def _services(gateway: BrowserGateway, person: Person, uri: str) -> None:
    _identity(gateway, person, uri)
    person.pastes(VIRTUAL_KEY)
    person.expects_step("Step 2 of 2")


def _finished(gateway: BrowserGateway, person: Person, uri: str) -> None:
    _services(gateway, person, uri)
    _post(gateway, person, "submit")
    person.finishes()


def _refused(gateway: BrowserGateway, person: Person, _uri: str) -> None:
    person.begins(gateway.application("https://editor.example/callback"), response_type="token")


def _unknown_client(gateway: BrowserGateway, person: Person, uri: str) -> None:
    person.begins(gateway.application(uri), client_id="nobody")


def _over(gateway: BrowserGateway, person: Person, uri: str) -> None:
    _identity(gateway, person, uri)
    person.page.goto(f"{gateway.origin}/oauth/consent?flow_id=flow_unknown")


def _home(gateway: BrowserGateway, person: Person, _uri: str) -> None:
    person.page.goto(f"{gateway.origin}/")


PAGES: dict[str, tuple[Callable[[BrowserGateway, Person, str], None], str]] = {
    "home": (_home, "One address for all your tools"),
    "identity": (_identity, "Notebook of Ada asks for access"),
    "identity, wrong key": (_wrong_key, "Notebook of Ada asks for access"),
    "identity, locked": (_locked, "Notebook of Ada asks for access"),
    "services": (_services, "What Notebook of Ada will reach"),
    "finished": (_finished, "This sign-in is already finished"),
    "refused": (_refused, "This did not work"),
    "unknown client": (_unknown_client, "This application is not known here"),
    "over": (_over, "This sign-in is over"),
}


def _post(gateway: BrowserGateway, person: Person, action: str, **fields: str) -> None:
    """What a form would send, from the same browser but beside the page."""
    csrf = person.page.locator("input[name=csrf]").first.input_value()
    form: dict[str, str | float | bool] = {"flow_id": flow_id_of(person.page.url), "csrf": csrf, **fields}
    headers = {"Origin": gateway.origin}
    person.page.context.request.post(f"{gateway.origin}{ACTION}/{action}", form=form, headers=headers, max_redirects=0)


def _faults(measured: dict[str, Any]) -> list[str]:
    """Everything that is too faint or sticks out."""
    faint: list[str] = [
        f"{item['what']}: {item['ratio']} instead of {item['need']}"
        for item in measured["texts"] + measured["controls"]
        if item["ratio"] < item["need"]
    ]
    wide = measured["scrollWidth"] > measured["innerWidth"]
    return [*faint, *measured["beyondTheEdge"], *(["it scrolls sideways"] if wide else [])]


def _expect_readable(person: Person, screenshots: Path, name: str) -> None:
    """In both sizes and both colour schemes; each is left as a picture."""
    faults: dict[str, list[str]] = {}
    for screen in SCREENS:
        person.page.set_viewport_size(screen)
        for scheme in SCHEMES:
            person.page.emulate_media(color_scheme=scheme)
            measured = person.page.evaluate(MEASURE)
            assert measured["texts"]
            variant = f"{name}-{screen['width']}-{scheme}".replace(" ", "-").replace(",", "")
            person.page.screenshot(path=screenshots / f"{variant}.png", full_page=True)
            faults[variant] = _faults(measured)
    assert faults == {variant: [] for variant in faults}


@pytest.mark.parametrize("name", list(PAGES))
def test_a_page_can_be_read_on_every_screen(
    gateway: BrowserGateway, loopback_uri: str, person: Person, screenshots: Path, name: str
) -> None:
    """WCAG 2.2 §§1.4.3, 1.4.10, 1.4.11: contrast AA as rendered, and no scrolling sideways."""
    visit, heading = PAGES[name]
    visit(gateway, person, loopback_uri)
    person.expects_heading(heading)
    _expect_readable(person, screenshots, name)


@pytest.fixture(scope="module")
def specimen_origin() -> Iterator[str]:
    listening, port = bound()
    with serving(specimens, listening):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("path", list(SPECIMENS))
def test_a_page_in_a_rare_state_can_be_read_on_every_screen(
    specimen_origin: str, person: Person, screenshots: Path, path: str
) -> None:
    """As above, with the longest names, a verified client, every state of a service, and a page that goes on by itself."""
    person.page.goto(specimen_origin + path)
    _expect_readable(person, screenshots, path.removeprefix("/"))


def _shapes(gateway: BrowserGateway, person: Person, client_name: str) -> list[Counter[str]]:
    """The elements of both pages, for a client with this name."""
    person.begins(gateway.application("http://127.0.0.1:1/callback", name=client_name))
    first = _elements(person)
    assert person.page.locator("h1 bdi").inner_text() == client_name
    person.skips()
    assert person.page.locator("h1 bdi").inner_text() == client_name
    return [first, _elements(person)]


@pytest.fixture(scope="module")
def plain_shapes(plain_gateway: BrowserGateway, _with_javascript: Person) -> list[Counter[str]]:
    return _shapes(plain_gateway, _with_javascript, "Plain")


@pytest.mark.parametrize("name", VECTORS)
def test_a_hostile_client_name_is_text(
    gateway: BrowserGateway, plain_shapes: list[Counter[str]], person: Person, name: str
) -> None:
    """TC-075, contract §5: shown as it is written; it adds no element to either page and runs nothing."""
    assert _shapes(gateway, person, name) == plain_shapes
    assert person.window.dialogs == []


def test_nothing_in_the_query_is_repeated_on_the_page(
    gateway: BrowserGateway, loopback_uri: str, person: Person
) -> None:
    """TC-076, contract §5: only known error codes render, never free text from the query."""
    person.begins(gateway.application(loopback_uri))
    before = _elements(person)
    person.page.goto(
        f"{person.page.url}&error=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&error_description=Call+this-number"
    )
    assert _elements(person) == before
    assert "this-number" not in person.page.content()
    assert person.page.get_by_role("alert").count() == 0


def test_the_name_of_a_key_is_text(gateway: BrowserGateway, loopback_uri: str, person: Person) -> None:
    """TC-075: the administrator's words are escaped like anybody's."""
    _services(gateway, person, loopback_uri)
    assert person.page.locator("bdi.label").inner_text() == KEY_NAME
    assert person.page.locator("bdi b").count() == 0


def _elements(person: Person) -> Counter[str]:
    found: list[str] = person.page.evaluate("[...document.querySelectorAll('*')].map(element => element.tagName)")
    return Counter(found)
