"""What the documents tell somebody to type exists: headings that links lead to, commands, settings."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from bifrost.cli.main import _parser
from tests.test_house import PAGES, ROOT
from tools import docs

FILES_TO_INSTALL = [path.relative_to(ROOT) for path in (ROOT / "deploy").iterdir()] + [Path("Dockerfile")]
NOT_SETTINGS = {"BIFROST_CONFIG", "BIFROST_SECTION__KEY"}
"""Where the file is, and the pattern of all names."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_what_a_page_points_to_inside_a_page_is_a_heading_there(page: Path) -> None:
    """Ours: a link to a heading that was renamed leads to the top of the page, and nobody notices."""
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text)
    assert not [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in _anchors((ROOT / page.parent / target) if target else ROOT / page)
    ]


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, without punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *FILES_TO_INSTALL], ids=str)
def test_a_command_that_a_page_names_exists(page: Path) -> None:
    """Contract §11: `bifrost keys rotate-encryption --new-key` with its action and its options."""
    actions = {name: _choices(parser) for name, parser in _choices(_parser()).items()}
    named = re.findall(r"\bbifrost (keys|admin|db) ([a-z][a-z-]+)((?: [^\s`|#]+)*)", (ROOT / page).read_text())
    for command, action, rest in named:
        assert action in actions[command], f"bifrost {command} {action}"
        options = actions[command][action]._option_string_actions
        assert not [option for option in re.findall(r"--[a-z-]+", rest) if option not in options]


@pytest.mark.parametrize("page", [*PAGES, *FILES_TO_INSTALL], ids=str)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    """Contract §10: every setting has its variable, and no other variable begins like one."""
    known = {row[3].strip("`") for _, rows in docs.sections() for row in rows} | NOT_SETTINGS
    named = set(re.findall(r"\bBIFROST_[A-Z][A-Z_]*[A-Z]\b", (ROOT / page).read_text()))
    assert not named - known


def _choices(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})
