"""The pages without a mouse (WCAG 2.2 §§2.1.1, 2.4.3, 2.4.7)."""

from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser._gateway import BrowserGateway
from tests.browser._person import Person
from tests.support.gateway import VIRTUAL_KEY

pytestmark = pytest.mark.browser

_FOCUSED = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    name: element.labels && element.labels.length ? element.labels[0].textContent : element.textContent.trim(),
    ring: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
    color: style.outlineColor,
    inSight: box.top >= 0 && box.bottom <= innerHeight,
  };
}"""
RING_PIXELS = 2
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def _tabbed(person: Person, stops: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(stops):
        person.page.keyboard.press("Tab")
        found.append(person.page.evaluate(_FOCUSED))
    return found


def _expect_stops(person: Person, *names: str) -> None:
    stops = _tabbed(person, len(names))
    assert [stop["name"] for stop in stops] == list(names)
    assert all(stop["ring"] >= RING_PIXELS for stop in stops), stops
    assert all(stop["inSight"] for stop in stops), stops
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement === document.body"), "there is another stop"


def test_the_keyboard_alone_is_enough(gateway: BrowserGateway, loopback_uri: str, person: Person) -> None:
    """Tab goes the way the page is read, the focus is seen at every stop, and Enter submits."""
    person.begins(gateway.application(loopback_uri))
    _expect_stops(person, "Your virtual key", "Continue with this key", "Continue without a key", "Deny")
    person.page.keyboard.press("Tab")
    person.page.keyboard.type(VIRTUAL_KEY)
    person.page.keyboard.press("Enter")
    person.expects_step("Step 2 of 2")
    _expect_stops(person, "Change identity", "Finish and allow access", "Deny")
    _tabbed(person, 2)
    person.page.keyboard.press("Enter")
    person.expects_client()


def test_the_keyboard_alone_denies(gateway: BrowserGateway, loopback_uri: str, plain_person: Person) -> None:
    """Deny is reached and pressed without a mouse, with Space too, and without JavaScript."""
    plain_person.begins(gateway.application(loopback_uri))
    assert _tabbed(plain_person, 4)[-1]["name"] == "Deny"
    plain_person.page.keyboard.press("Space")
    plain_person.expects_client()


def test_after_a_wrong_key_typing_goes_into_the_field(
    gateway: BrowserGateway, loopback_uri: str, person: Person
) -> None:
    """Contract §5: on a small screen too, message and field are in sight, and the next paste and Enter are all it takes."""
    person.page.set_viewport_size({"width": 360, "height": 740})
    person.begins(gateway.application(loopback_uri))
    person.pastes("sk-bf-wrong")
    expect(person.page.get_by_role("alert")).to_be_in_viewport(ratio=1)
    focused = person.page.evaluate(_FOCUSED)
    assert focused["name"] == "Your virtual key"
    assert focused["ring"] >= RING_PIXELS
    assert focused["inSight"]
    person.page.keyboard.type(VIRTUAL_KEY)
    person.page.keyboard.press("Enter")
    person.expects_step("Step 2 of 2")


def test_the_ring_around_the_focus_stands_out(gateway: BrowserGateway, loopback_uri: str, person: Person) -> None:
    """WCAG 2.2 §1.4.11: 3 to 1 against the paper around it, in light and in dark."""
    person.begins(gateway.application(loopback_uri))
    for scheme in SCHEMES:
        person.page.emulate_media(color_scheme=scheme)
        person.page.keyboard.press("Tab")
        ring = person.page.evaluate(_FOCUSED)["color"]
        paper = person.page.locator("main").evaluate("main => getComputedStyle(main).backgroundColor")
        assert _contrast(_rgb(ring), _rgb(paper)) >= 3


def _rgb(color: str) -> list[int]:
    return [int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(", ")]


def _contrast(one: list[int], other: list[int]) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: list[int]) -> float:
    shares = [value / 255 for value in rgb]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
