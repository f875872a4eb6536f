"""The outbound client judges the address it dials: shown with a real resolver, in a network of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire._bifrost import environment
from tests.wire._rebinding import NAMES, PUBLIC, PUBLIC_6

pytestmark = pytest.mark.wire

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "--map-root-user", "--net", "--mount"]
REACHED = {
    "public.test": [PUBLIC],
    "public6.test": [PUBLIC_6],
    "both.test": [PUBLIC],
    "rebinding.test": [PUBLIC],
    "turning.test": [PUBLIC],
}
"""Where a connection may arrive. At every other name, and at every other address of these, none does."""


def _has_namespaces() -> bool:
    if not all(shutil.which(program) for program in ("unshare", "ip", "mount")):
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not _has_namespaces(), reason="this machine lets nobody make a network of their own (unshare, ip)")
def test_no_name_leads_to_an_address_that_a_stranger_may_not_name(tmp_path: Path) -> None:
    """TC-098, TC-100, R33, G13, CVE-2026-77822: private, shared, mapped, NAT64, 6to4, Teredo, site-local, and names that turn."""
    command = [*UNSHARE, sys.executable, "-m", "tests.wire._rebinding", str(tmp_path)]
    ended = subprocess.run(
        command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {name: REACHED.get(name, []) for name in NAMES}
