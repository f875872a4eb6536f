"""Claude Code's own MCP client: add a server, sign in to it, see it connected. No account, no model, no network.

    claude_code.py http://127.0.0.1:8080/mcp [--paste] [--callback-port N] [--client-id ID]

`claude mcp login` wants a terminal, so it is given a pseudo-terminal. By default it opens autobrowser.py by
BROWSER and waits at its own listener; with --paste it is run with --no-browser and the redirect URL is typed in.
It runs with a home and an environment of its own: nothing of the caller's settings is read or written.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

from autobrowser import approve

HERE = pathlib.Path(__file__).resolve().parent
ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[a-zA-Z]")


def environment(home: str) -> dict[str, str]:
    return {
        "HOME": home,
        "CLAUDE_CONFIG_DIR": f"{home}/.claude",
        "PATH": os.environ["PATH"],
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "TERM": "xterm",
        "BROWSER": str(HERE / "autobrowser.py"),
        **{k: v for k, v in os.environ.items() if k.startswith("AUTOBROWSER_")},
    }


def in_terminal(command: list[str], env: dict[str, str], cwd: str, paste: bool, limit: float = 60) -> tuple[int, str]:
    """Run `command` in a pseudo-terminal; with `paste`, sign in at the URL it prints and type the redirect URL."""
    parent, child = pty.openpty()
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env, cwd=cwd, close_fds=True)
    os.close(child)
    text, answered, deadline = "", False, time.monotonic() + limit
    while time.monotonic() < deadline:
        ready, _, _ = select.select([parent], [], [], 0.2)
        if ready:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece.decode("utf-8", "replace")
        elif process.poll() is not None:
            break
        if paste and not answered and "paste the redirect URL" in text:
            found = re.search(r"https?://\S+response_type=code\S*", re.sub(r"[\r\n]", "", ESCAPES.sub(" ", text)))
            if found:
                answered = True
                os.write(parent, approve(found.group(0), open_last=False).encode() + b"\r")
    else:
        process.terminate()
    os.close(parent)
    return process.wait(), ESCAPES.sub("", text)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--paste", action="store_true")
    parser.add_argument("--callback-port")
    parser.add_argument("--client-id")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="claude-") as home:
        env = environment(home)

        def run(*words: str) -> str:
            done = subprocess.run(
                ["claude", *words], env=env, cwd=home, capture_output=True, check=False, text=True, timeout=60
            )
            return ESCAPES.sub("", done.stdout + done.stderr)

        extra = ["--callback-port", args.callback_port] if args.callback_port else []
        extra += ["--client-id", args.client_id] if args.client_id else []
        run("mcp", "add", "--transport", "http", "--scope", "user", "target", args.url, *extra)
        before = run("mcp", "list")
        code, log = in_terminal(
            ["claude", "mcp", "login", *(["--no-browser"] if args.paste else []), "target"], env, home, args.paste
        )
        after = run("mcp", "list")
        out = {
            "client": "claude-code",
            "version": run("--version").strip(),
            "needs_authentication_first": "Needs authentication" in before,
            "login_exit": code,
            "connected_after": "Connected" in after,
            "browser_steps": len(re.findall("Starting authentication", log)),
        }
        good = bool(out["needs_authentication_first"] and out["connected_after"])
        if not good:
            print(log, after, file=sys.stderr)
        out["logout"] = run("mcp", "logout", "target").strip()
    print(json.dumps(out))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
