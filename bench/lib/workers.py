"""What a second worker process adds, said by CPU time: on two cores the generator takes from the second worker.

What a CPU second serves with two workers, to what it serves with one, is what is lost by being two (locks, invalidation,
what each has to read for itself); twice that ratio is what two workers on cores of their own would serve.

With `--share` every process gets that part of a core instead, so that the generator has what it needs beside two of them:
then the rates themselves show how much two workers serve more than one.
"""
from __future__ import annotations

import argparse
import os

from bench.lib.harness import GEN_CPU, HERE, SRV_CPU
from bench.lib.measure import Measurement
from bench.lib.share import Shares

LAYOUTS = ((1, SRV_CPU, "one worker"), (2, SRV_CPU, "two on one core"), (2, f"{SRV_CPU},{GEN_CPU}", "two on two cores"))


def measured(a, count, cpu, shares=None):
    out = f"{HERE}/results/{a.peer}-workers-{count}-{cpu.replace(',', '+')}.json"
    if os.path.exists(out):
        os.unlink(out)
    m = Measurement(argparse.Namespace(**vars(a), workers=count, label=None, main=True, out=out))
    m.cpu, m.shares = cpu, shares
    m.run()
    return m.results


def run(a: argparse.Namespace):
    if a.share:
        run_shares(a)
    else:
        run_pinned(a)


def run_shares(a):
    both = f"{SRV_CPU},{GEN_CPU}"
    one, two = (measured(a, count, both, Shares(a.share)) for count in (1, 2))
    print(f"\n| a second, {a.share:.0%} of a core for each process | one worker | two | ratio |\n|---|---:|---:|---:|")
    for key in one:
        rates = [results.get(key, {}).get("rate") or 0 for results in (one, two)]
        print(f"| {key} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[1] / rates[0] if rates[0] else 0:.2f} |")


def run_pinned(a):
    found = {words: measured(a, count, cpu) for count, cpu, words in LAYOUTS}
    alone = found["one worker"]
    print("\n| a second | " + " | ".join(found) + " | kept by two on one core | by two on two |\n|---|" + "---:|" * 5)
    for key, one in alone.items():
        rows = [results.get(key, {}) for results in found.values()]
        kept = [f"{row['per_cpu_s'] / one['per_cpu_s']:.2f}" if row.get("per_cpu_s") and one.get("per_cpu_s") else "" for row in rows]
        rates = [f"{row.get('rate') or 0:.0f}" for row in rows]
        print(f"| {key} | {' | '.join(rates)} | {kept[1]} | {kept[2]} |")


