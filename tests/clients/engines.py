"""Two browsers for `autobrowser.py`: the standard library's HTTP client, and Chromium by playwright."""

from __future__ import annotations

import http.cookiejar
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

from pages import FlowError, end_page, read_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from pages import Button, Form, Link, Page

MAX_REDIRECTS = 25
PAGE_SECONDS = 20


class Browser(Protocol):
    def open(self, url: str) -> Page: ...
    def follow(self, page: Page, link: Link) -> Page: ...
    def send(self, page: Page, form: Form, button: Button, key: str) -> Page: ...
    def close(self) -> None: ...


# --- engine: the standard library ---


class _Policy(http.cookiejar.DefaultCookiePolicy):
    """Browsers take Secure and __Host- cookies on loopback over plain HTTP, as a trustworthy origin."""

    def __init__(self) -> None:
        super().__init__(secure_protocols=("http", "https"))


class _Stop(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by hand, so that application schemes and the trace can be seen."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


class HttpBrowser:
    def __init__(self, way_back: str, note: Callable[[str], None], *, open_last: bool) -> None:
        self._way_back, self._note, self._open_last = way_back, note, open_last
        jar = http.cookiejar.CookieJar(_Policy())
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar), _Stop())
        self._opener = urllib.request.build_opener(*handlers)
        self._opener.addheaders = [("User-Agent", "autobrowser/1"), ("Accept", "text/html,*/*;q=0.5")]

    def open(self, url: str) -> Page:
        return self._walk(urllib.request.Request(url))

    def follow(self, page: Page, link: Link) -> Page:
        return self.open(urllib.parse.urljoin(page.url, link.href))

    def send(self, page: Page, form: Form, button: Button, key: str) -> Page:
        data = form.fields + [(name, key) for name in form.passwords]
        data += [(button.name, button.value)] if button.name else []
        here = urllib.parse.urlsplit(page.url)
        headers = {"Origin": "null"} if page.hides_origin else {"Origin": f"{here.scheme}://{here.netloc}"}
        headers |= {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        target = urllib.parse.urljoin(page.url, form.action or page.url)
        body = urllib.parse.urlencode(data).encode()
        return self._walk(urllib.request.Request(target, data=body, headers=headers))

    def close(self) -> None:
        pass

    def _walk(self, request: urllib.request.Request) -> Page:
        for _ in range(MAX_REDIRECTS):
            url = request.full_url
            last = bool(self._way_back) and url.startswith(self._way_back)
            if (last and not self._open_last) or urllib.parse.urlsplit(url).scheme not in ("http", "https"):
                return end_page(url)
            answer = self._ask(request)
            html = answer.read(2_000_000).decode("utf-8", "replace")
            self._note(f"{request.get_method()} {url} -> {answer.status}")
            if last:
                return end_page(url)
            if answer.status >= 400:
                raise FlowError(f"{answer.status} at {url}: {html[:400]}")
            if not (location := answer.headers.get("Location")):
                return read_page(url, html, answer.headers.get("Referrer-Policy", ""))
            request = urllib.request.Request(urllib.parse.urljoin(url, location))
        raise FlowError(f"more than {MAX_REDIRECTS} redirects, the last to {request.full_url}")

    def _ask(self, request: urllib.request.Request) -> Any:
        # some clients open the browser first and their listener after: a person is slow, this is not
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._opener.open(request, timeout=PAGE_SECONDS)
            except urllib.error.HTTPError as answer:
                return answer
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


# --- engine: Chromium ---

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SUBMIT_BUTTONS = "button:not([type=button]):not([type=reset]), input[type=submit]"


def find_chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else shutil.which("chromium") or shutil.which("chromium-browser")


class ChromiumBrowser:
    """A headless Chromium. It always opens the redirect URI: `open_last` has no meaning here."""

    def __init__(self, way_back: str, note: Callable[[str], None], *, open_last: bool) -> None:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the other engine needs none of it

        del open_last
        self._way_back, self._note = way_back, note
        self._arrived = self._refused = ""
        self._playwright = sync_playwright().start()
        program = find_chromium()
        self._browser = self._playwright.chromium.launch(executable_path=program, headless=True, args=CHROMIUM_ARGS)
        self._page = self._browser.new_page()
        self._page.on("response", self._on_response)
        self._page.on("console", self._on_console)

    def _on_response(self, response: Any) -> None:
        if not response.request.is_navigation_request():
            return
        self._note(f"{response.request.method} {response.url} -> {response.status}")
        location = urllib.parse.urljoin(response.url, response.headers.get("location", response.url))
        if self._way_back and location.startswith(self._way_back):
            self._arrived = location
        elif response.status >= 400:
            self._refused = f"{response.status} at {response.url}"

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self._note(f"console: {message.text}")
        if "Content Security Policy" in message.text:
            self._refused = message.text

    def open(self, url: str) -> Page:
        return self._act(lambda: self._page.goto(url, wait_until="load", timeout=PAGE_SECONDS * 1000))

    def follow(self, page: Page, link: Link) -> Page:
        del page
        return self._click(self._page.locator("a[href]").nth(link.index))

    def send(self, page: Page, form: Form, button: Button, key: str) -> Page:
        del page
        here = self._page.locator("form").nth(form.index)
        if form.passwords:
            here.locator("input[type=password]").first.fill(key)
        return self._click(here.locator(SUBMIT_BUTTONS).nth(button.index))

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def _click(self, target: Any) -> Page:
        def click() -> None:
            with self._page.expect_navigation(wait_until="load", timeout=PAGE_SECONDS * 1000):
                target.click(timeout=PAGE_SECONDS * 1000)

        return self._act(click)

    def _act(self, action: Callable[[], object]) -> Page:
        from playwright.sync_api import Error  # noqa: PLC0415

        try:
            action()
        except Error as error:  # a client's listener may close at once, and an application scheme shows no page
            if not self._arrived:
                raise FlowError(f"{self._refused or error} after {self._page.url}") from error
        if self._refused:
            raise FlowError(f"{self._refused}: {self._page.inner_text('body')[:400]}")
        if self._arrived:
            return end_page(self._arrived)
        return read_page(self._page.url, self._page.content())


ENGINES: dict[str, type[HttpBrowser | ChromiumBrowser]] = {"http": HttpBrowser, "chromium": ChromiumBrowser}
