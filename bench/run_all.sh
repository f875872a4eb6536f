#!/usr/bin/env bash
# Every workload of every installed peer, one after the other: results/*.json, results/tables.md. Takes an hour.
#   ARGS="--runs 3 --secs 3"  PEERS="bifrost oidc"  ./run_all.sh
set -eu
cd "$(dirname "$0")"
. ./env.sh
read -ra args <<<"${ARGS:---runs 3 --secs 3}"
cd "$PROJECT"
"$BENCH_PYTHON" -m bench direct "${args[@]}"
for peer in ${PEERS:-bifrost bifrost-pg mcpsdk mcpsdk-gw fastmcp fastmcp-reuse fastmcp-oauthproxy oidc authlib authmcp contextforge litellm}; do
  timeout 1500 "$BENCH_PYTHON" -m bench run "$peer" "${args[@]}" || echo "$peer failed" >&2
done
"$BENCH_PYTHON" -m bench table bench/results/*.json >bench/results/tables.md
