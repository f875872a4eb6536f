"""The short table of `python -m bench compare`: one row per workload, the first file's ratio to the best of the others."""
from __future__ import annotations

import json

ROWS = {  # row -> keys in the results (a peer has one of them), and what the project asks of itself: (peer or None for the best, ratio)
    "W1 metadata c=32": (("W1 metadata c=32",), ("mcpsdk", 1)),
    "W2 register c=16": (("W2 register c=16",), ("mcpsdk", 1)),
    "W3 code flow c=16": (("W3 code flow c=16",), ("oidc", 1)),
    "W4 refresh c=16": (("W4 refresh c=16",), ("oidc", 0.75)),
    "W5 tools/call c=1": (("W5 tools/call c=1",), (None, None)),
    "W5 tools/call c=16": (("W5 tools/call c=16",), (None, 8)),
    "W5m tools/call 2026-07-28 c=16": (("W5m tools/call 2026-07-28 c=16",), (None, 8)),
    "W6 tools/list c=16": (("W6 tools/list c=16",), (None, 5)),
    "W6b bad bearer c=16": (("W6b bad bearer c=16",), ("fastmcp", 1)),
}


def number(v):
    return "-" if v is None else f"{v:,.0f}".replace(",", " ") if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def cell(r):
    if r is None:
        return ""
    if not r.get("rate"):
        return "failed"
    wrong = f", {r['errors']} errors" if r.get("errors") else ""
    return f"{number(r['rate'])} ({number(r.get('p50_ms'))} ms{wrong})"


def find(doc, keys):
    return next((doc["results"][k] for k in keys if k in doc["results"]), None)


def ratio(docs, keys, figure, peer=None):
    """(ours to the peer's or to the best other's, its name), None where one of them is missing."""
    ours, *others = [(d["peer"], (find(d, keys) or {}).get(figure)) for d in docs]
    others = {name: value for name, value in others if value and (peer is None or name == peer or name.startswith(f"{peer}-"))}
    if not ours[1] or not others:
        return None, None
    best = max(others, key=others.get)
    return ours[1] / others[best], best


def words(docs, keys, figure):
    value, best = ratio(docs, keys, figure)
    return f"{value:.2f} × {best}" if value else ""


def asked(docs, keys, goal):
    peer, least = goal
    if not least:
        return ""
    by_rate, by_cpu = (ratio(docs, keys, figure, peer)[0] for figure in ("rate", "per_cpu_s"))
    verdict = "not measured" if not by_rate else f"{'yes' if by_rate >= least else 'no'} ({by_rate:.2f}; {by_cpu or 0:.2f})"
    return f"≥ {least:g} × {peer or 'best'}: {verdict}"


def show(files):
    docs = []
    for name in files:
        try:
            docs.append(json.load(open(name)))
        except FileNotFoundError:
            pass  # nothing of what was asked for applies to this peer
    names = [d["peer"] for d in docs]
    print("\nrequests, flows or calls per second (p50 in ms); one worker pinned to one core\n")
    print(f"| workload | {' | '.join(names)} | to the best | per CPU second | asked (by rate; by CPU) |\n|---|" + "---:|" * len(docs) + "---|---|---|")
    for row, (keys, goal) in ROWS.items():
        found = [find(d, keys) for d in docs]
        if any(found):
            print(f"| {row} | {' | '.join(map(cell, found))} | {words(docs, keys, 'rate')} | {words(docs, keys, 'per_cpu_s')} | {asked(docs, keys, goal)} |")
    starts = [d["results"].get("W7 start") for d in docs]
    if any(starts):
        ours = starts[0] or {}
        for row, key, most in (("W7 start to first 200, s", "start_s", 1.5), ("W7 idle RSS, MB", "idle_rss_mb", 90)):
            mine = ours.get(key)
            others = {n: s[key] for n, s in zip(names[1:], starts[1:]) if s}
            least = min(others, key=others.get, default=None)
            to_best = f"{mine / others[least]:.2f} × {least}" if mine and least else ""
            verdict = "" if mine is None else f"≤ {most:g}: {'yes' if mine <= most else 'no'}"
            print(f"| {row} | {' | '.join(str(s[key]) if s else '' for s in starts)} | {to_best} | | {verdict} |")
    print()
    for d in docs:
        print(f"{d['peer']}: {d['note']}")
