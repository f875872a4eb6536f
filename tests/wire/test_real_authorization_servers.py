"""Everybody's own accounts at upstreams whose authorization servers nobody here wrote, over real processes.

One is npm oidc-provider (certified) in front of an MCP server of the Python SDK, the other the SDK's own authorization
server, with habits of its own; see `tests/clients/oidc_provider.mjs` and `tests/support/sdk_guarded_upstream.py`.
"""

import os
from collections import defaultdict
from pathlib import Path

import jwt
import pytest

from tests.wire import _accounts as accounts
from tests.wire._accounts import Call, Guarded, Member
from tests.wire._bifrost import KEY, Installation

pytestmark = [pytest.mark.wire, pytest.mark.clients]

CALLS = int(os.environ.get("BIFROST_TEST_CALLS", "200"))
SECOND_KEY = "sk-bf-second-" + "0123456789abcdefghijklmnopqrstuvwxyz"
KEYS = {"ann": KEY, "bob": SECOND_KEY}


def _installation(database_url: str, directory: Path, *, workers: int = 1) -> Installation:
    keys = [{"id": f"vk-{name}", "name": name, "value": value} for name, value in KEYS.items()]
    installation = Installation(directory, database_url, {"governance": {"virtual_keys": keys}})
    installation.sections["server"] = {"workers": workers, "public_urls": [installation.origin]}
    return installation


def test_two_people_two_upstreams_four_accounts_and_every_call_with_its_owners_token(
    database_url: str, tmp_path: Path
) -> None:
    """TC-121, R65: two hundred interleaved calls, two workers; the upstreams' own logs say whose token each carried."""
    gateway = _installation(database_url, tmp_path, workers=2)
    with (
        accounts.certified("notes", tmp_path) as notes,
        accounts.static("wiki", tmp_path, gateway.origin) as wiki,
    ):
        gateway.sections["mcp"] = {"client_configs": [notes.entry, wiki.entry]}
        with gateway.running():
            tokens = {
                person: Member(gateway.origin).signed_in(
                    key, {notes.issuer: f"{person}-at-notes", wiki.issuer: f"{person}-at-wiki"}
                )
                for person, key in KEYS.items()
            }
            everybody = [(person, upstream.name) for person in KEYS for upstream in (notes, wiki)]
            planned = {f"{number}": everybody[number % len(everybody)] for number in range(CALLS)}
            said = accounts.made(
                Call(gateway.origin, tokens[person], f"{upstream}-whoami", tag)
                for tag, (person, upstream) in planned.items()
            )
        for upstream in (notes, wiki):
            mine = {tag: person for tag, (person, name) in planned.items() if name == upstream.name}
            assert {tag: said[tag] for tag in mine} == {
                tag: f"{person}-at-{upstream.name} {tag}" for tag, person in mine.items()
            }
            _each_owner_had_tokens_of_their_own(upstream, mine)
        assert {
            jwt.decode(bearer, options={"verify_signature": False})["sub"] for bearer in notes.bearers().values()
        } == {
            "ann-at-notes",
            "bob-at-notes",
        }


def _each_owner_had_tokens_of_their_own(upstream: Guarded, owners: dict[str, str]) -> None:
    seen = upstream.bearers()
    assert seen.keys() == owners.keys(), "every call arrived, and nothing else"
    used = defaultdict(set)
    for tag, bearer in seen.items():
        used[owners[tag]].add(bearer)
    ann, bob = used["ann"], used["bob"]
    assert ann
    assert bob
    assert not ann & bob
    assert not (ann | bob) & set(KEYS.values())


@pytest.mark.parametrize("par", ["on", "required"])
def test_pushed_authorization_requests_are_used_where_they_are_required(
    sqlite_url: str, tmp_path: Path, par: str
) -> None:
    """RFC 9126: a server that accepts them is asked in the plain way, one that insists gets them."""
    gateway = _installation(sqlite_url, tmp_path)
    with accounts.certified("notes", tmp_path, par=par) as notes:
        gateway.sections["mcp"] = {"client_configs": [notes.entry]}
        with gateway.running():
            token = Member(gateway.origin).signed_in(KEY, {notes.issuer: "ann"})
            assert accounts.made([Call(gateway.origin, token, "notes-whoami", "1")]) == {"1": "ann 1"}
