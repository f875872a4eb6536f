"""`bifrost keys rotate-signing`: the next key signs JWT access tokens from now on; `signing` shows the keys."""

import argparse
from datetime import UTC, datetime
from typing import Any

from bifrost.authserver.signing_keys import SigningKey, SigningKeys
from bifrost.base import events
from bifrost.base.clock import SECOND
from bifrost.cli.opened import with_gateway

DESCRIPTION = """\
Sign JWT access tokens with the next key from now on, in every running gateway within a second. Tokens that are out
stay good: the old key is published until the last of them has expired. With --leaked no old key is published any more,
and whoever checks tokens elsewhere refuses what it has signed within five minutes.
"""
_ROTATED, _LEAKED = "The one before is published as long as its tokens live.", "All keys before it are gone."


def add_to(actions: Any, with_config: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "rotate-signing",
        parents=[with_config],
        help="sign JWT access tokens with the next key",
        description=DESCRIPTION,
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--force", action="store_true", help="also when others may not have seen the next key yet (five minutes)"
    )
    how.add_argument("--leaked", action="store_true", help="somebody else has the keys: replace all of them at once")
    parser.set_defaults(run=run)
    shown = actions.add_parser("signing", parents=[with_config], help="show the keys that sign JWT access tokens")
    shown.set_defaults(run=show)


def run(chosen: argparse.Namespace) -> int:
    """Raises NextKeyTooYoung, ConfigurationError, StorageUnavailable."""

    async def rotate(keys: SigningKeys) -> SigningKey:
        key = await (keys.replace() if chosen.leaked else keys.rotate(force=chosen.force))
        name = events.Name.SIGNING_KEYS_REPLACED if chosen.leaked else events.Name.SIGNING_KEY_ROTATED
        events.tell(name, target=key.kid)
        return key

    key = with_gateway(chosen.config, lambda gateway: rotate(gateway.signing_keys))
    print(f"The key {key.kid} ({key.alg}) signs from now on. {_LEAKED if chosen.leaked else _ROTATED}")
    return 0


def show(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    keys = with_gateway(chosen.config, lambda gateway: gateway.signing_keys.all())
    if not keys:
        print("There are no signing keys: they are made with the first JWT access token.")
        return 0
    for key in keys:
        since = f"signs since {_day(key.activated_at)}" if key.activated_at else f"made {_day(key.created_at)}"
        until = f", published until {_day(key.ends_at)}" if key.ends_at else ""
        print(f"{key.kid}  {key.alg}  {key.state:8}  {since}{until}")
    return 0


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
