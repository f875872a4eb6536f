#!/usr/bin/env python3
"""Side-by-side load bench for OAuth servers and MCP gateways on 127.0.0.1.  See README.md.

    bench.py list
    bench.py run PEER [-w W1,W2,...] [--runs 3] [--secs 4] [--workers N] [--out FILE]
    bench.py compare PEER... [-w W1,W2,...] [--runs 2] [--secs 1.5]   # workload by workload, side by side, with ratios
    bench.py direct                  # load generator + upstream ceiling (no gateway)
    bench.py count PEER              # requests and connections that reach the upstream per call
    bench.py flood PEER              # 1 000 registrations in ten seconds: what they do to refreshes, and to the database
    bench.py table FILE...           # markdown tables of the medians, one per workload
    bench.py compact FILE...         # one row per peer
"""
from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
BENCH_HOME = os.environ.get("BENCH_HOME", os.path.join(os.path.dirname(HERE), ".cache", "bench"))
SRV_CPU = os.environ.get("SRV_CPU", "0")
GEN_CPU = os.environ.get("GEN_CPU", "1")
UPSTREAM_PORT = int(os.environ.get("UPSTREAM_PORT", "18080"))

import lg  # noqa: E402
import summary  # noqa: E402
import workloads as W  # noqa: E402


def env(extra=None):
    e = dict(os.environ)
    e.pop("PYTHONDONTWRITEBYTECODE", None)
    e.update(BENCH_HOME=BENCH_HOME, UPSTREAM_URL=f"http://127.0.0.1:{UPSTREAM_PORT}/mcp", HARNESS=HERE)
    e.update(extra or {})
    return e


class Proc:
    """A pinned child in its own session, its tree killed by pid at the end."""

    def __init__(self, name, cmd, cpu, extra=None, cwd=None):
        os.makedirs(f"{BENCH_HOME}/logs", exist_ok=True)
        self.log = f"{BENCH_HOME}/logs/{name}.log"
        self.t0 = time.perf_counter()
        self.p = subprocess.Popen(["taskset", "-c", cpu, *cmd], stdout=open(self.log, "wb"), stderr=subprocess.STDOUT,
                                  env=env(extra), cwd=cwd or f"{BENCH_HOME}/run", start_new_session=True)

    def pids(self):
        return lg.tree(self.p.pid)

    def stop(self):
        pids = self.pids()
        for s in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, s)
                except OSError:
                    pass
            try:
                self.p.wait(6)
                if not any(os.path.exists(f"/proc/{x}") and x != self.p.pid for x in pids):
                    return
            except subprocess.TimeoutExpired:
                pass


def http_get(port, path, timeout=0.5, headers=""):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Connection: close\r\n\r\n".encode())
            s.settimeout(3)
            d = s.recv(64)
            return int(d.split()[1]) if d.startswith(b"HTTP/") else 0
    except (OSError, ValueError, IndexError):
        return 0


def wait_ready(pr, port, path, limit=120):
    while time.perf_counter() - pr.t0 < limit:
        if http_get(port, path) == 200:
            return time.perf_counter() - pr.t0
        if pr.p.poll() is not None:
            raise RuntimeError(f"server exited {pr.p.returncode}, see {pr.log}:\n" + open(pr.log, errors="replace").read()[-1500:])
        time.sleep(0.005)
    raise RuntimeError(f"not ready in {limit}s, see {pr.log}")


def load_peer(name):
    f = os.path.join(HERE, "peers", name, "peer.py")
    spec = importlib.util.spec_from_file_location(f"peer_{name}", f)
    m = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(m)
    return m.peer(BENCH_HOME, os.path.join(HERE, "peers", name), UPSTREAM_PORT)


def start_upstream():
    up = Proc("upstream", [f"{BENCH_HOME}/venvs/lg/bin/python", f"{HERE}/upstream/echo_upstream.py", str(UPSTREAM_PORT)], GEN_CPU)
    wait_ready(up, UPSTREAM_PORT, "/health", 20)
    return up


def start_peer(p, workers=1):
    cmd = [str(c).replace("{workers}", str(workers)) for c in p["cmd"]]
    cpu = SRV_CPU
    if p.get("before_start"):
        p["before_start"]()
    pr = Proc(p["name"], cmd, cpu, {**p.get("env", {}), "WORKERS": str(workers)}, p.get("cwd"))
    t = wait_ready(pr, p["port"], p["ready_path"], p.get("ready_limit", 120))
    if p.get("after_start"):
        p["after_start"](p)
    return pr, t


def med(rows, key):
    v = [r[key] for r in rows if r.get(key) is not None]
    return statistics.median(v) if v else None


