"""The official MCP conformance suite (npm @modelcontextprotocol/conformance) with its person played.

    conformance.py as     http://127.0.0.1:8080/mcp
    conformance.py server http://127.0.0.1:8080/mcp [--token TOKEN] [-- --requirements 2026-07-28]
    conformance.py client --command "COMMAND" [-- --suite auth]

as      registers a client at the server's own registration endpoint, runs every authorization-server scenario
        and signs in at the URL the suite prints.
server  signs in first, then runs the server scenarios through a proxy that adds the bearer, since the suite
        has no option for one.
client  the suite's own servers against a client: here, the gateway's own code that signs in to upstreams.
Everything after `--` goes to the suite. Exit status is the suite's.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import socket
import subprocess
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx2

from authlib_client import discover, register
from autobrowser import approve

HERE = pathlib.Path(__file__).resolve().parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def _register(url: str, redirect_uri: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        resource, server = await discover(http, url)
        # the suite presents no secret where the server advertises `none`, whatever the client registered
        methods = server["token_endpoint_auth_methods_supported"]
        method = "none" if "none" in methods else "client_secret_post"
        scope = " ".join(resource["scopes_supported"])
        client = await register(
            http, server, name="conformance", redirect_uri=redirect_uri, auth_method=method, scope=scope
        )
        return resource, server, client


def authorization_server(args: argparse.Namespace) -> int:
    port = free_port()
    resource, server, client = asyncio.run(_register(args.url, f"http://127.0.0.1:{port}/callback"))
    command = ["conformance", "authorization", "--url", server["issuer"], "--resource", resource["resource"]]
    command += ["--client-id", client["client_id"], "-p", str(port), *args.rest]
    if client.get("client_secret"):
        command += ["--client-secret", client["client_secret"]]
    suite = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert suite.stdout is not None
    people: list[threading.Thread] = []
    for line in suite.stdout:
        print(line, end="", flush=True)
        if line.startswith(server["authorization_endpoint"]):
            people.append(threading.Thread(target=approve, args=(line.strip(),)))
            people[-1].start()
    for person in people:
        person.join()
    return suite.wait()


def server(args: argparse.Namespace) -> int:
    token = args.token or subprocess.run(
        [sys.executable, str(HERE / "authlib_client.py"), args.url, "--print-token"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    parts = urlsplit(args.url)
    port, base = free_port(), f"{parts.scheme}://{parts.netloc}"
    command = [sys.executable, str(HERE / "bearer_proxy.py"), base, "--port", str(port), "--token", token]
    proxy = subprocess.Popen(command)
    try:
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        return subprocess.run(
            ["conformance", "server", "--url", f"http://127.0.0.1:{port}{parts.path}", *args.rest], check=False
        ).returncode
    finally:
        proxy.terminate()
        proxy.wait()


def client(args: argparse.Namespace) -> int:
    return subprocess.run(["conformance", "client", "--command", args.command, *args.rest], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser()
    what = parser.add_subparsers(dest="what", required=True)
    for name, function in (("as", authorization_server), ("server", server), ("client", client)):
        sub = what.add_parser(name)
        sub.set_defaults(function=function)
        if name == "client":
            sub.add_argument("--command", required=True)
        else:
            sub.add_argument("url")
        if name == "server":
            sub.add_argument("--token")
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:cut])
    args.rest = argv[cut + 1 :]
    return int(args.function(args))


if __name__ == "__main__":
    sys.exit(main())
