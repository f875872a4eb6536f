"""`bifrost admin`: tokens are shown once, listed by name, and end at once; a link is the way back."""

import re
import sqlite3
from contextlib import closing

import pytest

from tests.unit.cli._commands import Commands

TOKEN = re.compile(r"bfad_[A-Za-z0-9_-]{43}")


def test_a_token_is_shown_once(bifrost: Commands) -> None:
    """Contract §9: shown once, listed without its value."""
    made = bifrost.run("admin", "create-token", "operations")
    assert (made.code, made.err) == (0, "")
    (value,) = TOKEN.findall(made.out)
    listed = bifrost.run("admin", "list")
    assert listed.code == 0
    assert "operations" in listed.out
    assert value not in listed.out
    assert (bifrost.directory / "data" / "bifrost.db").read_bytes().find(value.encode()) == -1


def test_a_name_is_used_once(bifrost: Commands) -> None:
    """Ours: names tell tokens apart."""
    assert bifrost.run("admin", "create-token", "ann").code == 0
    assert "ann" in bifrost.run("admin", "create-token", "ann").sentence


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "\u202e"])
def test_a_name_is_for_people(bifrost: Commands, name: str) -> None:
    """Contract §11: wrong usage is 2."""
    assert bifrost.run("admin", "create-token", name).code == 2


def test_a_token_is_revoked_by_name_or_id(bifrost: Commands) -> None:
    """Ours: whoever lost a token knows its name."""
    made = bifrost.run("admin", "create-token", "lost")
    (token_id,) = re.findall(r"adm_[A-Za-z0-9_-]+", made.out)
    assert token_id in bifrost.run("admin", "revoke", "lost").out
    assert "lost" in bifrost.run("admin", "revoke", "lost").sentence
    assert "There are no administrators' tokens" in bifrost.run("admin", "list").out


def test_a_configured_token_is_mentioned_and_never_shown(bifrost: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract §11: BIFROST_ADMIN_TOKEN."""
    monkeypatch.setenv("BIFROST_ADMIN_TOKEN", "an-administrators-token-0123456789")
    out = bifrost.run("admin", "list").out
    assert "BIFROST_ADMIN_TOKEN is set" in out
    assert "0123456789" not in out


def test_the_way_back_is_a_link_of_the_first_public_url(bifrost: Commands) -> None:
    """Contract §9: one-time, on the issuer's origin."""
    config = bifrost.config(server={"public_urls": ["https://mcp.example.com"]})
    first, second = (bifrost.run("admin", "setup-link", "--config", config).out for _ in range(2))
    assert re.search(r"^    https://mcp\.example\.com/setup\?link=bfsu_[A-Za-z0-9_-]{43}$", first, re.MULTILINE)
    assert first != second


@pytest.mark.parametrize("token", ["short", "x" * 23, "with a space in the middle of it", "ümlaut-" * 5, "x" * 513])
def test_a_weak_configured_token_is_refused_in_one_sentence(
    bifrost: Commands, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Contract §11: exit 1 with one sentence, which does not repeat it."""
    monkeypatch.setenv("BIFROST_ADMIN_TOKEN", token)
    sentence = bifrost.run("check-config").sentence
    assert "openssl rand -hex 32" in sentence
    assert token not in sentence


def test_what_is_done_on_the_command_line_is_in_the_audit_trail(bifrost: Commands) -> None:
    """TC-178: by whom is known as far as that it was somebody with the machine."""
    bifrost.run("admin", "create-token", "ann")
    bifrost.run("keys", "create", "key")
    bifrost.run("keys", "revoke", "key")
    bifrost.run("admin", "setup-link")
    bifrost.run("admin", "revoke", "ann")
    with closing(sqlite3.connect(bifrost.directory / "data" / "bifrost.db")) as database:
        rows = database.execute("SELECT event, actor FROM audit_events ORDER BY number").fetchall()
    assert rows == [
        ("administrator_token_create", "command_line"),
        ("virtual_key_create", "command_line"),
        ("virtual_key_revoke", "command_line"),
        ("administrator_setup_link", "command_line"),
        ("administrator_token_revoke", "command_line"),
    ]
