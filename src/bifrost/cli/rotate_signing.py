"""`bifrost keys rotate-signing`: the next key signs JWT access tokens from now on."""

import argparse
from typing import Any

from bifrost.cli.opened import with_gateway

DESCRIPTION = """\
Sign JWT access tokens with the next key from now on, in every running gateway within a second. Tokens that are out
stay good: the old key is published until the last of them has expired.
"""


def add_to(actions: Any, with_config: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "rotate-signing",
        parents=[with_config],
        help="sign JWT access tokens with the next key",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--force", action="store_true", help="also when others may not have seen the next key yet (five minutes)"
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Raises NextKeyTooYoung, ConfigurationError, StorageUnavailable."""
    key = with_gateway(chosen.config, lambda gateway: gateway.signing_keys.rotate(force=chosen.force))
    print(f"The key {key.kid} ({key.alg}) signs from now on. The one before is published as long as its tokens live.")
    return 0
