"""Logs: one JSON object a line, with every secret taken out."""

import io
import json
import logging as standard
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bifrost.base import ids, log_context
from bifrost.telemetry import logging

Lines = Callable[[], list[dict[str, Any]]]

PLANTED = {
    "access token": ids.new_secret(ids.ACCESS_TOKEN),
    "refresh token": ids.new_secret(ids.REFRESH_TOKEN),
    "authorization code": ids.new_secret(ids.AUTHORIZATION_CODE),
    "client secret": ids.new_secret("bfcs_"),
    "virtual key": ids.new_virtual_key(),
    "bearer": "Bearer gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "lower-case bearer": "bearer gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "upper-case bearer": "BEARER gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "basic": "Basic dXNlcjpwYXNzd29yZA==",
}


def redacted(**members: Any) -> dict[str, Any]:
    return dict(logging.redact(None, "info", dict(members)))


def core(secret: str) -> str:
    """The part that must not be seen, whatever stands before it."""
    return secret.rpartition(" ")[2]


PLACES: dict[str, Callable[[str], Any]] = {
    "alone": lambda secret: secret,
    "in a sentence": lambda secret: f"refused {secret}, sorry",
    "in a URL": lambda secret: f"https://a.example/cb?x={secret}&y=1",
    "in a list": lambda secret: ["a", secret],
    "in a tuple": lambda secret: ("a", secret),
    "in a mapping": lambda secret: {"note": secret},
    "deep": lambda secret: {"a": [{"b": ({"c": f"x {secret}"},)}]},
    "in bytes": str.encode,
    "in a set": lambda secret: {secret},
    "in an exception": lambda secret: ValueError(f"refused {secret}"),
    "under a number": lambda secret: {1: secret},
}


def written(value: Any) -> str:
    """The line that is written when this value is logged."""
    return logging._rendered(None, "info", redacted(event="x", note=value))


@pytest.mark.parametrize("kind", PLANTED)
def test_every_kind_of_secret_is_taken_out_by_its_form(kind: str) -> None:
    """Contract §§6, 7: the prefixes are there so that leaks are found; RFC 9110 §11.1: a scheme has any case."""
    assert core(PLANTED[kind]) not in written(f"refused {PLANTED[kind]}, sorry")


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_taken_out_wherever_it_stands(place: str) -> None:
    """Contract §2: no secret in a log line, whatever member it came in."""
    for kind in ("access token", "virtual key", "bearer"):
        assert core(PLANTED[kind]) not in written(PLACES[place](PLANTED[kind]))


def test_a_secret_in_the_event_itself_is_taken_out() -> None:
    """Libraries write sentences."""
    assert core(PLANTED["virtual key"]) not in str(redacted(event=f"refused {PLANTED['virtual key']}"))


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "proxy-authorization", "cookie", "set-cookie", "password", "client_secret"]
    + ["code", "state", "token", "access_token", "refresh_token", "id_token", "code_verifier", "key", "api_key"]
    + ["virtual_key", "value", "client_assertion", "api-key", "x-api-key", "x-goog-api-key", "x-bf-vk"]
    + ["x-bf-mcp-session-id"],
)
def test_a_secret_without_a_form_is_taken_out_by_its_name(name: str) -> None:
    """Contract §7: every header that carries a credential, and OAuth's own parameters."""
    assert "hunter2" not in str(redacted(**{name: "hunter2"}))
    assert "hunter2" not in str(redacted(headers={name: "hunter2"}))
    assert "hunter2" not in str(redacted(requests=[{"headers": {name: ["hunter2"]}}]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event_id", "evt_kZk9bJ4mQ0"),
        ("flow", "flow_kZk9bJ4mQ0"),
        ("grant", "grant_kZk9bJ4mQ0"),
        ("virtual_key_id", "vk-ann"),
        ("path", "/oauth/consent"),
        ("status", 200),
        ("milliseconds", 1.5),
        ("client", "Claude Code"),
        ("reason", "invalid_grant"),
        ("upstream", "notes"),
        ("names", ["a", "b"]),
        ("nothing", None),
    ],
)
def test_what_is_no_secret_stays_readable(name: str, value: Any) -> None:
    """Contract §6: flow, session and event ids are not secrets; a log must still help."""
    assert redacted(**{name: value})[name] == value


def test_a_value_that_is_too_long_for_a_line_is_cut_after_its_secrets_are_out() -> None:
    """A secret on the edge of the cut must not survive in half."""
    secret = PLANTED["access token"]
    shown = redacted(note="x" * (logging.MAX_CHARACTERS - 20) + secret)["note"]
    assert len(shown) <= logging.MAX_CHARACTERS
    assert secret[:12] not in shown


def test_what_looks_like_a_secret_again_and_again_is_looked_through_once() -> None:
    """TC-211: anybody's path is logged; in the square of its length it takes as long as a thousand requests."""
    assert redacted(path="eyJ" * 1_000_000)["path"] == ("eyJ" * 1_000)[: logging.MAX_CHARACTERS]
    assert redacted(path="/x_eyJeyJabcdefgh.b.c/d")["path"] == "/…/d"


_LONG_S = "\N{LATIN SMALL LETTER LONG S}"
"""Without case it is an s."""