def summarize(rows):
    out = {k: med(rows, k) for k in ("rate", "p50_ms", "p99_ms", "srv_cpu", "lg_cpu", "up_cpu")}
    # what one second of the server's CPU serves: on a machine that others use too, the steadier figure
    served = [100 * r["rate"] / r["srv_cpu"] for r in rows if r.get("rate") and r.get("srv_cpu")]
    out["per_cpu_s"] = round(statistics.median(served), 1) if served else None
    out["runs"] = [r.get("rate") for r in rows]
    out["foreign_cpu"] = max((r.get("foreign_cpu", 0) for r in rows), default=0)
    out["errors"] = sum(r["errors"] for r in rows)
    for k in ("exception", "first_error", "hops"):
        for r in rows:
            if r.get(k):
                out[k] = r[k]
                break
    return {k: v for k, v in out.items() if v is not None}


def run_peer(a):
    p = load_peer(a.peer)
    p.setdefault("name", a.peer)
    p["name"] = a.label or p["name"]
    only = getattr(a, "main", False)

    def conc(*numbers):
        """`compare` measures the last of them only (of W5 c=1 too, for its latency)."""
        return numbers[-1:] if only else numbers

    want = a.workloads.split(",") if a.workloads else list(p["workloads"])
    want = [w for w in want if w in p["workloads"]]
    res = {"peer": p["name"], "note": p.get("note", ""), "date": time.strftime("%F %T"), "workers": a.workers, "results": {}}
    R = res["results"]

    def say(key, v):
        R[key] = v
        print(f"  {p['name']:14s} {key:22s} {json.dumps(v)}", flush=True)

    up = start_upstream() if p.get("needs_upstream") or "W5" in want else None
    aux = [Proc(f"{p['name']}-aux{i}", c, GEN_CPU, p.get("env")) for i, c in enumerate(p.get("aux", []))]
    pr = None
    try:
        if "W7" in want:
            ts, rss = [], []
            for i in range(a.runs + 1):
                lg.wait_quiet(max_wait=a.wait)
                pr, t = start_peer(p, a.workers)
                time.sleep(2)
                r = lg.rss_mb(pr.pids())
                pr.stop()
                if i:  # the first start only warms the page and bytecode caches
                    ts.append(t), rss.append(r)
            say("W7 start", {"start_s": round(statistics.median(ts), 2), "idle_rss_mb": statistics.median(x[0] for x in rss),
                             "idle_pss_mb": statistics.median(x[1] for x in rss), "runs": [round(t, 2) for t in ts]})
            pr = None

        def sess():
            nonlocal pr
            if pr is not None:
                pr.stop()
            pr, _ = start_peer(p, a.workers)
            return pr.pids()

        last = {"rate": None}

        def series(key, mk, users, fresh=False, after=None):
            """`runs` loads of the same kind; mk() -> flow factory."""
            rows, noisy = [], []
            slow = last["rate"] is not None and last["rate"] < 300 and users > 1 and not only  # seconds per call: needs a longer window
            warm, secs = (max(a.warm, 1.5), max(a.secs, 6)) if slow else (a.warm, a.secs)
            while len(rows) < a.runs and len(noisy) < a.retries + a.runs:
                if fresh or pr is None:
                    sess()
                lg.wait_quiet(max_wait=a.wait)
                pids = pr.pids()
                gc.collect()
                try:
                    r = lg.load(mk(), p["port"], users, warm, secs, a.max_count, pids, up.pids() if up else ())
                    if r.get("n", 0) < 2 * users and not r["errors"] and not r.get("exception"):  # too slow for this window
                        r = lg.load(mk(), p["port"], users, warm, max(4 * secs, 6), a.max_count, pids, up.pids() if up else ())
                except Exception as e:
                    r = {"errors": 1, "exception": repr(e)[:300]}
                if after:
                    r.update(after())
                if r.get("exception") and not r.get("rate"):
                    rows.append(r)
                    break
                # a run that shared the CPUs with somebody else is measured again
                (rows if r.get("foreign_cpu", 0) <= a.noise else noisy).append(r)
            if len(rows) < a.runs and noisy:
                rows += sorted(noisy, key=lambda r: r["foreign_cpu"])[:a.runs - len(rows)]
            s = summarize(rows)
            if pr is not None:
                s["rss_after_mb"] = lg.rss_mb(pr.pids())[0]
            last["rate"] = s.get("rate")
            say(key, s)

        def bearer():
            if callable(p.get("bearer")):
                return p["bearer"](p)
            if p.get("bearer"):
                return p["bearer"]
            _, tok, _ = lg.once(W.one_flow(p), p["port"])
            return tok["access_token"]

        def guarded(fn):
            try:
                fn()
            except Exception as e:
                print(f"  {p['name']}: {fn.__name__} FAILED: {e!r}"[:500], flush=True)
                R[f"{fn.__name__.upper()} failed"] = {"errors": 1, "exception": repr(e)[:500]}

        if "W1" in want:
            sess()
            for c in conc(1, 32):
                series(f"W1 metadata c={c}", lambda: W.w1(p), c)
        if "W2" in want:
            sess()
            series("W2 register c=16", lambda: W.w2(p), 16, fresh=True)
        if "W3" in want:
            sess()
            for c in conc(1, 16):
                stat = {}
                cl = {}

                def mk3():
                    cl["c"] = lg.once(W.register(p), p["port"])
                    return W.w3(p, cl["c"], stat)
                series(f"W3 code flow c={c}", mk3, c, fresh=True, after=lambda: dict(stat))
        if "W4" in want:
            sess()
            for c in conc(1, 16):
                series(f"W4 refresh c={c}", lambda: W.w4(p), c, fresh=True)
        def w6():
            sess()
            tok = bearer()
            if p.get("w6_get"):
                series("W6 bearer GET c=16", lambda: W.bearer_get(p, p["w6_get"], tok), 16)
                series("W6b bad bearer c=16", lambda: W.bearer_get(p, p["w6_get"], "bad-token-0123456789", (401, 403)), 16)
            else:
                for c in conc(1, 16):
                    series(f"W6 tools/list c={c}", lambda: W.mcp_loop(p, tok, "tools/list"), c)
                if p.get("modern") and not only:
                    series("W6m tools/list 2026-07-28 c=16", lambda: W.mcp_loop(p, tok, "tools/list", era="modern"), 16)
                if tok:
                    series("W6b bad bearer c=16", lambda: W.w6_bad(p), 16)

        def w5():
            sess()
            tok = bearer()
            for c in (1, 16) if only else (1, 16, 64):
                series(f"W5 tools/call c={c}", lambda: W.mcp_loop(p, tok, "tools/call", p.get("tool", "echo")), c)
            if p.get("modern"):
                for c in conc(1, 16):
                    series(f"W5m tools/call 2026-07-28 c={c}",
                           lambda: W.mcp_loop(p, tok, "tools/call", p.get("tool", "echo"), era="modern"), c)

        if "W6" in want:
            guarded(w6)
        if "W5" in want:
            guarded(w5)
    finally:
        if pr is not None:
            pr.stop()
        for x in [*aux, *([up] if up else [])]:
            x.stop()
        out = a.out or f"{HERE}/results/{p['name']}{'' if a.workers == 1 else f'-w{a.workers}'}.json"
        if os.path.exists(out) and a.workloads:
            old = json.load(open(out))
            old["results"].update(R)
            res = old
        json.dump(res, open(out, "w"), indent=1)
        print("wrote", out)


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
    up = Proc("upstream", [f"{BENCH_HOME}/venvs/lg/bin/python", f"{HERE}/upstream/echo_upstream.py", str(UPSTREAM_PORT)], GEN_CPU, {"COUNT_FILE": f})
    time.sleep(0.7)
    p = load_peer(a.peer)
    pr, _ = start_peer(p)
    try:
        tok = p["bearer"](p) if callable(p.get("bearer")) else p.get("bearer") or lg.once(W.one_flow(p), p["port"])[1]["access_token"]

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
    aux = [Proc(f"{p['name']}-aux{i}", c, GEN_CPU, p.get("env")) for i, c in enumerate(p.get("aux", []))]
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
        up = Proc("upstream", [f"{BENCH_HOME}/venvs/lg/bin/python", f"{HERE}/upstream/echo_upstream.py", str(UPSTREAM_PORT)], cpu)
        wait_ready(up, UPSTREAM_PORT, "/health", 20)
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


