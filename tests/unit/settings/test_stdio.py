"""Settings about programs as upstreams (contract §8)."""

import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.settings import ConfigurationError, load


def loaded(tmp_path: Path, environment: dict[str, str] | None = None, **mcp: Any) -> Any:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"mcp": mcp}))
    return load(str(path), environment or {}).mcp


def test_no_program_may_be_started_by_default(tmp_path: Path) -> None:
    """Contract §8: stdio is off by default."""
    assert loaded(tmp_path).stdio_allowed_commands == ()
    assert loaded(tmp_path).stdio_shared_upstreams == ()


@pytest.mark.parametrize("path", ["npx", "./npx", "/usr/bin/../bin/npx", "/usr//bin/npx", "", "/usr/bin/"])
def test_an_allowed_command_is_an_absolute_path(path: str, tmp_path: Path) -> None:
    """Contract §8: an allow-list of commands, not of names that somebody else resolves."""
    with pytest.raises(ConfigurationError, match=r"mcp\.stdio_allowed_commands"):
        loaded(tmp_path, stdio_allowed_commands=[path])


def test_the_list_may_come_from_the_environment(tmp_path: Path) -> None:
    """Contract §10."""
    environment = {"BIFROST_MCP__STDIO_ALLOWED_COMMANDS": "/usr/bin/npx, /usr/bin/uvx"}
    assert loaded(tmp_path, environment).stdio_allowed_commands == ("/usr/bin/npx", "/usr/bin/uvx")


def test_an_argument_never_takes_its_value_from_the_environment(tmp_path: Path) -> None:
    """Ours: everybody on the machine can read arguments, so no secret may get there by a reference."""
    upstream = {"name": "a", "connection_type": "stdio", "stdio_config": {"command": "npx", "args": ["env.TOKEN"]}}
    with pytest.raises(ConfigurationError, match="envs instead") as refused:
        loaded(tmp_path, {"TOKEN": "secret-value"}, client_configs=[upstream])
    assert "secret-value" not in str(refused.value)
