#!/usr/bin/env python3
"""The person at the browser: opens an authorization URL, pastes a virtual key, agrees, and is sent back to the client.

As a program it takes the place of the browser, so that a client which opens one needs no change:

    BROWSER=/path/to/autobrowser.py some-client ...

Environment:
    AUTOBROWSER_KEY         the virtual key to paste; without one the person continues without a key
    AUTOBROWSER_DECISION    approve (default) or deny
    AUTOBROWSER_LINKS       a pattern: links with such a label are followed once each before anything is agreed to,
                            for the services a page offers to connect
    AUTOBROWSER_ENGINE      http (default; the standard library) or chromium (playwright, and CHROMIUM or Debian's)
    AUTOBROWSER_LOG         a trace of the pages passed is appended to this file
    AUTOBROWSER_FOREGROUND  1: stay in the foreground; the default detaches, as a browser launcher does

As a module: `approve(url)` returns the last URL reached. Both engines read pages and decide alike (`next_step`); they
differ in who sends the requests.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines import ENGINES, Browser
from pages import FlowError, Link

if TYPE_CHECKING:
    from pages import Button, Form, Page

APPROVE = re.compile(r"(allow|approve|authori[sz]e|accept|confirm|continue|finish|yes)\b", re.IGNORECASE)
DENY = re.compile(r"(deny|cancel|decline|refuse|reject|no)\b", re.IGNORECASE)
MAX_PAGES = 25
WHOLE_SECONDS = 90


@dataclass(frozen=True, kw_only=True)
class Person:
    key: str
    decision: str
    links: str

    @classmethod
    def from_environment(cls) -> Person:
        read = os.environ.get
        decision = read("AUTOBROWSER_DECISION", "approve")
        return cls(key=read("AUTOBROWSER_KEY", ""), decision=decision, links=read("AUTOBROWSER_LINKS", ""))


def _offer(page: Page, person: Person) -> tuple[Form, Button] | None:
    wanted = DENY if person.decision == "deny" else APPROVE
    offers = [(form, button) for form in page.forms for button in form.buttons if wanted.match(button.label)]
    with_key = [offer for offer in offers if offer[0].passwords]
    without = [offer for offer in offers if not offer[0].passwords]
    if with_key and not without and not person.key:
        raise FlowError(f"{page.url} asks for a virtual key and AUTOBROWSER_KEY is not set")
    offers = with_key if with_key and person.key else without
    return offers[0] if offers else None


def next_step(page: Page, person: Person, done: set[str]) -> Link | tuple[Form, Button] | None:
    """The link to follow or the form to send; `done` keeps what was done, for nothing should be asked twice."""
    for link in page.links if person.links else []:
        if re.search(person.links, link.label, re.IGNORECASE) and link.href not in done:
            done.add(link.href)
            return link
    offer = _offer(page, person)
    if offer is None:
        return None
    sending = f"{offer[0].action} {offer[1].label}"
    if sending in done:
        raise FlowError(f"{page.url} asks again: {page.text[:400]}")
    done.add(sending)
    return offer


def _note(line: str) -> None:
    if path := os.environ.get("AUTOBROWSER_LOG"):
        with Path(path).open("a") as log:
            log.write(line + "\n")


def redirect_uri(url: str) -> str:
    """Where an authorization URL says the answer goes; empty for any other link."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("redirect_uri", [""])[0]


def _walk(browser: Browser, url: str, way_back: str) -> str:
    person = Person.from_environment()
    done: set[str] = set()
    page = browser.open(url)
    for _ in range(MAX_PAGES):
        if way_back and page.url.startswith(way_back):
            return page.url
        step = next_step(page, person, done)
        if step is None:
            break
        page = browser.follow(page, step) if isinstance(step, Link) else browser.send(page, *step, person.key)
    if way_back:
        raise FlowError(f"no way on from {page.url}: {page.text[:400]}")
    return page.url


def approve(url: str, *, open_last: bool = True) -> str:
    """Walk from `url` to the client's redirect URI and return the last URL reached.

    `open_last=False` stops before the redirect URI is opened, for clients that want it pasted.
    """
    _note(f"-- {url}")
    way_back = redirect_uri(url)
    browser = ENGINES[os.environ.get("AUTOBROWSER_ENGINE", "http")](way_back, _note, open_last=open_last)
    try:
        return _walk(browser, url, way_back)
    except Exception as error:
        _note(f"{type(error).__name__}: {error}")
        raise
    finally:
        browser.close()


def main() -> int:
    urls = [word for word in sys.argv[1:] if "://" in word]
    if not urls:
        print(__doc__, file=sys.stderr)
        return 2
    if os.environ.get("AUTOBROWSER_FOREGROUND") != "1":
        if os.fork():
            return 0
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
    signal.alarm(WHOLE_SECONDS)  # its default action ends the process
    print(approve(urls[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
