"""Workloads of one peer, each measured several times, and the medians of what came out."""
from __future__ import annotations

import gc
import json
import os
import statistics
import time

from bench.lib import lg
from bench.lib import workloads as W
from bench.lib.harness import HERE, SRV_CPU, bearer_of, load_peer, start_aux, start_peer, start_upstream

SLOW_RATE = 300  # a peer below it needs a longer window


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


class Measurement:
    """One peer and its upstream, and the results so far. `a` is what was asked for on the command line."""

    def __init__(self, a):
        self.a = a
        self.p = load_peer(a.peer)
        self.p["name"] = a.label or self.p.get("name", a.peer)
        self.short = getattr(a, "main", False)  # `compare` measures the highest concurrency only
        self.cpu = SRV_CPU
        self.shares = None  # or what part of a core each process of the server gets
        self.server = None
        self.up = None
        self.aux = []
        self.last_rate = None
        self.results = {}

    def run(self):
        wanted = self.a.workloads.split(",") if self.a.workloads else self.p["workloads"]
        try:
            self.up = start_upstream() if self.p.get("needs_upstream") or "W5" in wanted else None
            self.aux = start_aux(self.p)
            for name, work in WORKLOADS.items():
                if name in wanted and name in self.p["workloads"]:
                    self.guarded(name, work)
        finally:
            self.stop()
            for x in (*self.aux, self.up):
                if x is not None:
                    x.stop()
            self.write()

    def guarded(self, name, work):
        """One workload that fails does not cost the others."""
        try:
            work(self)
        except Exception as e:
            print(f"  {self.p['name']}: {name} FAILED: {e!r}"[:500], flush=True)
            self.results[f"{name} failed"] = {"errors": 1, "exception": repr(e)[:500]}

    def write(self):
        a, name = self.a, self.p["name"]
        res = {"peer": name, "note": self.p.get("note", ""), "date": time.strftime("%F %T"), "workers": a.workers, "results": self.results}
        out = a.out or f"{HERE}/results/{name}{'' if a.workers == 1 else f'-w{a.workers}'}.json"
        if os.path.exists(out) and a.workloads:
            old = json.load(open(out))
            old["results"].update(self.results)
            res = old
        json.dump(res, open(out, "w"), indent=1)
        print("wrote", out)

    def say(self, key, value):
        self.results[key] = value
        print(f"  {self.p['name']:14s} {key:22s} {json.dumps(value)}", flush=True)

    def conc(self, *numbers):
        return numbers[-1:] if self.short else numbers

    def restart(self):
        self.stop()
        self.server, seconds = start_peer(self.p, self.a.workers, self.cpu)
        if self.shares is not None:
            self.shares.hold(self.server.pids())
        return seconds

    def stop(self):
        if self.server is not None:
            self.server.stop()
        if self.shares is not None:
            self.shares.release()
        self.server = None

    def series(self, key, make, users, fresh=False, after=None):
        """`runs` loads of the same kind; make() -> flow factory; `fresh` starts the server anew for each."""
        rows, noisy = [], []
        while len(rows) < self.a.runs and len(noisy) < self.a.retries + self.a.runs:
            if fresh or self.server is None:
                self.restart()
            lg.wait_quiet(max_wait=self.a.wait)
            gc.collect()
            r = self.load(make, users)
            if after:
                r.update(after())
            if r.get("exception") and not r.get("rate"):
                rows.append(r)
                break
            # a run that shared the CPUs with somebody else is measured again
            (rows if r.get("foreign_cpu", 0) <= self.a.noise else noisy).append(r)
        if len(rows) < self.a.runs and noisy:
            rows += sorted(noisy, key=lambda r: r["foreign_cpu"])[:self.a.runs - len(rows)]
        s = summarize(rows)
        s["rss_after_mb"] = lg.rss_mb(self.server.pids())[0]
        self.last_rate = s.get("rate")
        self.say(key, s)

    def load(self, make, users):
        a = self.a
        slow = self.last_rate is not None and self.last_rate < SLOW_RATE and users > 1 and not self.short
        warm, secs = (max(a.warm, 1.5), max(a.secs, 6)) if slow else (a.warm, a.secs)

        def once(secs):
            return lg.load(make(), self.p["port"], users, warm, secs, a.max_count, self.server.pids(), self.up.pids() if self.up else ())
        try:
            r = once(secs)
            if r.get("n", 0) < 2 * users and not r["errors"] and not r.get("exception"):  # too slow for this window
                r = once(max(4 * secs, 6))
        except Exception as e:
            r = {"errors": 1, "exception": repr(e)[:300]}
        return r

    # ---- workloads --------------------------------------------------------------------------------------------------

    def w7(self):
        starts, memory = [], []
        for i in range(self.a.runs + 1):
            lg.wait_quiet(max_wait=self.a.wait)
            seconds = self.restart()
            time.sleep(2)
            if i:  # the first start only warms the page and bytecode caches
                starts.append(seconds), memory.append(lg.rss_mb(self.server.pids()))
        self.stop()
        self.say("W7 start", {"start_s": round(statistics.median(starts), 2), "idle_rss_mb": statistics.median(x[0] for x in memory),
                              "idle_pss_mb": statistics.median(x[1] for x in memory), "runs": [round(t, 2) for t in starts]})

    def w1(self):
        self.restart()
        for c in self.conc(1, 32):
            self.series(f"W1 metadata c={c}", lambda: W.w1(self.p), c)

    def w2(self):
        self.series("W2 register c=16", lambda: W.w2(self.p), 16, fresh=True)

    def w3(self):
        for c in self.conc(1, 16):
            stat = {}
            self.series(f"W3 code flow c={c}", lambda: W.w3(self.p, lg.once(W.register(self.p), self.p["port"]), stat), c,
                        fresh=True, after=lambda: dict(stat))

    def w4(self):
        for c in self.conc(1, 16):
            self.series(f"W4 refresh c={c}", lambda: W.w4(self.p), c, fresh=True)

    def w6(self):
        self.restart()
        p, tok = self.p, bearer_of(self.p)
        if p.get("w6_get"):
            self.series("W6 bearer GET c=16", lambda: W.bearer_get(p, p["w6_get"], tok), 16)
            self.series("W6b bad bearer c=16", lambda: W.bearer_get(p, p["w6_get"], "bad-token-0123456789", (401, 403)), 16)
            return
        for c in self.conc(1, 16):
            self.series(f"W6 tools/list c={c}", lambda: W.mcp_loop(p, tok, "tools/list"), c)
        if p.get("modern") and not self.short:
            self.series("W6m tools/list 2026-07-28 c=16", lambda: W.mcp_loop(p, tok, "tools/list", era="modern"), 16)
        if tok:
            self.series("W6b bad bearer c=16", lambda: W.w6_bad(p), 16)

    def w5(self):
        self.restart()
        p, tok = self.p, bearer_of(self.p)
        tool = p.get("tool", "echo")
        for c in (1, 16) if self.short else (1, 16, 64):  # c=1 for its latency
            self.series(f"W5 tools/call c={c}", lambda: W.mcp_loop(p, tok, "tools/call", tool), c)
        if p.get("modern"):
            for c in self.conc(1, 16):
                self.series(f"W5m tools/call 2026-07-28 c={c}", lambda: W.mcp_loop(p, tok, "tools/call", tool, era="modern"), c)


WORKLOADS = {"W7": Measurement.w7, "W1": Measurement.w1, "W2": Measurement.w2, "W3": Measurement.w3, "W4": Measurement.w4,
             "W6": Measurement.w6, "W5": Measurement.w5}
