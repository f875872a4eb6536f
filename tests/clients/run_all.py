"""Runs the real clients of `peers.toml` one after another and says how each ended; `run_all.sh` is the way in.

    run_all.py URL TOOL [NAME...]

Prints `ok NAME` or `FAILED NAME` with the end of the client's output and the pages its browser passed. Each client
gets a home of its own and nothing of the caller's environment but AUTOBROWSER_… and CHROMIUM.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from engines import find_chromium

HERE = Path(__file__).resolve().parent
CLIENT_SECONDS = 100
VENVS = {"mcp_sdk_1_client.py": "mcp-1.20"}
"""The virtual environment of a driver whose library cannot be beside the others."""


def command(words: list[str], installed: Path) -> list[str]:
    driver, *arguments = words
    if driver.endswith(".py"):
        return [f"{installed}/{VENVS.get(driver, 'venv')}/bin/python", str(HERE / driver), *arguments]
    if driver.endswith(".sh"):
        return ["sh", str(HERE / driver), *arguments]
    # by this link to the drivers, and not by the files it leads to, Node finds node_modules
    return ["node", "--preserve-symlinks", "--preserve-symlinks-main", f"{installed}/drivers/{driver}", *arguments]


def environment(installed: Path, home: str) -> dict[str, str]:
    places = [f"{installed}/bin", f"{installed}/venv/bin", f"{installed}/node_modules/.bin", os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if name.startswith(("AUTOBROWSER_", "CHROMIUM"))}
    return {
        "AUTOBROWSER_LOG": f"{home}/pages.log",
        **kept,
        "CLIENTS_DIR": str(installed),
        "HOME": home,
        "PATH": ":".join(places),
        "PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(words: list[str], installed: Path) -> tuple[bool, str]:
    """Whether the client ended well, and what it said: its last line then, otherwise the browser's story as well."""
    with tempfile.TemporaryDirectory(prefix="client-", ignore_cleanup_errors=True) as home:
        env = environment(installed, home)
        output = Path(home) / "output"
        with output.open("wb") as out:
            client = subprocess.Popen(
                command(words, installed),
                env=env,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            ended = f"exit status {client.wait(CLIENT_SECONDS)}"
        except subprocess.TimeoutExpired:
            ended = f"no end after {CLIENT_SECONDS} s"
        finally:
            if client.poll() is None:
                os.killpg(client.pid, signal.SIGKILL)
                client.wait()
        said = output.read_text(errors="replace").splitlines()[-40:]
        if client.returncode == 0:
            return True, "".join(said[-1:])
        pages = Path(env["AUTOBROWSER_LOG"])
        browser = pages.read_text().splitlines() if pages.exists() else ["the browser was never opened"]
        return False, "\n".join([ended, *said, "browser:", *browser[-40:]])


def main() -> int:
    peers: dict[str, str] = tomllib.loads((HERE / "peers.toml").read_text())["peers"]
    if len(sys.argv) < 3 or not set(sys.argv[3:]) <= peers.keys():
        print(f"usage: run_all.sh URL TOOL [NAME...]\nnames: {' '.join(peers)}", file=sys.stderr)
        return 2
    if os.environ.get("AUTOBROWSER_ENGINE") == "chromium" and not find_chromium():
        print("There is no chromium: install it (apt-get install chromium), or name one in CHROMIUM.", file=sys.stderr)
        return 2
    url, tool = sys.argv[1:3]
    parts = urlsplit(url)
    names = sys.argv[3:] or list(peers)
    failed = 0
    for name in names:
        words = shlex.split(peers[name].format(url=url, tool=tool, issuer=f"{parts.scheme}://{parts.netloc}"))
        well, said = run(words, Path(os.environ["CLIENTS_DIR"]).absolute())
        failed += not well
        print(f"ok {name}\n{said}" if well else f"FAILED {name}\n{said}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
