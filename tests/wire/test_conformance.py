"""The official conformance suite: its scenarios for authorization servers, and those for OAuth clients with the gateway as
the client of the suite's own servers.

What a revision requires is read from the suite itself (`requirements/REVISION.yaml`); `docs/conformance.md` lists what
is not required and why it does not apply. `make conformance` shows the totals.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.wire._bifrost import KEY, Installation

pytestmark = [pytest.mark.wire, pytest.mark.clients]

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(os.environ.get("CLIENTS_DIR", ROOT / ".cache" / "clients"))
PROBE = ROOT / "tests" / "clients" / "upstream_probe.py"
REVISIONS = ("2025-11-25", "2026-07-28")
CLIENT_SECONDS = 90
AT_ONCE = 2
"""More of them on a busy machine only time each other out."""


def listed(revision: str) -> dict[str, list[str]]:
    """The suite's `auth/` scenarios for clients: what the revision requires, and what is run for information only."""
    text = (
        CLIENTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "requirements" / f"{revision}.yaml"
    ).read_text()
    sections = dict(re.findall(r"^(\w+):\n(.*?)(?=^\w|\Z)", text, re.MULTILINE | re.DOTALL))
    return {
        "required": re.findall(r"^  - (auth/[\w.-]+)$", sections["client"], re.MULTILINE),
        "not scored": re.findall(r"^  - scenario: (auth/[\w.-]+)$", sections["not_scored"], re.MULTILINE),
    }


def _environment(directory: Path) -> dict[str, str]:
    return {
        "PATH": f"{CLIENTS}/bin:{CLIENTS}/node_modules/.bin:{os.environ['PATH']}",
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(scenario: str, revision: str, directory: Path) -> tuple[bool, int, str]:
    """Whether it passed, how many checks that was, and everything that was said."""
    command = ["conformance", "client", "--scenario", scenario, "--spec-version", revision, "-o", str(directory)]
    command += ["--timeout", str(CLIENT_SECONDS * 1_000), "--command", f"{sys.executable} {PROBE}"]
    ended = subprocess.run(
        command,
        env=_environment(directory),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=CLIENT_SECONDS + 60,
    )
    said = ended.stdout + ended.stderr
    checks = re.search(r"Passed: (\d+)/(\d+), (\d+) failed", said)
    passed = ended.returncode == 0 and checks is not None and checks[1] == checks[2] != "0"
    return passed, int(checks[1]) if checks else 0, said


def test_every_scenario_for_authorization_servers_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Contract §11: no revision requires them of an MCP implementation; the gateway is an authorization server too."""
    gateway = Installation(tmp_path, f"sqlite:///{tmp_path}/gateway.db")
    gateway.sections["server"] = {"public_urls": [gateway.origin]}
    command = [f"{CLIENTS}/venv/bin/python", str(PROBE.with_name("conformance.py")), "as", f"{gateway.origin}/mcp"]
    with gateway.running():
        ended = subprocess.run(
            command,
            env=_environment(tmp_path) | {"AUTOBROWSER_KEY": KEY},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_SECONDS,
        )
    passed, failed = (re.findall(rf"^{mark} [\w-]+: ", ended.stdout, re.MULTILINE) for mark in "✓✗")
    with capsys.disabled():
        print(f"\nauthorization server: {len(passed)} of {len(passed) + len(failed)} scenarios passed")
    assert (ended.returncode, failed) == (0, []), ended.stdout + ended.stderr
    assert len(passed) >= 2


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_required_scenario_for_oauth_clients_passes(
    revision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """G12, contract §11: the requirement sets of both revisions, as the suite froze them."""
    scenarios = listed(revision)["required"]
    assert len(scenarios) >= 14

    def one(scenario: str) -> tuple[bool, int, str]:
        directory = tmp_path / scenario.replace("/", "-")
        directory.mkdir()
        return run(scenario, revision, directory)

    with ThreadPoolExecutor(AT_ONCE) as several:
        outcomes = dict(zip(scenarios, several.map(one, scenarios), strict=True))
    failed = {scenario: said for scenario, (passed, _, said) in outcomes.items() if not passed}
    checks = sum(count for _, count, _ in outcomes.values())
    with capsys.disabled():
        print(
            f"\n{revision}, OAuth client towards upstreams: {len(scenarios) - len(failed)} of {len(scenarios)} scenarios,"
            f" {checks} checks passed"
        )
    assert not failed, "\n".join(f"== {scenario}\n{said[-3_000:]}" for scenario, said in failed.items())


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_not_run_is_explained(revision: str) -> None:
    """Contract §11: a scenario that does not apply is on the page about conformance, with the reason."""
    page = (ROOT / "docs" / "conformance.md").read_text()
    missing = [scenario for scenario in listed(revision)["not scored"] if f"`{scenario}`" not in page]
    assert not missing
