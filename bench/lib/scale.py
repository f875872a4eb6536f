"""Many upstreams with many tools: how long a start, a list and a call take, and what those cost that do not answer."""
from __future__ import annotations

import argparse
import json
import time

from bench.lib import lg
import orjson
from bench.lib import workloads as W
from bench.lib.harness import GEN_CPU, HERE, LG_PYTHON, Proc, bearer_of, load_peer, start_peer, wait_ready
from bench.lib.measure import summarize

FIRST_PORT, SILENT_PORT, REFUSING_PORT = 19_000, 18_998, 18_999
WHOLE_LIST_SECONDS = 60


def names(count):
    return [f"u{n:03}" for n in range(count)]


def upstreams(a, dead):
    """Port by name. With `dead`, the first refuses connections and the one in the middle takes them and never answers."""
    ports = {name: FIRST_PORT + n for n, name in enumerate(names(a.upstreams))}
    if dead:
        ports[names(a.upstreams)[0]] = REFUSING_PORT
        ports[names(a.upstreams)[a.upstreams // 2]] = SILENT_PORT
    return ports


def walk(p, tok):
    """Flow: the whole list, page by page. Returns (tools, pages, bytes)."""
    tools = pages = size = 0
    cursor = None
    while True:
        params = {"cursor": cursor, "_meta": W.META} if cursor else {"_meta": W.META}
        body = orjson.dumps({"jsonrpc": "2.0", "id": pages, "method": "tools/list", "params": params})
        headers = W.mcp_headers(p, tok, None, "2026-07-28") + [("Mcp-Method", "tools/list")]
        st, _, raw = yield W.req("POST", p["mcp_path"], W.host(p), headers, body, W.JSON)
        result = orjson.loads(raw).get("result")
        if st != 200 or result is None:
            raise W.Fail(f"{st} {raw[:200]}")
        tools, pages, size = tools + len(result["tools"]), pages + 1, size + len(raw)
        cursor = result.get("nextCursor")
        if not cursor:
            return tools, pages, size


def walks(p, tok, expected):
    def mk(u, _i):
        while u.begin():
            tools, _, _ = yield from walk(p, tok)
            u.end(tools == expected, tools)
    return mk


def whole(p, tok, expected, since):
    """Until the first list with everything in it: (its seconds after `since`, seconds of the first list, pages, bytes)."""
    first = None
    while time.perf_counter() - since < WHOLE_LIST_SECONDS:
        began = time.perf_counter()
        tools, pages, size = lg.once(walk(p, tok), p["port"])
        first = first or time.perf_counter() - began
        if tools >= expected:
            return time.perf_counter() - since, first, pages, size
        time.sleep(0.05)
    raise RuntimeError(f"only {tools} of {expected} tools were listed in {WHOLE_LIST_SECONDS} s")


def measured(a, dead):
    """One start of the gateway and everything that is measured of it."""
    p = load_peer(a.peer, name=f"{a.peer}-scale", port=18_207, upstreams=upstreams(a, dead))
    last = names(a.upstreams)[-1]
    expected = (a.upstreams - 2 * dead) * a.tools
    pr, started = start_peer(p)
    try:
        tok = p.get("key") or bearer_of(p)
        listed, first, pages, size = whole(p, tok, expected, pr.t0)
        out = {"start_s": round(started, 2), "first_list_s": round(first, 2), "whole_list_after_s": round(listed, 2),
               "tools": expected, "pages": pages, "megabytes": round(size / 1e6, 1), "rss_mb": lg.rss_mb(pr.pids())[0]}

        def loads(key, make, users):
            rows = []
            for _ in range(a.runs):
                lg.wait_quiet(max_wait=a.wait)
                rows.append(lg.load(make, p["port"], users, a.warm, a.secs, 2_000_000, pr.pids()))
            s = summarize(rows)
            s["cpu_ms"] = round(1000 / s["per_cpu_s"], 2) if s.get("per_cpu_s") else None
            out[key] = s
            print(f"  {'two dead' if dead else 'all alive'}  {key:28s} {json.dumps(s)}", flush=True)

        loads("one page of the list c=1", W.mcp_loop(p, tok, "tools/list", era="modern"), 1)
        loads("the whole list c=1", walks(p, tok, expected), 1)
        loads("one upstream's list c=1", W.mcp_loop({**p, "mcp_path": f"/mcp/{last}"}, tok, "tools/list", era="modern"), 1)
        loads("tools/call c=1", W.mcp_loop(p, tok, "tools/call", f"{last}-echo", era="modern"), 1)
        loads("tools/call c=16", W.mcp_loop(p, tok, "tools/call", f"{last}-echo", era="modern"), 16)
        out["rss_after_mb"] = lg.rss_mb(pr.pids())[0]
        return out
    finally:
        pr.stop()


def table(a, alive, dead):
    print(f"\n{a.upstreams} upstreams with {a.tools} tools each: {alive['tools']} tools on {alive['pages']} pages, {alive['megabytes']} MB\n")
    print("| | all answer | one refuses, one hangs | ratio |\n|---|---:|---:|---:|")
    for key, words in (("start_s", "start to the first 200, s"), ("first_list_s", "the first whole list, s"),
                       ("whole_list_after_s", "start to a list with everything in it, s"), ("rss_after_mb", "memory, MB")):
        print(f"| {words} | {alive[key]} | {dead[key]} | {dead[key] / alive[key]:.2f} |")
    for key in (key for key in alive if key.endswith(("c=1", "c=16"))):
        for figure, words in (("p50_ms", "p50, ms"), ("cpu_ms", "CPU of the gateway, ms")):
            x, y = alive[key].get(figure), dead[key].get(figure)
            print(f"| {key}: {words} | {x} | {y} | {y / x:.2f} |" if x and y else f"| {key}: {words} | {x} | {y} | |")


def run(a: argparse.Namespace):
    command = [LG_PYTHON, f"{HERE}/upstream/echo_upstream.py", str(FIRST_PORT), "--ports", str(a.upstreams), "--tools", str(a.tools),
               "--silent", str(SILENT_PORT)]
    up = Proc("many-upstreams", command, GEN_CPU)
    try:
        wait_ready(up, FIRST_PORT + a.upstreams - 1, "/health", 20)
        alive, dead = (measured(a, dead) for dead in (False, True))
    finally:
        up.stop()
    json.dump({"peer": a.peer, "alive": alive, "dead": dead}, open(f"{HERE}/results/scale.json", "w"), indent=1)
    table(a, alive, dead)
