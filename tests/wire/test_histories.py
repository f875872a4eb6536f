"""What many do at once with things that are used once, recorded and compared with what one after the other would give.

`HISTORY_ROUNDS=500` looks for longer, `HISTORY_SEED=1000` elsewhere.
"""

import os
from pathlib import Path

import pytest

from tests.support.headers_upstream import HeadersUpstream
from tests.support.linearizability import judge
from tests.support.servers import serving
from tests.wire._bifrost import Installation
from tests.wire._histories import ADMIN_TOKEN, LATE_NANOSECONDS, Round, management, told
from tests.wire._one_after_the_other import World, steps

pytestmark = pytest.mark.wire

ROUNDS = int(os.environ.get("HISTORY_ROUNDS", "30"))
SEED = int(os.environ.get("HISTORY_SEED", "1"))
ACCOUNTS: dict[tuple[str, ...], str] = {("key-of-alice", "north"): "alice"}


def _installation(directory: Path, database_url: str, upstream: HeadersUpstream) -> Installation:
    entry = {
        "name": "guarded",
        "connection_string": upstream.url,
        "tools_to_execute": ["*"],
        "allow_on_all_virtual_keys": True,
        "auth_type": "per_user_headers",
        "per_user_header_keys": list(upstream.names),
    }
    sections = {
        "server": {"workers": 2, "log_level": "error"},
        "client": {"registrations_per_minute": 0, "authorizations_per_minute": 0},
        "mcp": {"client_configs": [entry]},
        "admin_token": ADMIN_TOKEN,
    }
    return Installation(directory, database_url, sections)


@pytest.mark.timeout(60 + ROUNDS * 20)
def test_what_happens_at_once_could_have_happened_one_after_the_other(database_url: str, tmp_path: Path) -> None:
    """TC-220, contract §§5, 6: consents finished and denied, accounts connected and disconnected, codes redeemed, tokens
    refreshed, stolen and given back, grants ended and keys deleted, in any order, over two worker processes.
    """
    upstream = HeadersUpstream(accounts=ACCOUNTS)
    with serving(upstream.app()) as origin:
        upstream.origin = origin
        installation = _installation(tmp_path, database_url, upstream)
        with installation.running():
            upstream_id = management(installation, "GET", "/api/mcp/clients")["clients"][0]["config"]["client_id"]
            for number in range(SEED, SEED + ROUNDS):
                history = Round(installation, number, upstream_id).run()
                took = max(call.returned for call in history) - min(call.invoked for call in history)
                verdict = judge(history, World(late=took > LATE_NANOSECONDS), steps)
                lines = "\n".join(told(history, verdict.order))
                assert verdict.explained, f"round {number} could not have happened one after the other:\n{lines}"
