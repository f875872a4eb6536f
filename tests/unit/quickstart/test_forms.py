"""Reading forms as a browser without scripts would."""

from bifrost.quickstart.forms import read_forms

PAGE = """
<!doctype html><title> Sign
 in </title>
<input name="outside" value="1">
<form method="POST" action="/go?flow_id=a&amp;b=1">
  <input type="hidden" name="csrf" value="&quot;t&quot;"><input name="key" type="password">
  <input type="checkbox" name="c" checked><input type="checkbox" name="d"><input type="radio" name="r" value="2" checked>
  <textarea name="t"></textarea><button>Go on</button><button type="button" name="x">no</button>
</form>
<form><button name="decision" value="deny" formaction="/deny">Deny</button><input type="submit" name="yes" value="y"></form>
"""


def test_a_form_sends_its_hidden_fields_what_was_typed_and_the_pressed_button() -> None:
    """HTML, form submission."""
    title, forms = read_forms("http://localhost:8080/oauth/consent?flow_id=a", PAGE)
    assert title == "Sign in"
    first, second = forms
    target = "http://localhost:8080/go?flow_id=a&b=1"
    assert (first.method, first.targets()) == ("post", [target])
    assert first.fields(target, "sk") == {"csrf": '"t"', "c": "on", "r": "2", "key": "sk"}
    here = "http://localhost:8080/oauth/consent?flow_id=a"
    assert (second.method, second.targets()) == ("get", ["http://localhost:8080/deny", here])
    assert second.fields("http://localhost:8080/deny") == {"decision": "deny"}
    assert second.fields(here) == {"yes": "y"}


def test_a_form_without_a_button_is_sent_to_its_action() -> None:
    """HTML, implicit submission."""
    _, forms = read_forms("https://a.example/p", '<form action="q"><input name="x"></form>')
    assert forms[0].targets() == ["https://a.example/q"]
