"""Is it a person's browser?"""

import pytest

from bifrost.http.accept import prefers_html
from tests.unit._requests import request

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        CHROMIUM,
        "text/html",
        "TEXT/HTML",
        "text/html;charset=utf-8",
        "text/html, application/json",
        "application/json, text/html",
        "application/json;q=0.5, text/html;q=0.5",
        "application/json;q=0.9, text/html",
        "application/xhtml+xml",
        "text/html; q=0.1",
        "text/html;q=abc, application/xhtml+xml",
    ],
)
def test_whoever_names_html_at_least_as_warmly_as_json_is_a_browser(accept: str) -> None:
    """Contract §2: a request that prefers text/html gets a page."""
    assert prefers_html(request({"accept": accept}))


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/*",
        "application/json",
        "application/json, text/event-stream",
        "application/json, */*;q=0.5",
        "application/json, text/html;q=0.9",
        "text/html;q=0",
        "text/html;q=0.0",
        "text/html;q=-1",
        "text/html;q=x",
        "text/html;q=nan",
        "text/html;level=1;q=0.3, application/json;q=0.9",
        "text/htmlx",
        "xtext/html",
        ",,;q=1,",
    ],
)
def test_everybody_else_is_a_program(accept: str | None) -> None:
    """Contract §2; RFC 9110 §12.5.1: the weight stands behind the media type's own parameters."""
    assert not prefers_html(request({} if accept is None else {"accept": accept}))
