"""The command line: parse, run, and turn refusals into one sentence. Exit codes: 0 fine, 1 refused, 2 wrong usage."""

import argparse
import sys
from collections.abc import Sequence

from bifrost import __version__
from bifrost.base.errors import DomainError
from bifrost.cli import admin, check_config, db, keys, serve
from bifrost.settings import ConfigurationError
from bifrost.storage.database import StorageUnavailable

_VERSION = f"bifrost {__version__}"
DESCRIPTION = "One MCP address for many tool servers, guarded by its own OAuth 2.1 authorization server."
EPILOG = """\
environment:
  BIFROST_ADMIN_TOKEN       an administrator's credential for /api
  BIFROST_CONFIG            path of config.json
  BIFROST_DATA_DIR          directory of the database and the key ring (default: ./data)
  BIFROST_PUBLIC_URLS       origins by which clients reach the gateway, the issuer first
  BIFROST_STORAGE_URL       sqlite:///path or postgresql://user:password@host/database
  BIFROST_<SECTION>__<KEY>  any other setting, for example BIFROST_SERVER__PORT=9090
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if not hasattr(chosen, "run"):
        parser.print_help()
        return 2
    try:
        code: int = chosen.run(chosen)
    except (ConfigurationError, DomainError) as error:
        print(f"bifrost: {_sentence(error)}", file=sys.stderr)
        return 1
    return code


def _sentence(error: ConfigurationError | DomainError) -> str:
    """To whoever runs the command, what the database said is worth more than that a request may be sent again."""
    if isinstance(error, StorageUnavailable) and error.reason:
        return (
            f"The database cannot be used: {error.reason}. It is the one that storage.url or the data directory names."
        )
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bifrost",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_VERSION, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    with_config = argparse.ArgumentParser(add_help=False)
    with_config.add_argument("--config", metavar="FILE", help="path of config.json (default: $BIFROST_CONFIG)")
    serve.add_to(commands, with_config)
    check_config.add_to(commands, with_config)
    keys.add_to(commands, with_config)
    admin.add_to(commands, with_config)
    db.add_to(commands, with_config)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _version(_chosen: argparse.Namespace) -> int:
    print(_VERSION)
    return 0
