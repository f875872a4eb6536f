#!/usr/bin/env bash
# `make bench`: this project beside its peers, workload by workload, in one run; a table with ratios at the end.
#   BENCH_PEERS="bifrost mcpsdk"  whom to measure, this project first    (default: the list below)
#   BENCH_ARGS="--secs 4 --runs 5 -w W5"  what to measure, and how long  (python -m bench compare --help)
# The first call installs the load generator and the peers into .cache/bench.
set -eu
cd "$(dirname "$0")"
. ./env.sh
BENCH_PEERS=${BENCH_PEERS:-bifrost mcpsdk mcpsdk-gw fastmcp fastmcp-reuse oidc}

if [ ! -x "$PROJECT/.venv/bin/bifrost" ]; then
  echo "bench: there is no .venv here; run: make setup" >&2
  exit 1
fi
packages=(lg)
for peer in $BENCH_PEERS; do
  [ -d "peers/$peer" ] || { echo "bench: there is no peer $peer; there are: $(ls peers | tr '\n' ' ')" >&2; exit 2; }
  case $peer in
    bifrost|bifrost-*) ;;
    floor*) packages+=(limits313) ;;
    *) packages+=("${peer%%-*}") ;;
  esac
done
./install.sh "${packages[@]}"
# shellcheck disable=SC2086 - both are lists of words
cd "$PROJECT"
exec "$BENCH_PYTHON" -m bench compare $BENCH_PEERS ${BENCH_ARGS:-}
