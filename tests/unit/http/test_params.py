"""Parameters of queries and forms."""

import tracemalloc
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.base.errors import Invalid, TooLarge, Unsupported
from bifrost.http import params
from bifrost.http.params import MAX_FORM_BYTES, MAX_PARAMETERS, Parameters
from tests.unit._requests import request

FORM = {"content-type": "application/x-www-form-urlencoded"}
VISIBLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"a=x", "x"),
        (b"a=x+y%20z", "x y z"),
        (b"a=%2B", "+"),
        (b"a=x=y==", "x=y=="),
        (b"a=%C3%BC", "ü"),
        (b"a=%c3%bc", "ü"),
        (b"%61=x", "x"),
        (b"b=1&a=x&c=2", "x"),
        (b"&&a=x&", "x"),
        (b"a=x;b=y", "x;b=y"),
        (b"a=", None),
        (b"a", None),
        (b"", None),
        (b"b=x", None),
        (b"A=x", None),
        (b"a%20=x", None),
        (b"a=&a=x", "x"),
        (b"a=&a=", None),
    ],
)
def test_a_value_is_decoded_once_and_an_empty_one_counts_as_absent(raw: bytes, value: str | None) -> None:
    """Contract §4; OAuth 2.1 §3.1; URL standard, urlencoded parsing."""
    assert Parameters(raw).get("a") == value


@given(VISIBLE, VISIBLE)
def test_what_a_client_encodes_arrives_as_it_was(name: str, value: str) -> None:
    """Contract §4: state is returned byte for byte."""
    assert Parameters(urlencode({name: value}).encode()).get(name) == value


@pytest.mark.parametrize("raw", [b"a=1&a=2", b"a=1&a=1", b"a=1&%61=2", b"a=&a=", b"a&a", b"a=1&b=2&a="])
def test_a_repeated_parameter_is_an_error_that_names_it(raw: bytes) -> None:
    """Contract §4; OAuth 2.1 §3.1: also when a value is empty or the name is written differently."""
    with pytest.raises(Invalid) as caught:
        Parameters(raw).refuse_repeated()
    assert (caught.value.code, caught.value.param) == ("invalid_request", "a")


def test_resource_may_be_repeated() -> None:
    """RFC 8707 §2."""
    parameters = Parameters(b"resource=a&x=1&resource=b")
    parameters.refuse_repeated(but=("resource",))
    assert parameters.all("resource") == ["a", "b"]
    with pytest.raises(Invalid):
        parameters.refuse_repeated()


def test_asking_for_one_value_of_two_is_an_error() -> None:
    """Contract §4: no framework's choice between them."""
    with pytest.raises(Invalid):
        Parameters(b"a=1&a=2").get("a")


def test_a_repeated_name_that_cannot_be_shown_is_not_shown() -> None:
    """Contract §2: nothing foreign paints over an answer."""
    with pytest.raises(Invalid) as caught:
        Parameters(b"%1b%5b2J=1&%1b%5b2J=2").refuse_repeated()
    assert caught.value.param == ""


@pytest.mark.parametrize(
    "value",
    [
        b"%",
        b"%4",
        b"%zz",
        b"x%",
        b"%ff",
        b"%C3",
        b"%ED%A0%80",
        b"%00",
        b"%0A",
        b"%0d%0a",
        b"%7f",
        b"\x01",
        b"%1f",
        b"\xff",
    ],
)
def test_a_malformed_value_is_an_error_that_names_its_parameter(value: bytes) -> None:
    """Contract §2: `error.param`; no control characters, nothing but UTF-8."""
    parameters = Parameters(b"b=fine&a=" + value)
    assert parameters.get("b") == "fine"
    with pytest.raises(Invalid) as caught:
        parameters.get("a")
    assert caught.value.param == "a"


def test_a_malformed_value_that_nobody_asks_for_does_no_harm() -> None:
    """Contract §4: unknown parameters are ignored."""
    parameters = Parameters(b"x=%ff&a=1")
    parameters.refuse_repeated()
    assert parameters.get("a") == "1"


def test_a_value_has_a_largest_size() -> None:
    """What a flow row may hold."""
    assert Parameters(b"a=" + b"x" * 4_096).get("a") == "x" * 4_096
    with pytest.raises(Invalid):
        Parameters(b"a=" + b"x" * 4_097).get("a")


def test_parameters_have_64_kib_in_all() -> None:
    """Contract §3, as of any body."""
    assert Parameters(b"a=x&b=".ljust(64 * 1024, b"x")).get("a") == "x"
    with pytest.raises(Invalid):
        Parameters(b"a=x&b=".ljust(64 * 1024 + 1, b"x"))