def table(a):
    docs = [json.load(open(f)) for f in a.files]
    keys = []
    for d in docs:
        for k in d["results"]:
            if k not in keys and not k.startswith("W7"):
                keys.append(k)
    order = sorted(keys, key=lambda k: (k.split()[0].rstrip("mb"), k.split(" c=")[0], int(k.rsplit("=", 1)[-1]) if "=" in k else 0))
    for k in order:
        print(f"\n**{k}**\n\n| peer | rate/s | p50 ms | p99 ms | server CPU % | generator CPU % | errors | RSS after MB |\n|---|---:|---:|---:|---:|---:|---:|---:|")
        rows = [(d, d["results"][k]) for d in docs if k in d["results"]]
        for d, r in sorted(rows, key=lambda x: -(x[1].get("rate") or 0)):
            print(f"| {d['peer']}{'' if d.get('workers', 1) == 1 else ' x%d' % d['workers']} | {r.get('rate', '-')} | {r.get('p50_ms', '-')} | {r.get('p99_ms', '-')} | {r.get('srv_cpu', '-')} | {r.get('lg_cpu', '-')}{'+%d' % r['up_cpu'] if r.get('up_cpu') else ''} | {r.get('errors', '-')} | {r.get('rss_after_mb', '-')} |")
    print("\n**W7 start-up and idle memory**\n\n| peer | start to first 200, s | idle RSS MB | idle PSS MB |\n|---|---:|---:|---:|")
    for d in docs:
        r = d["results"].get("W7 start")
        if r:
            print(f"| {d['peer']}{'' if d.get('workers', 1) == 1 else ' x%d' % d['workers']} | {r['start_s']} | {r['idle_rss_mb']} | {r['idle_pss_mb']} |")


