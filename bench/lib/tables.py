"""Markdown of result files: `table` has one table per workload, `compact` one row per peer."""
from __future__ import annotations

import json


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
