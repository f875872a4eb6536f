"""`bifrost admin`: administrators' tokens, and a new set-up link when every token is lost."""

import argparse
from datetime import UTC, datetime
from typing import Any

from bifrost.base.clock import SECOND
from bifrost.cli.opened import with_gateway
from bifrost.cli.serve import load
from bifrost.identity.set_up import PAGE

NAME_CHARACTERS = 100


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    admin = commands.add_parser(
        "admin",
        help="administrators' tokens, and a new set-up link",
        description="An administrator's token opens the management API. Its value is shown once, when it is made.",
    )
    actions = admin.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser(
        "create-token", parents=[with_config], help="make a token and print its value, this once"
    )
    create.add_argument("name", type=_name, help="a name for people, unique")
    create.set_defaults(run=_create)
    listing = actions.add_parser("list", parents=[with_config], help="list the tokens, without their values")
    listing.set_defaults(run=_list)
    revoke = actions.add_parser("revoke", parents=[with_config], help="end a token and its browsers' sessions at once")
    revoke.add_argument("token", help="id or name of the token")
    revoke.set_defaults(run=_revoke)
    link = actions.add_parser(
        "setup-link",
        parents=[with_config],
        help="print a link that makes a token in the browser, once, within 24 hours",
    )
    link.set_defaults(run=_link)


def _create(chosen: argparse.Namespace) -> int:
    """Raises AdministratorTokenTaken."""
    token, value = with_gateway(chosen.config, lambda gateway: gateway.admin_tokens.create(chosen.name))
    print(f"Created the administrator's token {token.name} ({token.id}). Its value, shown this once:\n\n    {value}\n")
    return 0


def _list(chosen: argparse.Namespace) -> int:
    tokens = with_gateway(chosen.config, lambda gateway: gateway.admin_tokens.all())
    if load(chosen.config).admin_token:
        print("BIFROST_ADMIN_TOKEN is set: that token is an administrator's too.")
    if not tokens:
        print("There are no administrators' tokens. Make one with: bifrost admin create-token NAME")
    for token in tokens:
        made = datetime.fromtimestamp(token.created_at // SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
        print(f"{token.id}  {token.name}  made {made}")
    return 0


def _revoke(chosen: argparse.Namespace) -> int:
    """Raises UnknownAdministratorToken."""
    token = with_gateway(chosen.config, lambda gateway: gateway.admin_tokens.revoke(chosen.token))
    print(f"Revoked the administrator's token {token.name} ({token.id}); its sessions have ended.")
    return 0


def _link(chosen: argparse.Namespace) -> int:
    secret = with_gateway(chosen.config, lambda gateway: gateway.set_up.new_link())
    print(f"Open this within 24 hours; it works once, and no earlier link does:\n\n    {url(chosen.config, secret)}\n")
    return 0


def url(config: str | None, secret: str) -> str:
    return f"{load(config).public_urls[0]}{PAGE}?link={secret}"


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > NAME_CHARACTERS:
        raise argparse.ArgumentTypeError(f"a name is 1 to {NAME_CHARACTERS} printable characters")
    return text.strip()