COMPACT = [("W1 c=1", "W1 metadata c=1"), ("W1 c=32", "W1 metadata c=32"), ("W2 c=16", "W2 register c=16"), ("W3 c=1", "W3 code flow c=1"), ("W3 c=16", "W3 code flow c=16"),
           ("W4 c=16", "W4 refresh c=16"), ("W5 c=1", "W5 tools/call c=1"), ("W5 c=16", "W5 tools/call c=16"), ("W5 c=64", "W5 tools/call c=64"),
           ("W5m c=16", "W5m tools/call 2026-07-28 c=16"), ("W6 c=16", ("W6 tools/list c=16", "W6 bearer GET c=16")), ("W6b c=16", "W6b bad bearer c=16")]


def compact(a):
    """One row per peer: rate/s and, in brackets, p50/p99 in ms."""
    print("| peer | " + " | ".join(c for c, _ in COMPACT) + " | W7 start s | idle PSS MB |\n|---|" + "---:|" * (len(COMPACT) + 2))
    f = lambda v: "-" if v is None else f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"
    for n in a.files:
        d = json.load(open(n))
        row = []
        for _, ks in COMPACT:
            r = next((d["results"][k] for k in ([ks] if isinstance(ks, str) else ks) if k in d["results"]), None)
            row.append("" if r is None else "failed" if not r.get("rate") else f"{f(r['rate'])} ({f(r.get('p50_ms'))}/{f(r.get('p99_ms'))})")
        w7 = d["results"].get("W7 start", {})
        print(f"| {d['peer']}{'' if d.get('workers', 1) == 1 else ' x%d' % d['workers']} | " + " | ".join(row) + f" | {w7.get('start_s', '')} | {w7.get('idle_pss_mb', '')} |")


def main():
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
        short = n == "compare"
        s.add_argument("--runs", type=int, default=2 if short else 3)
        s.add_argument("--secs", type=float, default=1.5 if short else 4, help="seconds of one measurement")
        s.add_argument("--warm", type=float, default=0.5 if short else 1, help="seconds before it")
        s.add_argument("--max-count", type=int, default=2_000_000)
        s.add_argument("--noise", type=float, default=12, help="repeat a run when other processes used more than this %% of a CPU")
        s.add_argument("--retries", type=int, default=2 if short else 4, help="how many disturbed runs are repeated")
        s.add_argument("--wait", type=float, default=6 if short else 45, help="seconds to wait at most for a quiet machine before a run")
        s.add_argument("--out")
    sub.add_parser("count").add_argument("peer")
    s = sub.add_parser("flood")
    s.add_argument("peer")
    s.add_argument("--secs", type=float, default=9)
    s.add_argument("--wait", type=float, default=45)
    s.add_argument("--max-count", type=int, default=2_000_000)
    for n in ("table", "compact", "summary"):
        sub.add_parser(n).add_argument("files", nargs="+")
    a = ap.parse_args()
    os.sched_setaffinity(0, {int(GEN_CPU)})
    os.makedirs(f"{HERE}/results", exist_ok=True)
    os.makedirs(f"{BENCH_HOME}/run", exist_ok=True)
    if a.cmd == "list":
        print("\n".join(sorted(os.listdir(f"{HERE}/peers"))))
    elif a.cmd == "run":
        run_peer(a)
    elif a.cmd == "direct":
        run_direct(a)
    elif a.cmd == "compare":
        run_compare(a)
    elif a.cmd == "summary":
        summary.show(a.files)
    elif a.cmd == "count":
        run_count(a)
    elif a.cmd == "flood":
        run_flood(a)
    elif a.cmd == "compact":
        compact(a)
    else:
        table(a)


if __name__ == "__main__":
    main()
