"""Launching Chromium, and what one window of it says while a person uses it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Dialog, Page, Playwright, ViewportSize

from tests.browser._servers import wait_until

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
DEBIAN_CHROMIUM = "/usr/bin/chromium"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NO_OUTSIDE = (
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP localhost 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"
)


def chromium_path(environment: Mapping[str, str]) -> str:
    """The Chromium to use; that there is none is a failure, never a reason to skip."""
    path = environment.get("CHROMIUM") or DEBIAN_CHROMIUM
    if not Path(path).is_file():
        pytest.fail(
            f"The browser tests need Chromium, and there is none at {path}. Install it (on Debian: "
            "apt-get install chromium), or name another one with CHROMIUM=/path/to/chromium.",
            pytrace=False,
        )
    return path


def launch(playwright: Playwright, path: str, *, back_from_memory: bool = False) -> Browser:
    """`back_from_memory` keeps pages for the Back button, as a Chromium that a person starts does; it is slower."""
    return playwright.chromium.launch(
        executable_path=path,
        args=[*_QUIET, _NO_OUTSIDE],
        ignore_default_args=["--disable-back-forward-cache"] if back_from_memory else None,
    )


@dataclass
class Window:
    """One tab, with what Chromium reports about it. (The driver keeps notes of its own here, hence no slots.)"""

    page: Page
    cdp: CDPSession = field(init=False)
    violations: list[str] = field(default_factory=list)
    """What was stopped by a Content-Security-Policy."""
    dialogs: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    """URLs that it set out for, those of applications included, which it then leaves to the operating system."""

    def __post_init__(self) -> None:
        self.cdp = self.page.context.new_cdp_session(self.page)
        self.cdp.on("Audits.issueAdded", self._issue)
        self.cdp.send("Audits.enable")
        self.page.on("console", self._console)
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requested.append(request.url))

    def forget(self) -> None:
        """As good as new, for the next test: that is much faster than a new one."""
        self.page.context.clear_cookies()
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light")
        for notes in (self.violations, self.dialogs, self.requested):
            notes.clear()

    def pass_time(self, seconds: float) -> None:
        """Let the page's own timers run ahead by so much, without waiting for it."""
        expired: list[Any] = []
        self.cdp.once("Emulation.virtualTimeBudgetExpired", lambda _event: expired.append(True))
        self.cdp.send("Emulation.setVirtualTimePolicy", {"policy": "advance", "budget": seconds * 1_000})
        self.wait_until(lambda: expired)

    def wait_until(self, happened: Callable[[], object]) -> None:
        """As `wait_until`, and meanwhile the driver goes on reporting."""

        def seen() -> object:
            self.page.wait_for_timeout(5)
            return happened()

        wait_until(seen)

    def go_back(self) -> None:
        """The Back button, which works without JavaScript too and may bring a page back from memory."""
        history = self.cdp.send("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        self.cdp.send("Page.navigateToHistoryEntry", {"entryId": entry["id"]})
        self.wait_until(lambda: self.in_page("document.readyState == 'complete' && location.href") == entry["url"])

    def in_page(self, expression: str) -> Any:
        """Asked of whatever is shown now; the driver itself loses a page that comes back from memory."""
        return self.cdp.send("Runtime.evaluate", {"expression": expression})["result"].get("value")

    def _issue(self, event: dict[str, Any]) -> None:
        if event["issue"]["code"] == "ContentSecurityPolicyIssue":
            details = event["issue"]["details"]["contentSecurityPolicyIssueDetails"]
            self.violations.append(f"{details['violatedDirective']}: {details.get('blockedURL', 'inline')}")

    def _console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.violations.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()
