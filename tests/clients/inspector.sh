#!/bin/sh
# MCP Inspector in its command-line form, through OAuth to a tool call, in both protocol eras.
#
#   inspector.sh http://127.0.0.1:8080/mcp [tool] [era...]
#
# It opens a browser only for a terminal or with MCP_AUTO_OPEN_ENABLED=true, and keeps secrets in the system's keychain
# unless told otherwise; home and store here are throwaway ones. The last call shows that a stored grant is used with
# no browser step.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
url=$1 tool=${2:-whoami}
[ $# -gt 2 ] && { shift 2; eras=$*; } || eras="legacy modern"
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT
export HOME BROWSER="$here/autobrowser.py" MCP_AUTO_OPEN_ENABLED=true MCP_INSPECTOR_SECRET_STORE=file
inspect() {
    inspector --cli --server-url "$url" --transport http --format json "$@" </dev/null
}
for era in $eras; do
    inspect --protocol-era "$era" --relogin -q --method tools/call --tool-name "$tool" 2>"$HOME/err" || {
        cat "$HOME/err" >&2
        exit 1
    }
done
inspect --stored-auth-only -q --method tools/list >/dev/null
echo '{"client": "mcp-inspector", "eras": "'"$eras"'", "stored_grant_used": true}'
