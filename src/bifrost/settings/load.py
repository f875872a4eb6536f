"""Reading the settings: the file, over it the environment, and the command line over both."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bifrost.base.choices import choices
from bifrost.settings.check import check
from bifrost.settings.models import ConfigurationError, Settings

ENVIRONMENT_PREFIX = "BIFROST_"
_LISTS = (
    "public_urls",
    "trusted_proxies",
    "allowed_origins",
    "encryption_keys",
    "stdio_allowed_commands",
    "client_id_metadata_allowed_hosts",
    "client_id_metadata_blocked_hosts",
    "blocked_redirect_hosts",
)
_LATER = {"identity": "signing in with an OpenID provider", "server.tls": "serving TLS itself"}


def load(path: str | None, environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file (or of none), the environment, and of command-line options over both.

    Raises ConfigurationError.
    """
    try:
        return _load(path, environment, overrides or {})
    except RecursionError as error:
        raise ConfigurationError("The configuration is nested too deeply to be one.") from error


def _load(path: str | None, environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    path = path or environment.get("BIFROST_CONFIG")
    values = _merged(_read(path), _from_environment(environment))
    values = _merged(values, dict(overrides))
    values.pop("$schema", None)
    values = _referenced(values, environment, "")
    _check_keys(values, Settings, "")
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"The configuration is not valid: {_in_words(str(error))}.") from error
    check(settings)
    return settings


def environment() -> Mapping[str, str]:
    """The one place that reads the process environment."""
    return os.environ  # noqa: TID251 - this is that place


def hand_down(path: str | None, server: Mapping[str, object]) -> None:
    """Leave what the command line said where worker processes find it."""
    handed = {f"BIFROST_SERVER__{name.upper()}": str(value) for name, value in server.items()}
    os.environ.update(handed | ({"BIFROST_CONFIG": path} if path else {}))  # noqa: TID251 - this is that place


def _read(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_bytes(), object_pairs_hook=_unique)
    except OSError as error:
        raise ConfigurationError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The configuration file {path} is not valid JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"The configuration file {path} must hold a JSON object.")
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ConfigurationError(f"The configuration has the key {twice} twice in one object; only one can count.")
    return members


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`BIFROST_SERVER__PORT=9090` is `server.port`; a value is JSON if it reads as JSON, and text otherwise."""
    short = {
        "BIFROST_PUBLIC_URLS": "BIFROST_SERVER__PUBLIC_URLS",
        "BIFROST_STORAGE_URL": "BIFROST_STORAGE__URL",
    }
    values: dict[str, Any] = {}
    # sorted, a whole section comes before its members
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "BIFROST_CONFIG":
            continue
        *sections, member = short.get(name, name).removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigurationError(
                    f"{name} sets a member of {section}, which another variable sets to something without members."
                )
        target[member] = _value(text, member)
    return values


def _value(text: str, member: str) -> Any:
    if member == "admin_token":
        return text  # a secret is never anything but text
    if member in _LISTS and not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    if member in ("port", "workers") or text[:1] in ("[", "{") or text in ("true", "false", "null"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except ValueError:
            return text
    return text


def _merged(below: dict[str, Any], above: dict[str, Any], where: str = "") -> dict[str, Any]:
    """What stands below is not valid for being covered, so a section must be one in both."""
    merged = dict(below)
    for name, value in above.items():
        if name in merged and isinstance(value, dict):
            if not isinstance(merged[name], dict):
                raise ConfigurationError(f"The configuration is not valid: {where}{name}: it must be an object.")
            merged[name] = _merged(merged[name], value, f"{where}{name}.")
        else:
            merged[name] = value
    return merged


def _referenced(value: Any, environment: Mapping[str, str], where: str) -> Any:
    """`env.NAME` in any string reads the environment."""
    if isinstance(value, dict):
        return {name: _referenced(member, environment, f"{where}.{name}") for name, member in value.items()}
    if isinstance(value, list):
        return [_referenced(member, environment, f"{where}[{index}]") for index, member in enumerate(value)]
    if isinstance(value, str) and value.startswith("env."):
        if ".stdio_config.args[" in where:
            raise ConfigurationError(
                f"{where.lstrip('.')}: everybody on the machine can read arguments; name the variable in envs instead."
            )
        name = value.removeprefix("env.")
        if name not in environment:
            raise ConfigurationError(
                f"{where.lstrip('.')} refers to the environment variable {name}, which is not set."
            )
        return environment[name]
    return value


def _check_keys(value: Any, kind: Any, where: str) -> None:
    """An unknown key is an error that names the nearest known one."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        for name, member in value.items():
            path = f"{where}{name}"
            if name not in fields:
                raise ConfigurationError(_unknown(path, name, list(fields)))
            _check_keys(member, _plain(fields[name]), f"{path}.")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_keys(member, _element(kind), f"{where.removesuffix('.')}[{index}].")


def _unknown(path: str, name: str, known: list[str]) -> str:
    if path in _LATER:
        return f"{path} is not supported: this version does not offer {_LATER[path]}."
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Known keys here are: {', '.join(known)}."
    return f"Unknown configuration key {path}. {hint}"


def _plain(kind: Any) -> Any:
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _element(kind: Any) -> Any:
    arguments = getattr(kind, "__args__", ())
    return arguments[0] if arguments else Any


def _in_words(message: str) -> str:
    """Msgspec ends its messages with a path such as ` - at $.server.port`."""
    text, _, where = message.partition(" - at `$.")
    path = where.rstrip("`")
    return f"{path}: {text[0].lower()}{text[1:]}{choices(Settings, path)}" if where else text
