"""`bifrost check-config`: says what a configuration means, and starts nothing."""

import pytest

from tests.unit.cli._commands import KEY, Commands

UPSTREAM = {"name": "docs", "connection_string": "https://docs.example/mcp?api_key=canary"}


def test_a_good_configuration_is_told_in_words_without_secrets(
    bifrost: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §10: validates without starting; nothing is made, nobody is connected to."""
    monkeypatch.setenv("ANNS_KEY", KEY)
    path = bifrost.config(
        server={"port": 9_090, "host": "0.0.0.0", "public_urls": ["https://mcp.example.com"], "workers": 2},  # noqa: S104
        storage={"url": "postgresql://user:canary@127.0.0.1:1/nothing"},
        governance={"virtual_keys": [{"name": "ann", "value": "env.ANNS_KEY"}]},
        mcp={"client_configs": [{**UPSTREAM, "auth_type": "headers", "headers": {"X-Key": "canary"}}]},
        encryption_keys=["A" * 43],
    )
    ended = bifrost.run("check-config", "--config", path)
    assert (ended.code, ended.err) == (0, "")
    for word in ("valid", "0.0.0.0:9090", "2 worker", "https://mcp.example.com", "postgresql", "docs", "ann"):
        assert word in ended.out
    assert "everybody needs a key" in ended.out
    for secret in ("canary", KEY, "A" * 43):
        assert secret not in ended.out
    assert [entry.name for entry in bifrost.directory.iterdir()] == ["config.json"]


def test_no_configuration_is_a_good_one(bifrost: Commands) -> None:
    """Contract §10: the defaults."""
    ended = bifrost.run("check-config")
    assert ended.code == 0
    assert "anonymous sessions are allowed" in ended.out
    assert list(bifrost.directory.iterdir()) == []


def test_the_environment_counts(bifrost: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract §§10, 11: BIFROST_CONFIG, the short names and BIFROST_<SECTION>__<KEY>."""
    monkeypatch.setenv("BIFROST_CONFIG", bifrost.config(server={"port": 1_234, "workers": 3}))
    monkeypatch.setenv("BIFROST_SERVER__PORT", "9091")
    monkeypatch.setenv("BIFROST_PUBLIC_URLS", "https://a.example,https://b.example")
    monkeypatch.setenv("BIFROST_STORAGE_URL", "postgresql://h/d")
    shown = bifrost.run("check-config").out
    for word in ("127.0.0.1:9091", "3 worker", "https://a.example", "postgresql"):
        assert word in shown


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"server": {"prot": 1}}, ("server.prot", "Did you mean port?")),
        ({"mcp": {"client_configs": [{**UPSTREAM, "name": "has-hyphen"}]}}, ("has-hyphen", "no hyphen")),
        ({"mcp": {"client_configs": [{**UPSTREAM, "endpoint_slug": "A b"}]}}, ("endpoint_slug",)),
        ({"mcp": {"client_configs": [{**UPSTREAM, "connection_string": "docs.example"}]}}, ("connection_string",)),
        ({"mcp": {"client_configs": [{**UPSTREAM, "headers": {"A": "canary"}}]}}, ("auth_type",)),
        (
            {"mcp": {"client_configs": [{**UPSTREAM, "auth_type": "headers", "headers": {"A": "canary\r\nB: c"}}]}},
            ("headers",),
        ),
        ({"governance": {"virtual_keys": [{"name": "a", "value": "canary"}]}}, ("sk-bf-", "27")),
        ({"governance": {"virtual_keys": [{"name": "a", "value": "sk-bf-canary"}]}}, ("sk-bf-", "27")),
    ],
)
def test_what_serve_would_refuse_is_refused(
    bifrost: Commands, values: dict[str, object], words: tuple[str, ...]
) -> None:
    """Contract §10: the same checks, and no secret in the sentence."""
    sentence = bifrost.run("check-config", "--config", bifrost.config(**values)).sentence
    assert all(word in sentence for word in words), sentence
    assert "canary" not in sentence
