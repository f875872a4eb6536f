"""Nothing that opens anything is built in: two installations have nothing in common, and one without secrets is shut."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bifrost import bootstrap
from bifrost.app import build
from bifrost.governance.errors import WeakVirtualKey
from bifrost.settings import ConfigurationError, load
from tests.flows._tokens import opens
from tests.support import oauth
from tests.support.gateway import ISSUER, TestGateway, running_gateway

pytestmark = pytest.mark.anyio

SOURCE = Path(__file__).parents[2] / "src"
GUESSES = ["", "admin", "password", "bifrost", "changeme", "secret", "sk-bf-", "bfad_", "my-test-key", "0" * 43]
CREDENTIALS = re.compile(
    r"sk-bf-[A-Za-z0-9_-]{20,}|bf(?:at|rt|ac|ad|as|su)_[A-Za-z0-9_-]{20,}|BEGIN (?:RSA |EC )?PRIVATE KEY|eyJhbGciOi"
)


async def test_two_installations_that_were_given_nothing_share_nothing(tmp_path: Path) -> None:
    """TC-181: each makes a key ring of its own, so a client id of one is none at the other."""
    rings, ids = [], []
    for name in ("one", "other"):
        directory = tmp_path / name
        directory.mkdir()
        settings = load(None, {}, {"data_dir": str(directory), "storage": {"url": f"sqlite:///{directory}/bifrost.db"}})
        rings.append(bootstrap.key_ring(settings))
        gateway = build(settings)
        transport = httpx2.ASGITransport(app=gateway.app, client=("203.0.113.7", 40_000))
        async with gateway.lifespan(), httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
            client = await oauth.register(http)
            ids.append(client.client_id)
            answers = [await http.get(oauth.AUTHORIZE, params=client.request(client_id=one)) for one in ids]
            assert [answer.status_code for answer in answers] == [400] * (len(ids) - 1) + [302]
    one, other = rings
    assert one.mac("x", use="test") != other.mac("x", use="test")
    assert ids[0] != ids[1]


@pytest.mark.parametrize("guess", GUESSES)
async def test_no_credential_is_there_that_nobody_gave(sqlite_url: str, tmp_path: Path, guess: str) -> None:
    """TC-181, CVE-2026-78573: no administrator and no key until somebody makes one."""
    nobody: dict[str, list[object]] = {"virtual_keys": []}
    async with running_gateway(sqlite_url, tmp_path, admin_token="", governance=nobody) as running:
        assert await running.rows("virtual_keys") == []
        assert await running.rows("admin_tokens") == []
        assert (await _managed(running, guess)).status_code == 401
        assert (await running.http.post("/api/session/login", json={"token": guess})).status_code in (400, 401)
        assert await opens(running, guess or "x") == 401


async def _managed(running: TestGateway, guess: str) -> httpx2.Response:
    return await running.http.get("/api/governance/virtual-keys", headers={"Authorization": f"Bearer {guess}"})


def test_no_secret_stands_in_the_product() -> None:
    """TC-181, CVE-2026-53709: nor a key to sign or seal with."""
    found = [
        f"{path.relative_to(SOURCE)}: {match[0][:12]}"
        for path in SOURCE.rglob("*")
        if path.suffix in (".py", ".html", ".sql", ".json", ".toml")
        for match in CREDENTIALS.finditer(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "sections",
    [
        {"admin_token": "short"},
        {"admin_token": "a" * 23},
        {"governance": {"virtual_keys": [{"name": "x", "value": "sk-bf-short"}]}},
        {"governance": {"virtual_keys": [{"name": "x", "value": "password"}]}},
        {"encryption_keys": ["c2hvcnQ"]},
    ],
    ids=["token", "token of 23", "key", "word", "sealing key"],
)
async def test_what_somebody_chose_must_be_long_enough_to_be_kept_as_a_plain_hash(
    sqlite_url: str, tmp_path: Path, sections: dict[str, Any]
) -> None:
    """TC-186: SHA-256 is enough for what cannot be tried through; whatever is shorter is refused at the start."""
    with pytest.raises((ConfigurationError, WeakVirtualKey)):
        async with running_gateway(sqlite_url, tmp_path, **sections):
            raise AssertionError("it started")
