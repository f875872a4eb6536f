"""What to paste where, to connect a client to the running gateway."""

import json
from typing import Final
from urllib.parse import urlsplit

#: The port that the commands below mean when none is named.
DEFAULT_PORT: Final = 8080


def guide(url: str, key: str, config: str, data: str) -> str:
    """The text printed when the gateway is up; `key` is shown because it is the one thing the reader must copy."""
    cursor = json.dumps({"mcpServers": {"bifrost": {"url": url}}})
    vscode = json.dumps({"name": "bifrost", "type": "http", "url": url}, separators=(",", ":"))
    port = urlsplit(url).port
    here = f" PORT={port}" if port != DEFAULT_PORT else ""
    environment = f"BIFROST_SERVER__PORT={port} " if port != DEFAULT_PORT else ""
    bearer = f'--header "Authorization: Bearer {key}"'
    return f"""
Bifrost is running. Stop it with Ctrl-C.

  MCP URL       {url}
  Virtual key   {key}
  Kept in       {config}

Connect a client. It opens a sign-in page in the browser; paste the virtual key there.

  Claude Code   claude mcp add --transport http bifrost {url}
                then, inside Claude Code: /mcp, bifrost, Authenticate
  Cursor        in ~/.cursor/mcp.json: {cursor}
  VS Code       code --add-mcp '{vscode}'
  Inspector     npx @modelcontextprotocol/inspector --cli {url} --transport http --method tools/list

Or without a browser, with the key as a header:

  Claude Code   claude mcp add --transport http bifrost {url} {bearer}
  Inspector     npx @modelcontextprotocol/inspector --cli {url} --transport http --method tools/list {bearer}

Two of the sample services, diary and recipes, ask everybody for an account of their own: press Connect on the way,
and sign in there with any name.

Then ask the assistant to add a note, or see every step of a sign-in: make demo{here}
Keys and administrators of this gateway: {environment}BIFROST_DATA_DIR={data} .venv/bin/bifrost keys list
"""
