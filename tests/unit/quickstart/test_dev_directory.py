"""The quick start's directory: made once, kept, private."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from bifrost.quickstart.dev_directory import UnusableDirectory, claimed, demo_key, prepare


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_a_first_run_makes_a_private_directory_with_a_key_and_the_sample(tmp_path: Path) -> None:
    """Contract §10 (section names) and §11 (0600)."""
    with claimed(tmp_path / "dev"):
        prepared = prepare(tmp_path / "dev")
    assert (tmp_path / "dev").stat().st_mode & 0o777 == 0o700
    assert prepared.config.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"sk-bf-[A-Za-z0-9_-]{32,}", prepared.key)
    config = read(prepared.config)
    places = {
        "notes": ("none", "/mcp"),
        "diary": ("per_user_oauth", "/diary/mcp"),
        "recipes": ("per_user_oauth", "/recipes/mcp"),
    }
    assert config["mcp"]["client_configs"] == [
        {
            "name": name,
            "connection_type": "http",
            "connection_string": f"http://127.0.0.1:{prepared.upstream_port}{path}",
            "auth_type": auth_type,
            "tools_to_execute": ["*"],
            "allow_on_all_virtual_keys": True,
        }
        for name, (auth_type, path) in places.items()
    ]
    people = {"vk-demo": ("demo", prepared.key), "vk-demo-2": ("demo, a second person", prepared.second_key)}
    assert config["governance"]["virtual_keys"] == [
        {
            "id": key_id,
            "name": name,
            "value": value,
            "mcp_configs": [{"mcp_client_name": service, "tools_to_execute": ["*"]} for service in places],
        }
        for key_id, (name, value) in people.items()
    ]
    assert prepared.key != prepared.second_key
    assert [path.name for path in (tmp_path / "dev").iterdir()] == ["config.json"]


def test_a_second_run_keeps_the_key_and_what_was_changed_by_hand(tmp_path: Path) -> None:
    """`make run` twice is one set-up."""
    first = prepare(tmp_path)
    config = read(first.config)
    config["server"] = {"host": "127.0.0.1"}
    first.config.write_text(json.dumps(config))
    assert prepare(tmp_path) == first
    assert read(first.config)["server"] == {"host": "127.0.0.1"}
    assert demo_key(first.config) == first.key


def test_a_taken_upstream_port_is_changed_in_the_file(tmp_path: Path) -> None:
    """`make run` works while another program has the sample's port."""
    first = prepare(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = read(first.config)
        config["mcp"]["client_configs"][0]["connection_string"] = f"http://127.0.0.1:{port}/mcp"
        first.config.write_text(json.dumps(config))
        second = prepare(tmp_path)
    assert second.upstream_port != port
    assert read(first.config)["mcp"]["client_configs"][0]["connection_string"].endswith(f":{second.upstream_port}/mcp")
    assert second.key == first.key
    assert second.config.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "mcp.client_configs"),
        ('{"mcp":{"client_configs":[{"name":"notes","connection_string":"https://x/mcp"}]}}', "virtual_keys"),
        (
            '{"mcp":{"client_configs":[{"name":"notes","connection_string":"https://x/mcp"}]},"governance":{"virtual_keys":[{"id":"vk-demo"}]}}',
            "127.0.0.1",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone_and_named(tmp_path: Path, content: str, says: str) -> None:
    """Contract §11: refused with one sentence."""
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UnusableDirectory, match=says) as caught:
        prepare(tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_text() == content
    assert demo_key(path) is None


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """Contract §11: refused with one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableDirectory, match="cannot be used"), claimed(tmp_path / "file"):
        pass
    with pytest.raises(UnusableDirectory, match="cannot be used"):
        prepare(tmp_path / "missing")


def test_a_directory_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    """Ours: a second run would move the sample upstream away from the first."""
    with claimed(tmp_path), pytest.raises(UnusableDirectory, match=r"Another run uses .* --dir"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass
