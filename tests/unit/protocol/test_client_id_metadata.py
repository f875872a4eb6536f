"""Client id metadata documents: their addresses, and what is read of them."""

from typing import Any

import pytest

from bifrost.protocol import client_id_metadata as documents
from bifrost.protocol.client_id_metadata import DocumentError
from bifrost.protocol.redirect_uri import APP_SCHEMES

URL = "https://app.example.com/client.json"
DOCUMENT = {"client_id": URL, "client_name": "App", "redirect_uris": ["http://127.0.0.1/cb", "app://x"]}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (URL, "app.example.com"),
        ("https://APP.example.com/", "app.example.com"),
        ("https://app.example.com:8443/c?x=1", "app.example.com:8443"),
        ("https://xn--pple-43d.com/.well-known/client", "xn--pple-43d.com"),
        ("https://app.example.com/a..b/...", "app.example.com"),
        ("https://app.example.com", None),
        ("https://app/client.json", None),
        ("https://app.example.com/a/..", None),
        ("https://app.example.com/%2E/c", None),
        ("https://a@app.example.com/c", None),
        ("https://app.example.com/c#", None),
        ("https://1.2.3.4/c", None),
        ("http://127.0.0.1:8080/c", None),
        ("http://localhost/c", None),
        ("HTTPS://app.example.com/c", None),
        ("https://app.example.com/c\n", None),
    ],
)
def test_which_addresses_may_be_client_ids(url: str, host: str | None) -> None:
    """A70, draft §3."""
    assert documents.host_of(url, loopback=False) == host


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/c", "http://localhost/c", "https://[::1]:1/c"])
def test_a_server_on_loopback_also_takes_its_own_machine(url: str) -> None:
    """A75."""
    assert documents.host_of(url, loopback=True) is not None
    assert documents.host_of("http://app.example.com/c", loopback=True) is None


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=utf-8", True),
        ("application/client+json", True),
        ("text/json", False),
        ("application/jsonp", False),
        ("application/+json", False),
        ("", False),
    ],
)
def test_which_content_types_are_json(content_type: str, *, json: bool) -> None:
    """A72."""
    assert documents.is_json(content_type) is json


def test_a_document_is_read_by_the_rules_of_registration() -> None:
    """Contract §3: what is not acceptable is left out, what is kept is kept as it is."""
    read = documents.read(DOCUMENT, URL, APP_SCHEMES)
    assert read.metadata.redirect_uris == ("http://127.0.0.1/cb",)
    assert read.metadata.token_endpoint_auth_method == "none"
    assert (read.jwks, read.jwks_uri) == ((), "")


def test_a_document_may_name_where_its_keys_are() -> None:
    """RFC 7591 §2, as a well-known assistant's document does."""
    keys = {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example.com/jwks.json"}
    read = documents.read({**DOCUMENT, **keys}, URL, APP_SCHEMES)
    assert read.metadata.token_endpoint_auth_method == "private_key_jwt"
    assert read.jwks_uri == "https://app.example.com/jwks.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"jwks_uri": "ftp://x"},
        {"jwks_uri": 7},
        {"jwks_uri": "https://app.example.com/k", "jwks": {"keys": []}},
        {"token_endpoint_auth_method": ["none"]},
        {"client_secret": ""},
        {"client_id": URL + "/"},
        {"client_name": ""},
    ],
)
def test_a_document_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    """A72, A73."""
    with pytest.raises(DocumentError):
        documents.read({**DOCUMENT, **changes}, URL, APP_SCHEMES)
