#!/usr/bin/env bash
# Install one peer (or several, or "all") by package name into $BENCH_HOME/venvs/<peer> or $BENCH_HOME/node/<peer>.
#   usage: ./install.sh lg|fastmcp|mcpsdk|oidc|authlib|authmcp|contextforge|litellm|limits311|limits312|limits313|all
# What is installed already is left alone; remove its directory to install it anew.
set -eu
cd "$(dirname "$0")"
. ./env.sh
mkdir -p "$BENCH_HOME"/{venvs,node,logs,run}
unset PYTHONDONTWRITEBYTECODE || true

# The interpreter of a version: pyenv's, the one on the PATH, or else the one that made the project's .venv.
interpreter() { # 3.13
  local found
  for found in "$PYENV_VERSIONS/$1".*/bin/python "$(command -v "python$1" || true)"; do
    [ -x "$found" ] && { echo "$found"; return; }
  done
  found=$("$PROJECT/.venv/bin/python" -c 'import sys; print(sys._base_executable)')
  echo "note: there is no Python $1 here; using $("$found" --version). Quote it with the figures." >&2
  echo "$found"
}

venv() { # name version packages...
  local name=$1 version=$2; shift 2
  local home="$BENCH_HOME/venvs/$name"
  [ -x "$home/bin/python" ] || "$(interpreter "$version")" -m venv "$home"
  "$home/bin/pip" --disable-pip-version-check install -qq "$@"
}

# fastmcp's pinned certifi (a CA bundle only) may be newer than the one the index has: then pip finds no solution.
# Its own list of requirements is installed instead, with any certifi.
fastmcp() {
  venv fastmcp 3.13 packaging
  local bin="$BENCH_HOME/venvs/fastmcp/bin"
  "$bin/pip" --disable-pip-version-check install -qq --no-deps fastmcp==4.1.6 fastmcp-slim==4.1.6
  "$bin/python" - >"$BENCH_HOME/run/fastmcp-requirements.txt" <<'PY'
from importlib.metadata import requires

from packaging.requirements import Requirement

for line in requires("fastmcp-slim"):
    wanted = Requirement(line)
    if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", "client", "server", "mcp")):
        wanted.marker = None
        print("certifi" if wanted.name == "certifi" else wanted)
PY
  "$bin/pip" --disable-pip-version-check install -qq -r "$BENCH_HOME/run/fastmcp-requirements.txt" uvloop httptools
}

# oidc-provider wants Node.js 22 or newer; the npm package `node` carries one
oidc() {
  mkdir -p "$BENCH_HOME/node/oidc"
  (cd "$BENCH_HOME/node/oidc" && { [ -f package.json ] || npm init -y >/dev/null; } &&
    npm install --silent --no-audit --no-fund oidc-provider@9.13.3 node@22)
}

LIMITS=(starlette uvicorn uvloop httptools granian cryptography joserfc PyJWT SQLAlchemy aiosqlite asyncpg
        greenlet msgspec pydantic orjson httpx aiohttp httpx2 niquests psycopg psycopg-binary)

one() {
  case $1 in
    lg)           venv lg 3.13 uvloop httptools orjson ;;
    fastmcp)      fastmcp ;;
    mcpsdk)       venv mcpsdk 3.13 mcp==2.3.0 uvloop httptools uvicorn ;;
    oidc)         oidc ;;
    authlib)      venv authlib 3.13 Authlib==1.9.6 flask gunicorn ;;
    authmcp)      venv authmcp 3.12 authmcp-gateway==1.2.74 uvloop httptools ;;
    contextforge) venv contextforge 3.12 mcp-contextforge-gateway==1.1.0 uvloop httptools ;;
    litellm)      venv litellm 3.12 'litellm[proxy]==1.106.2' ;;
    limits311)    venv limits311 3.11 "${LIMITS[@]}" ;;
    limits312)    venv limits312 3.12 "${LIMITS[@]}" ;;
    limits313)    venv limits313 3.13 "${LIMITS[@]}" blacksheep falcon litestar fastapi pyreqwest rloop apsw aiosonic psycopg-pool mcp==2.3.0 ;;
    *)            echo "unknown peer $1" >&2; return 2 ;;
  esac
}

[ "${1:-}" = all ] && set -- lg fastmcp mcpsdk oidc authlib authmcp contextforge litellm limits313
failed=0
for peer in "$@"; do
  done_file="$BENCH_HOME/run/installed-$peer"
  [ -e "$done_file" ] && continue
  echo "Installing $peer into $BENCH_HOME" >&2
  if (one "$peer"); then touch "$done_file"; else echo "could not install $peer" >&2; failed=1; fi
done
exit $failed
