"""`bifrost check-config`: validate without starting."""

import argparse
from typing import Any

from bifrost import bootstrap
from bifrost.authserver import client_registry
from bifrost.cli.serve import load
from bifrost.governance.virtual_keys import check_value
from bifrost.upstreams.rules import check


def add_to(commands: Any, with_config: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "check-config",
        parents=[with_config],
        help="validate the configuration without starting",
        description="Read the configuration and the environment as `serve` would, and say what they mean.",
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Raises ConfigurationError, UpstreamInvalid, WeakVirtualKey, ClientInvalid."""
    loaded = load(chosen.config)
    for upstream in loaded.mcp.client_configs:
        check(bootstrap.new_upstream(upstream))
        if upstream.connection_type == "stdio":
            bootstrap.allowed_commands(loaded).program(bootstrap.new_upstream(upstream).stdio_config)
    for key in loaded.governance.virtual_keys:
        check_value(key.value, key.name)
    for client in loaded.client.registered_clients:
        client_registry.check(bootstrap.new_client(client), loaded.app_schemes)
    print("The configuration is valid.")
    print(f"  listens on    {loaded.server.host}:{loaded.server.port}, {loaded.server.workers} worker(s)")
    print(f"  issuer        {loaded.public_urls[0]}")
    print(f"  storage       {loaded.storage_url.partition('://')[0]}")
    print(f"  sign-in       mode {loaded.client.mcp_server_auth_mode}, {_who(enforced=loaded.enforce_auth)}")
    print(f"  upstreams     {', '.join(upstream.name for upstream in loaded.mcp.client_configs) or 'none'}")
    print(f"  virtual keys  {', '.join(key.name for key in loaded.governance.virtual_keys) or 'none'}")
    return 0


def _who(*, enforced: bool) -> str:
    return "everybody needs a key" if enforced else "anonymous sessions are allowed"
