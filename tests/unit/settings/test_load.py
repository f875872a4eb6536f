"""Settings: what is read from where, what wins, and what is refused in one sentence that names the place."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.settings import ConfigurationError, Settings, load

KEY = "sk-bf-" + "k" * 40


def _refused(values: dict[str, Any] | None = None, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(None, environment or {}, values)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "msgspec" not in sentence
    return sentence


def _upstream(**members: Any) -> dict[str, Any]:
    return {"mcp": {"client_configs": [{"name": "docs", "connection_string": "https://d.example/mcp", **members}]}}


def _key(**members: Any) -> dict[str, Any]:
    return {"governance": {"virtual_keys": [{"name": "ann", "value": KEY, **members}]}}


def test_nothing_at_all_is_a_gateway_for_this_machine_alone() -> None:
    """Contract §§1, 10: the defaults."""
    settings = load(None, {})
    assert settings == Settings()
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8080, 1)
    assert settings.public_urls == ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080")
    assert settings.client.mcp_server_auth_mode == "both"
    assert settings.client.access_token_ttl == 86_400
    assert settings.enforce_auth is False
    assert settings.storage_url == "sqlite:///data/bifrost.db"


def test_the_default_names_follow_the_port_and_the_data_directory() -> None:
    """Contract §§1, 10."""
    settings = load(None, {}, {"server": {"port": 9_090}, "data_dir": "/var/lib/bifrost"})
    assert settings.public_urls[0] == "http://localhost:9090"
    assert settings.storage_url == "sqlite:////var/lib/bifrost/bifrost.db"


@pytest.mark.parametrize(
    ("public_urls", "chosen", "enforced"),
    [
        (["http://127.0.0.1:8080"], None, False),
        (["http://localhost"], None, False),
        (["https://mcp.example.com"], None, True),
        (["https://mcp.example.com"], False, False),
        (["http://localhost:8080"], True, True),
    ],
)
def test_everybody_needs_a_key_unless_everything_is_loopback(
    public_urls: list[str], chosen: bool | None, enforced: bool
) -> None:
    """Contract §10: `enforce_auth_on_inference`."""
    values = {"server": {"public_urls": public_urls}, "client": {"enforce_auth_on_inference": chosen}}
    assert load(None, {}, values).enforce_auth is enforced


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    """Contract §10: everything also by variables."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"server": {"port": 1_001, "workers": 3, "log_level": "debug"}}))
    environment = {"BIFROST_SERVER__PORT": "1002", "BIFROST_SERVER__WORKERS": "4"}
    settings = load(str(path), environment, {"server": {"port": 1_003}})
    assert (settings.server.port, settings.server.workers, settings.server.log_level) == (1_003, 4, "debug")


def test_the_file_is_named_by_the_argument_or_else_by_the_environment(tmp_path: Path) -> None:
    """Contract §10: path by `--config` or BIFROST_CONFIG."""
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text('{"data_dir": "one"}')
    other.write_text('{"data_dir": "other"}')
    environment = {"BIFROST_CONFIG": str(other)}
    assert load(None, environment).data_dir == "other"
    assert load(str(one), environment).data_dir == "one"


