"""Two people with accounts of their own at the sample services, against the real gateway and by themselves."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bifrost.quickstart import demo, stack
from bifrost.quickstart.people import Member, People
from bifrost.quickstart.walk import LegFailed
from tests.support.servers import free_port

EVERYBODY = ["ann", "ben"]


def test_two_people_see_only_their_own_notes_however_often_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contract §11, `make demo`; contract §8: four accounts at two services through one gateway."""

    async def twice() -> list[int]:
        async with stack.running(tmp_path, free_port(), show=False) as running:
            keys = {"ann": running.key, "ben": running.second_key}
            return [await asyncio.to_thread(demo.show, People.of(running.url, keys)) for _ in range(2)]

    assert asyncio.run(twice()) == [0, 0]
    output = capsys.readouterr().out
    assert "account 'ann' at diary and recipes, connected with 2 clicks" in output
    assert "ben's notes in diary and recipes, and nobody else's" in output


def test_a_key_that_the_gateway_does_not_know_ends_it(tmp_path: Path) -> None:
    """At the first leg of the first person, with what to do."""

    async def once() -> int:
        async with stack.running(tmp_path, free_port(), show=False) as running:
            member = Member(mcp_url=running.url, key=f"sk-bf-{'x' * 40}", account="ann")
            return await asyncio.to_thread(demo.show, People([member]))

    assert asyncio.run(once()) == 1


class Scripted(Member):
    """Answers of the tools without a gateway."""

    says = ""

    def _tool(self, service: str, tool: str, arguments: dict[str, str]) -> str:
        return self.says.format(service=service)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("nothing", "the note that ann wrote in diary is not there"),
        ("ann's {service}, ben's {service}", "ann sees notes of ben in diary"),
        ("ann's {service}", ""),
    ],
)
def test_a_note_that_is_missing_or_of_somebody_else_fails(says: str, why: str) -> None:
    """What the last legs show can be wrong."""
    member = Scripted(mcp_url="http://localhost/mcp", key="sk-bf-one", account="ann")
    member.says = says
    if not why:
        assert "nobody else's" in member.read(EVERYBODY)
        return
    with pytest.raises(LegFailed, match=why):
        member.read(EVERYBODY)


@pytest.mark.parametrize("tools", [[], ["diary-connect_account", "notes-add_note"]])
def test_a_service_that_is_not_connected_is_named(tools: list[Any]) -> None:
    """In words, with what to do."""
    member = Member(mcp_url="http://localhost/mcp", key="sk-bf-one", account="ann", tools=tools)
    with pytest.raises(LegFailed, match="no tool diary-add_note here: is diary connected"):
        member.write()
