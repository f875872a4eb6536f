#!/usr/bin/env bash
# a private PostgreSQL (apt-get install postgresql) on 127.0.0.1:55432, pinned to CPU 1:  pg.sh start|stop
. "$(dirname "$0")/../env.sh"; P=$BENCH_HOME; B=$(ls -d /usr/lib/postgresql/*/bin | tail -1); D=$P/pg/data
case $1 in
  start) mkdir -p $P/pg; chown postgres $P/pg
         [ -d $D ] || runuser -u postgres -- $B/initdb -D $D -A trust -U perf >/dev/null
         taskset -c 1 runuser -u postgres -- $B/pg_ctl -D $D -w -l $P/pg/log -o "-p 55432 -c listen_addresses=127.0.0.1 -c unix_socket_directories=$P/pg -c shared_buffers=256MB" start
         echo "export PGDSN=postgresql://perf@127.0.0.1:55432/postgres" ;;
  stop)  runuser -u postgres -- $B/pg_ctl -D $D -m fast stop ;;
esac
