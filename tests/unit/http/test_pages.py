"""Pages, and the page that an error becomes."""

import base64
import hashlib
import json
import re

import pytest
from starlette.responses import Response

from bifrost.authserver.errors import AuthorizationRefused
from bifrost.base import errors
from bifrost.base.errors import DomainError
from bifrost.http import pages as module
from bifrost.http.pages import Pages, way_back
from tests.unit._errors import every_error
from tests.unit._requests import request

PAGES = Pages()
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ERRORS = every_error()


def page_of(error: DomainError) -> Response:
    return PAGES.error(request(BROWSER), error, "oauth_consent")


def text_of(response: Response) -> str:
    return bytes(response.body).decode()


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_every_error_becomes_a_page_with_its_facts(error: DomainError) -> None:
    """Contract §2: a browser gets the same facts as a page."""
    response = page_of(error)
    text = text_of(response)
    facts = json.loads(bytes(PAGES.error(request(), error, "oauth_consent").body))
    assert response.status_code == facts["status_code"]
    assert "evt_test" in text
    assert error.message.replace("'", "&#39;") in text
    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("code", sorted(module._ERRORS))
def test_every_code_with_words_of_its_own_shows_them(code: str) -> None:
    """Contract §4: a page in plain words."""
    heading, advice = module._ERRORS[code]
    text = text_of(page_of(errors.Invalid("Something.", code=code)))
    assert heading in text
    assert advice in text


def test_no_words_are_kept_for_a_code_that_nobody_raises() -> None:
    """Words for nothing would be read as a promise."""
    oauth_codes = {"invalid_client", "invalid_redirect_uri"}
    assert set(module._ERRORS) <= {error.code for error in ERRORS} | oauth_codes


def test_a_code_without_words_of_its_own_still_has_a_page() -> None:
    """Contract §2."""
    assert module._OTHER[0] in text_of(page_of(errors.Invalid("Something.", code="never_seen_before")))


def test_a_program_gets_json_with_the_request_type() -> None:
    """Contract §2."""
    body = json.loads(bytes(PAGES.error(request(), errors.NotFound("No."), "oauth_consent").body))
    assert body["extra_fields"]["request_type"] == "oauth_consent"
    assert body["event_id"] == "evt_test"


def test_a_page_has_every_header_that_keeps_it_to_itself() -> None:
    """Contract §5."""
    headers = page_of(errors.NotFound("No.")).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "script-src" not in policy
    assert "unsafe" not in headers["content-security-policy"]


def test_the_policy_does_not_stop_the_way_back_to_the_client() -> None:
    """docs/decisions/0002: Chromium applies form-action to the redirect after a form."""
    assert "form-action" not in page_of(errors.NotFound("No.")).headers["content-security-policy"]


def test_the_style_of_the_page_is_the_one_that_the_policy_allows() -> None:
    """Contract §5: strict CSP."""
    response = page_of(errors.NotFound("No."))
    style = re.search(r"<style>(.*?)</style>", text_of(response), re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]


def test_a_page_runs_no_script_and_loads_nothing() -> None:
    """Contract §5: pages that work without JavaScript, no inline script."""
    text = text_of(page_of(errors.NotFound("No.")))
    assert "<script" not in text
    assert "style=" not in text
    assert not re.search(r"\bon[a-z]+=", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


@pytest.mark.parametrize(
    "foreign", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "{{ 7*7 }}", "</style><b>"]
)
def test_nothing_foreign_is_ever_markup(foreign: str) -> None:
    """Contract §5."""
    refused = AuthorizationRefused("invalid_request", foreign, param="state", way_back=f"cursor://x/?{foreign}")
    text = text_of(page_of(refused))
    assert foreign not in text or foreign == "{{ 7*7 }}"
    assert "49" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:3000/cb?error=x", "http://localhost/cb?error=x", "cursor://x/cb?error=x"]
)
def test_a_page_goes_back_by_itself_only_to_this_computer_or_an_application(uri: str) -> None:
    """Contract §4."""
    text = text_of(page_of(AuthorizationRefused("invalid_scope", "No.", param="scope", way_back=uri)))
    assert f'content="{module.AUTOMATIC_RETURN_SECONDS};url={uri}"' in text
    assert f'href="{uri}"' in text


