"""What things are called on /mcp, and how a name finds its upstream again."""

from dataclasses import replace

import pytest

from bifrost.gateway import naming
from tests.unit.upstreams.links._peer import UPSTREAM


@pytest.mark.parametrize("name", ["add", "add-more", "-", "größe", "notes-add"])
def test_a_name_finds_its_way_back(name: str) -> None:
    """Contract §7: the first hyphen separates."""
    assert naming.split(f"{naming.prefix(UPSTREAM)}{name}") == (UPSTREAM.name, name)


@pytest.mark.parametrize("name", ["", "notes", "add", "note-add", "notesadd", "Notes-add"])
def test_a_name_of_somebody_else_is_not_ours(name: str) -> None:
    """Contract §7."""
    assert naming.split(name)[0] != UPSTREAM.name


@pytest.mark.parametrize("uri", ["file:///a b", "x:y/z?q=1#f", "größe:/%2F", ""])
def test_a_uri_that_two_list_can_say_which_is_meant(uri: str) -> None:
    """gateway/README.md."""
    other = replace(UPSTREAM, name="other")
    assert naming.explicit(naming.explicit_uri(other, uri)) == ("other", uri)


@pytest.mark.parametrize("uri", ["file:///a", "bifrost:x", "bifrost://", "bifrost://notes", "BIFROST://notes/x"])
def test_any_other_uri_does_not(uri: str) -> None:
    """gateway/README.md."""
    assert naming.explicit(uri) is None


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("notes:///{id}", "notes:///5", True),
        ("notes:///{id}", "notes:///", True),
        ("notes:///{id}", "other:///5", False),
        ("a/{x}/b/{y}/c", "a/1/b/2/c", True),
        ("a/{x}/b/{y}/c", "a/1/c", False),
        ("a/{x}/b", "a/b", False),
        ("a{?q,r}", "a?q=1", True),
        ("fixed", "fixed", True),
        ("fixed", "fixed2", False),
        ("{+path}", "anything", True),
        ("aba{x}aba", "aba", False),
        ("{" * 1_000, "{" * 1_000, True),
        ("{a}" * 5_000 + "x", "y" * 5_000, False),
    ],
)
def test_a_template_claims_what_may_have_been_made_from_it(template: str, uri: str, *, fits: bool) -> None:
    """RFC 6570, judged generously and in linear time: the template is an upstream's."""
    assert naming.fits(template, uri) is fits
