"""No dependency below its floor: what may be installed, what is locked, and what is installed here."""

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
TABLE: dict[str, dict[str, dict[str, str]]] = tomllib.loads((ROOT / "requirements" / "floors.toml").read_text())
FLOORS = {name: Version(entry["version"]) for kind in ("run", "dev") for name, entry in TABLE[kind].items()}
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
_PINNED = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ \\;]+)", re.MULTILINE)
_ADVISORY = re.compile(r"CVE-\d{4}-\d{4,}|GHSA(?:-[a-z0-9]{4}){3}|PYSEC-\d{4}-\d+")


def _requirements() -> dict[str, Requirement]:
    """Everything that pyproject.toml asks for by itself."""
    lines = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    for group in PROJECT["dependency-groups"].values():
        lines += [line for line in group if isinstance(line, str)]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def _lowest(requirement: Requirement) -> Version | None:
    bounds = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==", "~=")]
    return max(bounds, default=None)


def _locked(path: Path) -> dict[str, Version]:
    return {found["name"]: Version(found["version"]) for found in _PINNED.finditer(path.read_text())}


def test_what_is_asked_for_begins_at_its_floor() -> None:
    """ASVS 15.2.1: whoever resolves anew never gets a version with a known problem."""
    for name, requirement in _requirements().items():
        lowest = _lowest(requirement)
        if name in FLOORS:
            reason = (TABLE["run"] | TABLE["dev"])[name]["reason"]
            assert lowest is not None, f"{name} needs a lower bound of {FLOORS[name]}: {reason}"
            assert lowest >= FLOORS[name], f"{name} may be {lowest}, but below {FLOORS[name]}: {reason}"


def test_every_dependency_of_the_product_has_a_lower_bound() -> None:
    """Ours: what was never tried is not installed."""
    product = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    assert product
    assert not [one.name for one in product if _lowest(one) is None]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.name))
def test_what_is_locked_is_at_its_floor_and_is_what_is_asked_for(lock: Path) -> None:
    """ASVS 15.2.1: also what comes with something else."""
    locked = _locked(lock)
    assert len(locked) > 10
    assert not {name: str(version) for name, version in locked.items() if version < FLOORS.get(name, version)}
    asked = _requirements()
    assert not {name: str(locked[name]) for name in locked.keys() & asked if locked[name] not in asked[name].specifier}
    assert not locked.keys() & TABLE["never"].keys()


def test_what_is_installed_is_at_its_floor() -> None:
    """ASVS 15.2.1: a scanner that cannot look a package up says that all is well; this does not."""
    installed = {canonicalize_name(one.metadata["Name"]): Version(one.version) for one in metadata.distributions()}
    assert not {name: str(version) for name, version in installed.items() if version < FLOORS.get(name, version)}
    assert not installed.keys() & TABLE["never"].keys()


def test_the_table_says_why_and_has_nothing_that_is_not_used() -> None:
    """Ours: a floor without a reason is a number that somebody lowers."""
    locked = {name for lock in LOCKS for name in _locked(lock)}
    product = _locked(ROOT / "requirements" / "run.txt")
    assert FLOORS.keys() <= locked
    assert TABLE["run"].keys() <= product.keys()
    for entries in TABLE.values():
        assert all(_ADVISORY.search(entry["reason"]) for entry in entries.values())
