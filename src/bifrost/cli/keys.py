"""`bifrost keys`: create, list and revoke virtual keys; rotating other keys is in files of their own."""

import argparse
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from bifrost.app import Gateway
from bifrost.base import events
from bifrost.base.clock import SECOND, Clock, SystemClock
from bifrost.cli import rotate_encryption, rotate_signing
from bifrost.cli.opened import with_gateway
from bifrost.cli.serve import load
from bifrost.governance.models import ALL_TOOLS, McpConfig, VirtualKey
from bifrost.governance.virtual_keys import NewVirtualKey, VirtualKeys
from bifrost.upstreams.accounts import Owner

T = TypeVar("T")
_DURATION = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNIT_SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    keys = commands.add_parser(
        "keys",
        help="create, list and revoke virtual keys; rotate the encryption and signing keys",
        description="Virtual keys identify people and programs. A key's value is shown once, when it is made.",
    )
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", parents=[with_config], help="make a key and print its value, this once")
    create.add_argument("name", help="a name for people, unique")
    create.add_argument("--description", default="", help="for people")
    create.add_argument(
        "--expires-in", type=_seconds, metavar="TIME", help="for example 12h, 30d or 8w (default: never)"
    )
    create.add_argument(
        "--allow",
        action="append",
        type=_allowed,
        default=[],
        metavar="UPSTREAM[:TOOL,TOOL]",
        help="an upstream that the key may use, with all its tools or only those named; may be given again",
    )
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", parents=[with_config], help="list the keys, without their values")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", parents=[with_config], help="deactivate a key; its sessions end at once")
    revoke.add_argument("key", help="id or name of the key")
    revoke.set_defaults(run=_revoke)
    rotate_encryption.add_to(actions, with_config)
    rotate_signing.add_to(actions, with_config)


def _create(chosen: argparse.Namespace) -> int:
    """Raises VirtualKeyTaken."""
    clock = SystemClock()
    wanted = NewVirtualKey(
        name=chosen.name,
        description=chosen.description,
        expires_at=clock.now() + chosen.expires_in * SECOND if chosen.expires_in else None,
        mcp_configs=tuple(chosen.allow),
    )

    async def create(gateway: Gateway) -> tuple[VirtualKey, str, set[str]]:
        # read first: what fails after the key was made would take its only showing along
        stored = {upstream.name for upstream in await gateway.upstreams.all()}
        key, value = await gateway.virtual_keys.create(wanted, before_upstreams=True)
        events.tell(events.Name.VIRTUAL_KEY_CREATE, target=key.id)
        return key, value, stored

    key, value, stored = with_gateway(chosen.config, create)
    print(f"Created the virtual key {key.name} ({key.id}). Its value, shown this once:\n\n    {value}\n")
    if not key.mcp_configs:
        print("It reaches only upstreams that are open to all keys; name others with --allow.")
    known = stored | {upstream.name for upstream in load(chosen.config).mcp.client_configs}
    for name in dict.fromkeys(config.mcp_client_name for config in key.mcp_configs):
        if name not in known:
            print(f"There is no upstream named {name} yet; the key may use it as soon as there is one.")
    return 0


def _list(chosen: argparse.Namespace) -> int:
    keys = _with_keys(chosen.config, lambda keys: keys.all())
    if not keys:
        print(
            f"There are no virtual keys in {storage_in_words(chosen.config)}. Make one with: bifrost keys create NAME"
        )
        return 0
    rows = [("ID", "NAME", "VALUE", "STATE", "EXPIRES", "MAY USE"), *(_row(key, SystemClock()) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _revoke(chosen: argparse.Namespace) -> int:
    """Raises UnknownVirtualKey."""

    async def revoke(gateway: Gateway) -> VirtualKey:
        key = await gateway.virtual_keys.revoke(chosen.key)
        events.tell(events.Name.VIRTUAL_KEY_REVOKE, target=key.id)
        await gateway.life.access_changed(Owner("vk", key.id))
        return key

    key = with_gateway(chosen.config, revoke)
    print(f"Revoked the virtual key {key.name} ({key.id}).")
    return 0


def storage_in_words(config: str | None) -> str:
    """Which storage was looked at; of a PostgreSQL URL nothing but that, because it holds a password."""
    kind, _, path = load(config).storage_url.partition(":///")
    return path if kind == "sqlite" else "the PostgreSQL database"


def _with_keys(config: str | None, use: Callable[[VirtualKeys], Awaitable[T]]) -> T:
    return with_gateway(config, lambda gateway: use(gateway.virtual_keys))


def _row(key: VirtualKey, clock: Clock) -> tuple[str, ...]:
    expires = (
        datetime.fromtimestamp(key.expires_at / SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if key.expires_at
        else "never"
    )
    state = "active" if key.refusal(clock.now()) is None else "expired" if key.is_active else "revoked"
    return key.id, key.name, key.value_hint, state, expires, ", ".join(map(_shown, key.mcp_configs)) or "-"


def _shown(config: McpConfig) -> str:
    if config.tools_to_execute == (ALL_TOOLS,):
        return config.mcp_client_name
    return f"{config.mcp_client_name}:{','.join(config.tools_to_execute)}"


def _allowed(text: str) -> McpConfig:
    name, colon, tools = text.partition(":")
    if not name or (colon and not all(tools.split(","))):
        raise argparse.ArgumentTypeError("write it like notes, or notes:read,search")
    return McpConfig(mcp_client_name=name, tools_to_execute=tuple(tools.split(",")) if tools else (ALL_TOOLS,))


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if not match:
        raise argparse.ArgumentTypeError("write it like 12h, 30d or 8w")
    return int(match[1]) * _UNIT_SECONDS[match[2]]
