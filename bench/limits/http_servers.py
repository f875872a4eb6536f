"""Requests/s of bare servers on one pinned core, measured with wrk (apt-get install wrk) from the other core.
   usage: python http_servers.py VENV [filter]   -> one JSON line on stdout"""
import json, os, re, signal, statistics, subprocess, sys, time, urllib.request
from bench.lib import lg
V = sys.argv[1]; FILT = sys.argv[2] if len(sys.argv) > 2 else ""; PORT = 18200; HERE = os.path.dirname(os.path.abspath(__file__)); RUNS = 3
uv = lambda *a: [f"{V}/bin/uvicorn", "http_apps:app", "--host", "127.0.0.1", "--port", str(PORT), "--no-access-log", "--log-level", "warning", *a]
gr = lambda i, *a: [f"{V}/bin/granian", "--interface", i, "--host", "127.0.0.1", "--port", str(PORT), "--workers", "1", "--no-access-log", "--log-level", "warning", *a, "http_apps:app"]
U = ("--loop", "uvloop", "--http", "httptools")
C = [("raw ASGI, uvicorn uvloop+httptools", "raw", uv(*U)), ("raw ASGI, uvicorn asyncio+h11", "raw", uv("--loop", "asyncio", "--http", "h11")),
     ("raw ASGI, uvicorn asyncio+httptools", "raw", uv("--loop", "asyncio", "--http", "httptools")),
     ("Starlette, uvicorn uvloop+httptools", "starlette", uv(*U)), ("Starlette + BaseHTTPMiddleware, uvicorn", "starlette-basemw", uv(*U)),
     ("raw ASGI, granian uvloop", "raw", gr("asgi", "--loop", "uvloop")), ("raw ASGI, granian asyncio", "raw", gr("asgi", "--loop", "asyncio")),
     ("raw ASGI, granian rloop", "raw", gr("asgi", "--loop", "rloop")),
     ("raw RSGI, granian uvloop", "rsgi", gr("rsgi", "--loop", "uvloop")), ("Starlette, granian uvloop", "starlette", gr("asgi", "--loop", "uvloop")),
     ("FastAPI, uvicorn uvloop+httptools", "fastapi", uv(*U)), ("FastAPI, granian uvloop", "fastapi", gr("asgi", "--loop", "uvloop")),
     ("Litestar, uvicorn uvloop+httptools", "litestar", uv(*U)), ("BlackSheep, uvicorn uvloop+httptools", "blacksheep", uv(*U)), ("BlackSheep, granian uvloop", "blacksheep", gr("asgi", "--loop", "uvloop")),
     ("Falcon ASGI, uvicorn uvloop+httptools", "falcon", uv(*U)),
     ("POST 110 B echo: raw ASGI, uvicorn uvloop+httptools", "rawpost", uv(*U)), ("POST 110 B echo: raw ASGI, granian uvloop", "rawpost", gr("asgi", "--loop", "uvloop"))]
LUA = os.path.join(HERE, "post.lua")
def wrk(c, d, post):
    o = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{c}", f"-d{d}s", "--latency", *(["-s", LUA] if post else []), f"http://127.0.0.1:{PORT}/"], capture_output=True, text=True).stdout
    m = re.search(r"Requests/sec:\s+([\d.]+)", o); p = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", o)); bad = re.search(r"Non-2xx.*?(\d+)", o)
    return float(m.group(1)) if m else 0, p.get("50"), p.get("99"), int(bad.group(1)) if bad else 0
R = {}
for name, app, cmd in C:
    if FILT and not re.search(FILT, name): continue
    if not os.path.exists(cmd[0]): continue
    e = {**os.environ, "APP": app, "PYTHONPATH": HERE}; e.pop("PYTHONDONTWRITEBYTECODE", None)
    pr = subprocess.Popen(["taskset", "-c", "0", *cmd], env=e, cwd=HERE, stdout=subprocess.DEVNULL, stderr=open(os.path.join(os.environ["BENCH_HOME"], "logs", "limit-http.log"), "ab"), start_new_session=True)
    try:
        ok = False
        for _ in range(100):
            try: ok = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=1).status == 200; break
            except Exception: time.sleep(.1)
            if pr.poll() is not None: break
        if not ok: R[name] = "failed to start"; continue
        wrk(32, 1, "POST" in name); rows, tries = [], 0
        while len(rows) < RUNS and tries < RUNS + 4:
            tries += 1; lg.wait_quiet()
            b, s, t = lg.busy(), lg.cpu_of(lg.tree(pr.pid)), time.perf_counter()
            ru = os.times(); r = wrk(32, 3, "POST" in name); ru2 = os.times()
            w = time.perf_counter() - t; srv = (lg.cpu_of(lg.tree(pr.pid)) - s) / w; kid = (ru2.children_user + ru2.children_system - ru.children_user - ru.children_system) / w
            foreign = (lg.busy() - b) / w - srv - kid
            if foreign < .12 or tries >= RUNS + 2: rows.append((*r, srv, kid))
        rows.sort(); m = rows[len(rows) // 2]
        c1 = sorted(wrk(1, 2, "POST" in name) for _ in range(3))[1]
        R[name] = {"rps_c32": round(m[0]), "us_per_req": round(1e6 / m[0], 1) if m[0] else None, "p50": m[1], "p99": m[2], "bad": m[3], "srv_cpu": round(m[4] * 100), "wrk_cpu": round(m[5] * 100), "rps_c1": round(c1[0]), "rss_mb": lg.rss_mb(lg.tree(pr.pid))[1]}
        print(name, R[name], file=sys.stderr)
    finally:
        for x in lg.tree(pr.pid):
            try: os.kill(x, signal.SIGKILL)
            except OSError: pass
        pr.wait(); time.sleep(.3)
py = subprocess.run([f"{V}/bin/python", "-c", "import sys,importlib.metadata as m;print(sys.version.split()[0]);[print(p,m.version(p)) for p in ('uvicorn','granian','starlette','uvloop','httptools')]"], capture_output=True, text=True).stdout.split("\n")
print(json.dumps({"bench": "http", "python": py[0], "versions": dict(x.split() for x in py[1:] if x), "r": R}))
