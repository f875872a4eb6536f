"""A person at the consent pages: everything is found by what it is called on the screen."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page

from tests.browser._chromium import Window
from tests.browser._gateway import Application


@dataclass(frozen=True, slots=True)
class Person:
    window: Window

    @property
    def page(self) -> Page:
        return self.window.page

    @property
    def key_field(self) -> Locator:
        return self.page.get_by_label("Your virtual key")

    def opens_a_tab(self) -> "Person":
        """The same person, in the same browser profile."""
        return Person(Window(self.page.context.new_page()))

    def begins(self, application: Application, *, origin: str | None = None, **changes: str | None) -> None:
        """Opens the authorization URL, as the application would; `changes` are those to a correct request."""
        self.page.goto(application.authorize_url(origin=origin, **changes))

    def pastes(self, key: str) -> None:
        self.key_field.fill(key)
        self.presses("Continue with this key")

    def skips(self) -> None:
        self.presses("Continue without a key")
        self.expects_step("Step 2 of 2")

    def finishes(self) -> None:
        self.presses("Finish and allow access")

    def denies(self) -> None:
        self.presses("Deny")

    def presses(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def expects_step(self, step: str) -> None:
        self.page.get_by_text(step, exact=True).wait_for()

    def expects_heading(self, heading: str) -> None:
        self.page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()

    def expects_client(self) -> None:
        """The page that the callback listener shows."""
        self.expects_heading("Back at the client")