@pytest.mark.parametrize(
    ("name", "text", "where", "value"),
    [
        ("BIFROST_PUBLIC_URLS", "https://a.example", "server.public_urls", ("https://a.example",)),
        ("BIFROST_PUBLIC_URLS", " https://a.example , https://b.example,", "server.public_urls",
         ("https://a.example", "https://b.example")),
        ("BIFROST_PUBLIC_URLS", '["https://a.example"]', "server.public_urls", ("https://a.example",)),
        ("BIFROST_STORAGE_URL", "postgresql://u:p@h/d", "storage.url", "postgresql://u:p@h/d"),
        ("BIFROST_DATA_DIR", "/srv/data", "data_dir", "/srv/data"),
        ("BIFROST_SERVER__PORT", "9090", "server.port", 9_090),
        ("BIFROST_SERVER__HOST", "::1", "server.host", "::1"),
        ("BIFROST_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1", "server.trusted_proxies",
         ("10.0.0.0/8", "192.0.2.1")),
        ("BIFROST_CLIENT__BLOCKED_REDIRECT_HOSTS", "evil.example, evil-app",
         "client.blocked_redirect_hosts", ("evil.example", "evil-app")),
        ("BIFROST_CLIENT__ACCESS_TOKEN_TTL", "3600", "client.access_token_ttl", 3_600),
        ("BIFROST_CLIENT__ENFORCE_AUTH_ON_INFERENCE", "true", "client.enforce_auth_on_inference", True),
        ("BIFROST_CLIENT__ENFORCE_AUTH_ON_INFERENCE", "false", "client.enforce_auth_on_inference", False),
        ("BIFROST_CLIENT__MCP_SERVER_AUTH_MODE", "oauth", "client.mcp_server_auth_mode", "oauth"),
        ("BIFROST_ENCRYPTION_KEYS", "A" * 43, "encryption_keys", ("A" * 43,)),
        ("BIFROST_ADMIN_TOKEN", "[never-read-as-json-0123]", "admin_token", "[never-read-as-json-0123]"),
        ("BIFROSTED", "not ours", "data_dir", "data"),
    ],
)  # fmt: skip
def test_a_variable_is_the_setting_of_its_name(name: str, text: str, where: str, value: object) -> None:
    """Contract §11: the short names, and BIFROST_<SECTION>__<KEY> for the rest."""
    found: Any = load(None, {name: text})
    for member in where.split("."):
        found = getattr(found, member)
    assert found == value


def test_lists_of_objects_can_be_given_by_a_variable() -> None:
    """Contract §10: everything also by variables."""
    keys = json.dumps([{"name": "ann", "value": "env.ANN"}])
    settings = load(None, {"BIFROST_GOVERNANCE__VIRTUAL_KEYS": keys, "ANN": KEY})
    assert [key.value for key in settings.governance.virtual_keys] == [KEY]


def test_env_names_read_the_environment_wherever_they_stand() -> None:
    """Contract §10: `env.NAME` in any string, and only as the whole of it."""
    values = {
        "server": {"port": "env.PORT", "public_urls": ["env.URL"]},
        **_upstream(auth_type="headers", headers={"Authorization": "env.SECRET", "X": "not env.SECRET"}),
        **_key(value="env.ANN"),
    }
    environment = {"PORT": "9090", "URL": "https://mcp.example.com", "SECRET": "Bearer x", "ANN": KEY}
    settings = load(None, environment, values)
    assert settings.server.port == 9_090
    assert settings.public_urls == ("https://mcp.example.com",)
    assert settings.mcp.client_configs[0].headers == {"Authorization": "Bearer x", "X": "not env.SECRET"}
    assert settings.governance.virtual_keys[0].value == KEY


def test_a_variable_that_is_not_set_is_named_with_its_place() -> None:
    """Contract §10: refused, rather than taken for the text."""
    sentence = _refused(_key(value="env.NOBODY_SET_IT"))
    assert "NOBODY_SET_IT" in sentence
    assert "governance.virtual_keys[0].value" in sentence


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"servr": {}}, ("servr", "Did you mean server?")),
        ({"server": {"prot": 1}}, ("server.prot", "Did you mean port?")),
        ({"server": {"publicUrls": []}}, ("server.publicUrls", "Did you mean public_urls?")),
        ({"server": {"zzz": 1}}, ("server.zzz", "Known keys here are", "trusted_proxies")),
        (_upstream(tool_to_execute=["*"]), ("mcp.client_configs[0].tool_to_execute", "tools_to_execute?")),
        (_key(mcp_configs=[{"mcp_client": "docs"}]), ("governance.virtual_keys[0].mcp_configs[0].mcp_client",)),
        ({"identity": {"oidc": {}}}, ("identity", "not supported")),
        ({"server": {"tls": {}}}, ("server.tls", "not supported")),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(values: dict[str, Any], words: tuple[str, ...]) -> None:
    """Contract §10."""
    sentence = _refused(values)
    assert all(word in sentence for word in words), sentence


