#!/usr/bin/env bash
# physical limits on every interpreter that is installed; results/limits-*.jsonl
set -u; cd "$(dirname "$0")"; . ../env.sh; P=$BENCH_HOME; R=../results; mkdir -p $R; unset PYTHONDONTWRITEBYTECODE
UP=${UPSTREAM_PORT:-18081}; LG=$P/venvs/lg/bin/python
quiet() { PYTHONPATH=$PROJECT $LG -c "import sys; from bench.lib import lg; print('foreign %.0f %%, waited %.0f s' % lg.wait_quiet(), file=sys.stderr)"; }
one() { # python version tag
  local v=$P/venvs/limits$1; [ -x $v/bin/python ] || return 0
  for b in crypto jsonbench; do quiet; taskset -c 0 $v/bin/python $b.py >> $R/limits-$b.jsonl; done
  quiet; taskset -c 1 $LG ../upstream/echo_upstream.py $UP & u=$!; sleep 1
  taskset -c 0 $v/bin/python clients.py $UP >> $R/limits-clients.jsonl; kill $u; wait $u 2>/dev/null
  quiet; PGDSN=${PGDSN:-} taskset -c 0 $v/bin/python db.py $P/run >> $R/limits-db.jsonl
}
case ${1:-all} in
  http) for t in ${TAGS:-311 312 313}; do PYTHONPATH=$PROJECT taskset -c 1 $LG http_servers.py $P/venvs/limits$t "${2:-}" >> $R/limits-http.jsonl; done ;;
  *) for t in ${TAGS:-311 312 313}; do one $t; done ;;
esac