_TEXTS = st.lists(
    st.sampled_from(
        [
            "",
            "a",
            " ",
            "\n",
            "x" * 700,
            "é",
            _LONG_S,
            "BF",
            "bfat_",
            "sk-bf-",
            "eyJ",
            ".",
            "Bearer ",
            f"ba{_LONG_S}ic ",
            "basic ",
        ]
        + ["abcdefgh", "\ud800", '"', "\\"]
    ),
    max_size=5,
).map("".join)
_VALUES = st.one_of(
    _TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(_TEXTS, max_size=2),
    _TEXTS.map(lambda text: text.encode(errors="replace")),
)
_NAMES = st.sampled_from(["event", "note", "status", "access_token", "value", "exception"])


@given(st.dictionaries(_NAMES, _VALUES))
def test_a_line_that_seems_harmless_is_what_a_closer_look_makes_of_it(event: dict[str, Any]) -> None:
    """Contract §2: no line is spared a look in which there would have been something to hide."""
    assert logging.redact(None, "info", dict(event)) == logging._redacted(event)


@given(st.dictionaries(_NAMES, _VALUES))
def test_a_line_is_one_line_of_ascii_that_says_what_it_is_given(event: dict[str, Any]) -> None:
    """Nobody forges a log line, whatever their reader takes for the end of one (UAX 14)."""
    line = logging._rendered(None, "info", shown := logging._redacted(event))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == shown


@pytest.fixture
def root_logger() -> Iterator[standard.Logger]:
    """As it was, afterwards."""
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def written_lines(monkeypatch: pytest.MonkeyPatch, root_logger: standard.Logger) -> Callable[[], list[dict[str, Any]]]:
    """Logging as `bifrost serve` sets it up, onto a page of paper; undone afterwards."""
    assert root_logger
    paper = io.StringIO()
    monkeypatch.setattr(sys, "stderr", paper)
    logging.configure("info")
    return lambda: [json.loads(line) for line in paper.getvalue().splitlines()]


def test_a_line_is_json_with_its_level_and_time(written_lines: Lines) -> None:
    """Contract §2: `event_id` in every log line."""
    with log_context.about(event_id="evt_1"):
        structlog.get_logger().warning("something", upstream="notes")
    (line,) = written_lines()
    assert (line["event"], line["level"], line["upstream"], line["event_id"]) == (
        "something",
        "warning",
        "notes",
        "evt_1",
    )
    said = datetime.fromisoformat(line["timestamp"])
    assert timedelta() <= datetime.now(UTC) - said < timedelta(minutes=1)
    assert line["timestamp"].endswith("Z")


def test_a_value_with_a_line_break_stays_in_its_line(written_lines: Lines) -> None:
    """Nobody forges a log line with a client name."""
    structlog.get_logger().info("x", client='a\n{"event":"forged"}\r\u2028')
    assert len(written_lines()) == 1


def test_libraries_write_the_same_lines_with_their_secrets_out(written_lines: Lines) -> None:
    """Contract §2: also what uvicorn or aiohttp say."""
    standard.getLogger("library").error("refused %s", PLANTED["virtual key"])
    (line,) = written_lines()
    assert line["event"].startswith("refused")
    assert core(PLANTED["virtual key"]) not in str(line)


def test_what_is_less_severe_than_the_level_is_not_written(written_lines: Lines) -> None:
    """docs/configuration.md: server.log_level; libraries speak from `warning` on."""
    structlog.get_logger().debug("hidden")
    standard.getLogger("library").info("hidden")
    assert written_lines() == []


def _chained(length: int) -> LookupError:
    """An exception with as many causes, as a driver under a store under an endpoint makes them."""
    fault = LookupError(f"the cause at the end {PLANTED['access token']}")
    below: Exception = fault
    for number in range(length):
        cause = OSError(f"cause {number} " + "x" * 60)
        below.__cause__, below = cause, cause
    return fault


@pytest.mark.parametrize("length", [0, 40])
def test_a_fault_is_logged_with_its_cause_and_without_its_secrets(written_lines: Lines, length: int) -> None:
    """Contract §2: the cause is in the log, never in the answer. The end of a trace is what tells the cause."""
    try:
        raise _chained(length)
    except LookupError:
        structlog.get_logger().exception("unexpected_error")
    (line,) = written_lines()
    assert "LookupError: the cause at the end" in line["exception"]
    assert core(PLANTED["access token"]) not in str(line)


@pytest.mark.usefixtures("root_logger")
def test_a_line_that_cannot_be_written_is_lost_and_the_next_one_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TC-200: no error for whoever wanted to say something, and nothing kept back that fails when the process ends."""
    full, log = open("/dev/full", "w"), open(tmp_path / "log", "w")  # noqa: SIM115, PTH123 - replaced in its place
    with full, log:
        monkeypatch.setattr("sys.stderr", full)
        logging.configure("info")
        structlog.get_logger().info("lost")
        standard.getLogger("library").warning("lost too")
        monkeypatch.setattr("sys.stderr", log)
        logging.configure("info")
        structlog.get_logger().info("kept")
        standard.getLogger("library").warning("kept too")
    lines = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == ["kept", "kept too"]


@pytest.mark.usefixtures("root_logger")
def test_a_line_leaves_in_one_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ours: several processes share one stream, and no line may stand inside another."""
    written: list[bytes] = []

    def write(_fd: int, line: bytes) -> int:
        written.append(line)
        return len(line)

    monkeypatch.setattr("bifrost.telemetry.logging.os.write", write)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr("sys.stderr", log)
        logging.configure("info")
        structlog.get_logger().info("one", text="x\ny")
        standard.getLogger("library").warning("two")
    assert [line.count(b"\n") for line in written] == [1, 1]
    assert all(line.endswith(b"\n") for line in written)