def test_an_unknown_variable_is_an_error_too() -> None:
    """Contract §10: a misspelt variable must not be ignored silently."""
    assert "Did you mean port?" in _refused(None, {"BIFROST_SERVER__PROT": "1"})
    assert "data_dir" in _refused(None, {"BIFROST_DATADIR": "/srv"})


def test_names_that_are_free_are_not_keys() -> None:
    """Contract §9: header names are the upstream's own; `$schema` is the editor's."""
    settings = load(None, {}, {"$schema": "./schema.json", **_upstream(auth_type="headers", headers={"Prot": "x"})})
    assert settings.mcp.client_configs[0].headers == {"Prot": "x"}


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"server": {"port": 0}}, "server.port"),
        ({"server": {"port": 65_536}}, "server.port"),
        ({"server": {"port": "http"}}, "server.port"),
        ({"server": {"workers": 0}}, "server.workers"),
        ({"server": {"public_urls": "https://a.example"}}, "server.public_urls"),
        ({"server": {"log_level": "verbose"}}, "server.log_level"),
        ({"server": []}, "server"),
        ({"server": None}, "server"),
        ({"client": {"access_token_ttl": 59}}, "client.access_token_ttl"),
        ({"client": {"refresh_token_idle_ttl": 10**12}}, "client.refresh_token_idle_ttl"),
        ({"client": {"refresh_token_absolute_ttl": 10**12}}, "client.refresh_token_absolute_ttl"),
        (
            {"client": {"mcp_server_auth_mode": "off"}},
            "client.mcp_server_auth_mode: invalid enum value 'off'; it is one of both,",
        ),
        (_upstream(connection_type="carrier-pigeon"), "mcp.client_configs[0].connection_type"),
        (_upstream(tool_execution_timeout=601), "mcp.client_configs[0].tool_execution_timeout"),
        (_upstream(headers=["a"]), "mcp.client_configs[0].headers"),
        (_key(name=""), "governance.virtual_keys[0].name"),
        (_key(expires_at="2026-01-01T00:00:00"), "governance.virtual_keys[0].expires_at"),
        (_key(mcp_configs=[{}]), "mcp_client_name"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_by_its_place(values: dict[str, Any], place: str) -> None:
    """Contract §§10, 11: one sentence that can be acted on."""
    sentence = _refused(values)
    assert place in sentence.replace("[...]", "[0]"), sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://mcp.example.com/",
        "https://mcp.example.com/path",
        "https://mcp.example.com?x",
        "https://MCP.example.com",
        "https://user@mcp.example.com",
        "https://mcp.example.com:0",
        "https://",
        "mcp.example.com",
        "ftp://mcp.example.com",
        "http://mcp.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com:80",
        "",
    ],
)
def test_a_public_url_is_an_origin_and_https_unless_it_is_loopback(url: str) -> None:
    """A3, contract §1: a list of origins, no trailing slash, one stored string; RFC 8414 §2: the issuer is https."""
    assert "server.public_urls" in _refused({"server": {"public_urls": [url]}})


def test_https_and_plain_http_do_not_mix() -> None:
    """Contract §4: whether cookies are Secure is one decision for the whole server."""
    urls = ["https://mcp.example.com", "http://localhost:8080"]
    assert "all https, or all loopback" in _refused({"server": {"public_urls": urls}})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "mcp.example.com", ""])  # noqa: S104 - is refused
def test_listening_for_others_needs_a_public_url(host: str) -> None:
    """Contract §1: refused at start, with a sentence that says what to set."""
    sentence = _refused({"server": {"host": host}})
    assert "server.public_urls" in sentence
    assert "BIFROST_PUBLIC_URLS" in sentence
    allowed = load(None, {}, {"server": {"host": host, "public_urls": ["https://mcp.example.com"]}})
    assert allowed.server.host == host


