#!/bin/sh
# Every real client against one MCP endpoint, each through OAuth with its browser step played:
#
#   run_all.sh http://127.0.0.1:8080/mcp TOOL [NAME...]
#
# AUTOBROWSER_KEY is the virtual key to paste, AUTOBROWSER_ENGINE http or chromium; see autobrowser.py for the rest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
CLIENTS_DIR=${CLIENTS_DIR:-$here/../../.cache/clients}
export CLIENTS_DIR
if ! "$here/install.sh" --check "$CLIENTS_DIR"; then
    echo "The real clients are not installed: run 'make test-clients', or tests/clients/install.sh alone." >&2
    exit 2
fi
exec "$CLIENTS_DIR/venv/bin/python" "$here/run_all.py" "$@"
