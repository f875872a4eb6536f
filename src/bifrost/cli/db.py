"""`bifrost db`: what an operator does with the database; now, what is to be done after a backup was put back."""

import argparse
from typing import Any

from bifrost.cli.opened import with_gateway

RESTORED = """\
To be run after an older database was put back, before or while the gateway serves. The backup does not know which
codes, refresh tokens, links and sessions were used or ended since it was made, so all of them end: clients and
administrators sign in anew. Virtual keys, administrators' tokens and connected accounts stay as they were at the time
of the backup; look through them for what was revoked since.
"""


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    database = commands.add_parser("db", help="what is to be done after a backup was put back")
    actions = database.add_subparsers(title="actions", metavar="ACTION", required=True)
    restored = actions.add_parser(
        "restored", parents=[with_config], help="end everything that a backup would bring to life", description=RESTORED
    )
    restored.set_defaults(run=_restored)


def _restored(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, StorageUnavailable."""
    ended = with_gateway(chosen.config, lambda gateway: gateway.restored.end_everything())
    print(
        f"Ended {ended} sessions of clients, and every sign-in, link and administrator's session. Now look through the "
        "virtual keys and administrators' tokens for what was revoked after the backup was made."
    )
    return 0