@pytest.mark.parametrize("url", ["mysql://h/d", "bifrost.db", "sqlite:bifrost.db", "sqlite://bifrost.db", "sqlite:///"])
def test_storage_is_a_sqlite_file_or_postgresql(url: str) -> None:
    """Contract §10: `sqlite:///…` and `postgresql://…`; a near miss must not become something else."""
    assert "storage.url" in _refused({"storage": {"url": url}})


@pytest.mark.parametrize("url", ["postgresql://host:port/name", "postgresql://[::1/name"])
def test_a_postgresql_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    """Contract §11: found by `check-config`, not by the first connection."""
    assert "storage.url" in _refused({"storage": {"url": url}})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"server": {"trusted_proxies": ["10.0.0.1/33"]}}, ("server.trusted_proxies",)),
        ({"server": {"trusted_proxies": ["proxy.example"]}}, ("server.trusted_proxies",)),
        ({"client": {"blocked_redirect_hosts": ["a.example", "https://b.example"]}}, ("https://b.example", "name://")),
        (
            {"client": {"client_id_metadata_blocked_hosts": ["b.example:443"]}},
            ("blocked_hosts", "without scheme, port"),
        ),
        ({"client": {"client_id_metadata_allowed_hosts": ["cursor://"]}}, ("client_id_metadata_allowed_hosts",)),
        ({"encryption_keys": ["secret-too-short"]}, ("encryption_keys", "32 bytes")),
        ({"encryption_keys": ["A" * 43, "secret-not-base64!!"]}, ("encryption_keys", "32 bytes")),
        (_key(id="a") | {"x": None}, ("x",)),
    ],
)
def test_what_is_checked_later_is_refused_now(values: dict[str, Any], words: tuple[str, ...]) -> None:
    """Contract §10: checked as a whole before anything starts; a secret is never repeated."""
    sentence = _refused(values)
    assert all(word in sentence for word in words), sentence
    assert "secret" not in sentence


@pytest.mark.parametrize(
    ("section", "member", "entries"),
    [
        ("governance.virtual_keys", "id", [{"id": "a", "name": "1", "value": KEY}, {"id": "a", "name": "2", "value": KEY + "2"}]),
        ("governance.virtual_keys", "name", [{"name": "a", "value": KEY}, {"name": "a", "value": KEY + "2"}]),
        ("governance.virtual_keys", "value", [{"name": "a", "value": KEY}, {"name": "b", "value": KEY}]),
        ("mcp.client_configs", "name", [{"name": "a"}, {"name": "a", "endpoint_slug": "b"}]),
        ("mcp.client_configs", "endpoint_slug", [{"name": "a"}, {"name": "A"}]),
    ],
)  # fmt: skip
def test_two_entries_with_the_same_name_are_refused(section: str, member: str, entries: list[dict[str, Any]]) -> None:
    """Contract §10: which of them counts would be a matter of luck; the value itself is not repeated."""
    outer, inner = section.split(".")
    complete = [{"connection_string": "https://d.example", **entry} for entry in entries] if outer == "mcp" else entries
    sentence = _refused({outer: {inner: complete}})
    assert section in sentence
    assert member in sentence
    assert KEY not in sentence


@pytest.mark.parametrize("content", [b"{", b"[]", b'"text"', b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_object_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """Contract §11."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        load(str(path), {})


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Contract §11."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(str(tmp_path / name), {})


def test_variables_that_contradict_each_other_are_refused() -> None:
    """Contract §11: one sentence, whatever the environment holds."""
    assert "server" in _refused(None, {"BIFROST_SERVER": "text", "BIFROST_SERVER__PORT": "1"})


def test_keys_of_32_bytes_are_accepted_with_and_without_padding() -> None:
    """Contract §8: the key ring, the sealing key first."""
    padded = base64.urlsafe_b64encode(bytes(range(32))).decode()
    assert load(None, {}, {"encryption_keys": [padded, padded.rstrip("=")]}).encryption_keys[0] == padded
