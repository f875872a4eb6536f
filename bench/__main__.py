"""Side-by-side load bench for OAuth servers and MCP gateways on 127.0.0.1.  See README.md.

    python -m bench list
    python -m bench run PEER [-w W1,W2,...] [--runs 3] [--secs 4] [--workers N] [--out FILE]
    python -m bench compare PEER... [-w W1,W2,...] [--runs 2] [--secs 1.5]   # workload by workload, side by side, with ratios
    python -m bench direct                  # load generator + upstream ceiling (no gateway)
    python -m bench count PEER              # requests and connections that reach the upstream per call
    python -m bench flood PEER              # 1 000 registrations in ten seconds: what they do to refreshes, and to the database
    python -m bench scale PEER              # 200 upstreams with 50 tools each, and the same with two of them dead
    python -m bench workers PEER            # one worker process, two on one core, two on two
    python -m bench table FILE...           # markdown tables of the medians, one per workload
    python -m bench compact FILE...         # one row per peer
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from bench.lib import lg, scale, summary, tables, workers
from bench.lib import workloads as W
from bench.lib.harness import BENCH_HOME, GEN_CPU, HERE, SRV_CPU, UPSTREAM_PORT, bearer_of, load_peer, start_aux, start_peer, start_upstream
from bench.lib.measure import Measurement, summarize


def run_peer(a):
    Measurement(a).run()


def run_compare(a):
    """Workload by workload, so that the peers are measured minutes, not half an hour, apart."""
    folder = f"{HERE}/results/compare"
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        os.unlink(f"{folder}/{old}")
    for workload in a.workloads.split(","):
        for peer in a.peers:
            if workload in load_peer(peer)["workloads"]:
                run_peer(argparse.Namespace(**{**vars(a), "peer": peer, "workloads": workload, "workers": 1, "label": None,
                                               "main": True, "out": f"{folder}/{peer}.json"}))
    summary.show([f"{folder}/{peer}.json" for peer in a.peers])


def run_count(a):
    """What one tools/call costs upstream: requests by method and new connections for 20 calls of one session."""
    f = f"{BENCH_HOME}/run/count.log"
    up = start_upstream(extra={"COUNT_FILE": f})
    p = load_peer(a.peer)
    pr, _ = start_peer(p)
    try:
        tok = bearer_of(p)

        def calls(k):
            sid, ver = yield from W.mcp_init(p, tok)
            for i in range(k):
                body = json.dumps({"jsonrpc": "2.0", "id": i + 1, "method": "tools/call",
                                   "params": {"name": p.get("tool", "echo"), "arguments": {"text": "hello perf"}}}).encode()
                st, hd, out = yield W.req("POST", p["mcp_path"], W.host(p), W.mcp_headers(p, tok, sid, ver), body, W.JSON)
                if b"hello perf" not in out:
                    raise W.Fail(f"{st} {out[:200]}")
        lg.once(calls(3), p["port"])
        time.sleep(1)
        open(f, "w").close()
        lg.once(calls(20), p["port"])
        time.sleep(1)
        n = {}
        for line in open(f):
            n[line.strip()] = n.get(line.strip(), 0) + 1
        print(a.peer, "20 calls:", json.dumps(n))
    finally:
        pr.stop()
        up.stop()


def run_flood(a):
    """Refreshes alone, then beside registrations: the ratio of their p99, and what was written for the registrations."""
    p = load_peer(a.peer)
    up = start_upstream() if p.get("needs_upstream") else None
    aux = start_aux(p)
    pr, _ = start_peer(p)
    try:
        body = json.loads(W.register_body(p))
        given = json.dumps({"path": p["register_path"], "body": body}).encode()

        def refreshes():
            lg.wait_quiet(max_wait=a.wait)
            return lg.load(W.w4(p), p["port"], 4, 1, a.secs, a.max_count, pr.pids())

        def flood():
            child = subprocess.Popen([sys.executable, f"{HERE}/lib/flood.py", str(p["port"]), "100", "1000"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            child.stdin.write(given)
            child.stdin.close()
            return child

        alone, child = refreshes(), flood()
        beside = lg.load(W.w4(p), p["port"], 4, 0.5, a.secs, a.max_count, pr.pids())
        print("refreshes alone ", json.dumps(alone))
        print("refreshes beside", json.dumps(beside))
        print("registrations   ", child.stdout.read().decode().strip())
        print(f"p99 beside to alone: {beside['p99_ms'] / alone['p99_ms']:.2f}; p50: {beside['p50_ms'] / alone['p50_ms']:.2f}")
        if p.get("rows"):
            before = p["rows"]()
            flood().wait()
            after = p["rows"]()
            print(f"rows before 1 000 more registrations: {before}; after: {after}")
    finally:
        for x in [pr, *aux, *([up] if up else [])]:
            x.stop()


def run_direct(a):
    """Ceilings: the generator against the bare upstream, upstream on SRV_CPU and then on the generator's CPU."""
    R = {}
    for cpu, tag in ((SRV_CPU, "own core"), (GEN_CPU, "shared with generator")):
        up = start_upstream(cpu)
        p = {"port": UPSTREAM_PORT, "mcp_path": "/mcp"}
        for c in (1, 16, 64):
            rows = []
            for _ in range(a.runs):
                lg.wait_quiet(max_wait=a.wait)
                rows.append(lg.load(W.mcp_loop(p, None, "tools/call"), UPSTREAM_PORT, c, a.warm, a.secs, a.max_count, up.pids()))
            R[f"W5 direct, upstream {tag} c={c}"] = summarize(rows)
            print(c, tag, R[f"W5 direct, upstream {tag} c={c}"], flush=True)
        rows = [lg.load(W.w1(p, "/health"), UPSTREAM_PORT, 32, a.warm, a.secs, a.max_count, up.pids()) for _ in range(a.runs)]
        R[f"W1 GET, upstream {tag} c=32"] = summarize(rows)
        print(32, tag, R[f"W1 GET, upstream {tag} c=32"], flush=True)
        up.stop()
    json.dump({"peer": "direct", "note": "no gateway", "results": R}, open(a.out or f"{HERE}/results/direct.json", "w"), indent=1)


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)
    sub.add_parser("list")
    for n in ("run", "direct", "compare"):
        s = sub.add_parser(n)
        if n == "compare":
            s.add_argument("peers", nargs="+")
            s.add_argument("-w", "--workloads", default="W7,W1,W2,W3,W4,W5,W6")
        if n == "run":
            s.add_argument("peer")
            s.add_argument("-w", "--workloads")
            s.add_argument("--workers", type=int, default=1)
            s.add_argument("--label", help="name of this row in the tables and of the result file (e.g. an environment variant)")
        add_times(s, short=n == "compare")
        s.add_argument("--out")
    sub.add_parser("count").add_argument("peer")
    s = sub.add_parser("flood")
    s.add_argument("peer")
    s.add_argument("--secs", type=float, default=9)
    s.add_argument("--wait", type=float, default=45)
    s.add_argument("--max-count", type=int, default=2_000_000)
    s = sub.add_parser("scale")
    s.add_argument("peer")
    s.add_argument("--upstreams", type=int, default=200)
    s.add_argument("--tools", type=int, default=50, help="of each upstream")
    add_times(s, short=True)
    s = sub.add_parser("workers")
    s.add_argument("peer")
    s.add_argument("-w", "--workloads", default="W1,W3,W4,W5,W6")
    s.add_argument("--share", type=float, help="what part of a core each process gets, for example 0.3 (Linux, root)")
    add_times(s, short=True)
    for n in ("table", "compact", "summary"):
        sub.add_parser(n).add_argument("files", nargs="+")
    return ap.parse_args()