def test_the_names_are_told_decoded_and_each_once() -> None:
    """Contract §4: unknown parameters are ignored, so whoever wants to ignore none has to know them."""
    assert Parameters(b"b=1&%61=2&b=3&c").names() == ["b", "a", "c"]


def test_of_a_long_name_that_is_repeated_only_its_beginning_is_shown() -> None:
    """Contract §2: an answer is not as long as whoever asks wants it."""
    with pytest.raises(Invalid) as caught:
        Parameters(b"%s=1&%s=2" % (b"n" * 1_000, b"n" * 1_000)).refuse_repeated()
    assert caught.value.param == "n" * 40


def test_there_is_a_largest_number_of_parameters() -> None:
    """Contract §2."""
    Parameters(b"&".join(b"p%d=1" % number for number in range(MAX_PARAMETERS)))
    with pytest.raises(Invalid):
        Parameters(b"&".join(b"p%d=1" % number for number in range(MAX_PARAMETERS + 1)))


@pytest.mark.parametrize("raw", [b"&" * 20_000_000, b"a=1&" * 5_000_000, b"a=" + b"x" * 20_000_000, b"&" * 65])
def test_parameters_without_end_are_refused_before_they_are_taken_apart(raw: bytes) -> None:
    """Contract §2: the refusal costs less than the request."""
    tracemalloc.start()
    try:
        with pytest.raises(Invalid):
            Parameters(raw)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_empty_pieces_between_parameters_are_passed_over() -> None:
    """URL standard, urlencoded parsing."""
    assert Parameters(b"&" * 63 + b"a=1&").get("a") == "1"


@given(st.binary(max_size=80))
def test_no_query_fails_in_another_way(raw: bytes) -> None:
    """The surface handles domain errors and nothing else."""
    try:
        parameters = Parameters(raw)
        parameters.refuse_repeated()
        parameters.get("a")
    except Invalid:
        pass


@pytest.mark.anyio
async def test_a_form_is_read_from_the_body_and_never_from_the_query() -> None:
    """Contract §6: secrets in the query are refused, so they must not be mistaken for the form's."""
    sent = request(FORM, method="POST", query=b"a=query&b=query", body=b"a=body")
    form = await params.form(sent)
    assert (form.get("a"), form.get("b")) == ("body", None)
    assert params.query(sent).get("a") == "query"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "multipart/form-data; boundary=x", "text/plain", "x-www-form-urlencoded"],
)
async def test_a_form_of_another_kind_is_not_read(content_type: str | None) -> None:
    """Contract §6: form only."""
    headers = {} if content_type is None else {"content-type": content_type}
    with pytest.raises(Unsupported):
        await params.form(request(headers, method="POST", body=b"a=1"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded"]
)
async def test_the_kind_of_a_form_may_carry_parameters_and_any_case(content_type: str) -> None:
    """RFC 9110 §8.3.1."""
    form = await params.form(request({"content-type": content_type}, method="POST", body=b"a=1"))
    assert form.get("a") == "1"


@pytest.mark.anyio
async def test_a_form_has_a_largest_size() -> None:
    """Contract §3's 64 KiB hold for forms as well."""
    with pytest.raises(TooLarge):
        await params.form(request(FORM, method="POST", body=b"a=" + quote_plus("x" * MAX_FORM_BYTES).encode()))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "name"), [(b"code=s3cret", "code"), (b"x=1&token=s3cret", "token"), (b"token=1&code=2", "code")]
)
async def test_a_secret_in_the_url_is_refused_whatever_the_body_says(query: bytes, name: str) -> None:
    """Contract §6, OAuth 2.1 §2.4.1: the answer names the parameter and never its value."""
    with pytest.raises(Invalid, match="never in the URL") as caught:
        await params.secret_form(request(FORM, method="POST", query=query, body=b"code=body"), ("code", "token"))
    assert caught.value.param == name
    assert "s3cret" not in caught.value.message


@pytest.mark.anyio
@pytest.mark.parametrize("query", [b"", b"token=", b"client_id=x", b"Token=x"])
async def test_without_a_secret_in_the_url_the_form_of_the_body_is_what_counts(query: bytes) -> None:
    """RFC 6749 §3.2: unknown parameters are ignored; an empty value is none."""
    sent = request(FORM, method="POST", query=query, body=b"token=body")
    assert (await params.secret_form(sent, ("code", "token"))).get("token") == "body"
