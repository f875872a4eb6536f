"""Servers under measurement: started on CPUs of their own, waited for, and ended with all their children."""
from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time

from bench.lib import lg
from bench.lib import workloads as W

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH_HOME = os.environ.get("BENCH_HOME", os.path.join(os.path.dirname(HERE), ".cache", "bench"))
SRV_CPU = os.environ.get("SRV_CPU", "0")
GEN_CPU = os.environ.get("GEN_CPU", "1")
UPSTREAM_PORT = int(os.environ.get("UPSTREAM_PORT", "18080"))
LG_PYTHON = f"{BENCH_HOME}/venvs/lg/bin/python"


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


def peer_module(peer):
    """peers/<name>/peer.py, whose folder need not be a name of Python."""
    spec = importlib.util.spec_from_file_location(f"peer_{peer}", os.path.join(HERE, "peers", peer, "peer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_peer(peer, /, **more):
    """What a peer says of itself; `more` for those that can be had in variants."""
    return peer_module(peer).peer(BENCH_HOME, os.path.join(HERE, "peers", peer), UPSTREAM_PORT, **more)


def start_upstream(cpu=GEN_CPU, extra=None):
    up = Proc("upstream", [LG_PYTHON, f"{HERE}/upstream/echo_upstream.py", str(UPSTREAM_PORT)], cpu, extra)
    wait_ready(up, UPSTREAM_PORT, "/health", 20)
    return up


def start_aux(p):
    return [Proc(f"{p['name']}-aux{i}", c, GEN_CPU, p.get("env")) for i, c in enumerate(p.get("aux", []))]


def start_peer(p, workers=1, cpu=SRV_CPU):
    cmd = [str(c).replace("{workers}", str(workers)) for c in p["cmd"]]
    if p.get("before_start"):
        p["before_start"]()
    pr = Proc(p["name"], cmd, cpu, {**p.get("env", {}), "WORKERS": str(workers)}, p.get("cwd"))
    t = wait_ready(pr, p["port"], p["ready_path"], p.get("ready_limit", 120))
    if p.get("after_start"):
        p["after_start"](p)
    return pr, t


def bearer_of(p):
    """What the peer takes as a credential at its MCP endpoint: its own, or an access token from one sign-in."""
    if callable(p.get("bearer")):
        return p["bearer"](p)
    return p.get("bearer") or lg.once(W.one_flow(p), p["port"])[1]["access_token"]