def add_times(s, short):
    s.add_argument("--runs", type=int, default=2 if short else 3)
    s.add_argument("--secs", type=float, default=1.5 if short else 4, help="seconds of one measurement")
    s.add_argument("--warm", type=float, default=0.5 if short else 1, help="seconds before it")
    s.add_argument("--max-count", type=int, default=2_000_000)
    s.add_argument("--noise", type=float, default=12, help="repeat a run when other processes used more than this %% of a CPU")
    s.add_argument("--retries", type=int, default=2 if short else 4, help="how many disturbed runs are repeated")
    s.add_argument("--wait", type=float, default=6 if short else 45, help="seconds to wait at most for a quiet machine before a run")


COMMANDS = {"run": run_peer, "compare": run_compare, "direct": run_direct, "count": run_count, "flood": run_flood, "scale": scale.run,
            "workers": workers.run, "table": tables.table, "compact": tables.compact, "summary": lambda a: summary.show(a.files),
            "list": lambda _a: print("\n".join(sorted(os.listdir(f"{HERE}/peers"))))}


def main():
    a = arguments()
    os.sched_setaffinity(0, {int(GEN_CPU)})
    os.makedirs(f"{HERE}/results", exist_ok=True)
    os.makedirs(f"{BENCH_HOME}/run", exist_ok=True)
    COMMANDS[a.cmd](a)


if __name__ == "__main__":
    main()