def test_to_any_other_host_a_person_has_to_click_a_link_that_names_it() -> None:
    """Contract §4: no automatic redirect, so no open redirector (RFC 9700 §4.11.2)."""
    uri = "https://app.example.com/cb?error=invalid_scope"
    text = text_of(page_of(AuthorizationRefused("invalid_scope", "No.", param="scope", way_back=uri)))
    assert "http-equiv" not in text
    assert f'href="{uri}"' in text
    assert "app.example.com</bdo>" in text


@pytest.mark.parametrize("code", ["invalid_client", "invalid_redirect_uri"])
def test_without_a_way_back_the_page_links_nowhere(code: str) -> None:
    """Contract §4: unknown client or unregistered redirect URI: the page never links to that URI."""
    text = text_of(page_of(AuthorizationRefused(code, "No.", param="client_id")))
    assert "href=" not in text
    assert "http-equiv" not in text
    assert way_back(None) is None


def test_a_finished_sign_in_is_no_alarm() -> None:
    """Contract §5: 409, said calmly."""
    text = text_of(page_of(errors.Conflict("The answer was given already.", code="flow_finished")))
    assert 'role="status"' in text
    assert "<title>Error" not in text


def test_an_answer_says_when_to_come_back() -> None:
    """Contract §2: also on a page."""
    assert page_of(errors.Unavailable("Later.", retry_after=5)).headers["retry-after"] == "5"


def _asked(name: str, flow_id: str) -> str:
    facts = {"scopes": ["Read"], "lifetime": "1 day", "identity": {"kind": "vk", "label": ""}, "services": []}
    client = {"name": name, "verified_host": None, "preregistered": False, "redirect_host": "h", "redirect_kind": "app"}
    return text_of(
        PAGES.form("services.html", fresh={"flow_id": flow_id, "csrf": "0a"}, client=client, notice=None, **facts)
    )


def test_a_form_that_was_shown_before_has_the_values_of_now() -> None:
    """Contract §5: everybody's flow and CSRF token are their own, whoever was shown the same facts before."""
    first, second = _asked("Editor", "flow_1-a"), _asked("Editor", "flow_2_b")
    assert first.count('name="flow_id" value="flow_1-a"') == first.count('name="csrf" value="0a"') == 2
    assert "/oauth/consent?flow_id=flow_1-a" in first
    assert second == first.replace("flow_1-a", "flow_2_b")


def test_a_form_for_other_facts_is_another() -> None:
    """Contract §5: nobody is shown what another client calls itself."""
    assert "Editor" in _asked("Editor", "flow_1")
    assert "Editor" not in _asked("Viewer", "flow_1")


def test_a_client_cannot_write_what_stands_for_a_fresh_value() -> None:
    """Attacks: what is put in later is known to this process only, so a name is never taken for it."""
    assert Pages().blank("csrf") != PAGES.blank("csrf")
    assert "blank-" not in _asked("flow_id csrf", "flow_1").replace("flow_1", "")


@pytest.mark.parametrize("value", ['"', "<", "&", "a b", "ä", "a\n"])
def test_a_fresh_value_that_would_have_to_be_escaped_is_a_fault_of_ours(value: str) -> None:
    """Contract §5: nothing from outside is put in unescaped."""
    with pytest.raises(ValueError, match="escaped"):
        _asked("Editor", value)


def test_only_so_many_forms_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that calls itself otherwise each time costs time, and no memory."""
    monkeypatch.setattr(module, "MAX_FORMS", 3)
    pages = Pages()
    for number in range(10):
        pages.form(
            "message.html",
            fresh={},
            heading=str(number),
            tone="done",
            message="",
            advice=[],
            event_id="",
            way_back=None,
        )
    assert len(pages._forms) == 3
