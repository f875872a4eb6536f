"""The key file: made once, for its owner alone."""

import fcntl
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from structlog.testing import capture_logs

from bifrost.base import key_file
from bifrost.base.key_file import KeyFileError, put_in_front, ring_from_file, ring_from_text
from bifrost.base.sealing import SealBrokenError, encode, sealed_prefix

KEY, OTHER = encode(b"k" * 32), encode(b"o" * 32)


def test_the_first_start_makes_a_key_file_for_its_owner_alone(tmp_path: Path) -> None:
    """Contract §11: the key ring in the data directory has mode 0600."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyring.json"]


def test_the_second_start_reads_the_same_keys(tmp_path: Path) -> None:
    """Contract §3: an id that a client still holds is never invalidated."""
    path = tmp_path / "keyring.json"
    sealed = ring_from_file(path).seal(b"kept", use="test", owner="row")
    written = path.read_bytes()
    assert ring_from_file(path).open(sealed, use="test", owner="row") == b"kept"
    assert path.read_bytes() == written


def test_of_two_processes_that_start_together_both_use_the_keys_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §10: several worker processes."""
    path = tmp_path / "keyring.json"
    link = os.link

    def somebody_was_faster(fresh: Path, target: Path) -> None:
        path.write_text(json.dumps({"keys": [KEY]}))
        path.chmod(0o600)
        link(fresh, target)

    monkeypatch.setattr(os, "link", somebody_was_faster)
    ring = ring_from_file(path)
    assert ring.open(ring_from_text([KEY]).seal(b"kept", use="test", owner="row"), use="test", owner="row") == b"kept"
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyring.json"]


def test_a_start_whose_own_file_was_swept_away_by_a_faster_one_uses_the_keys_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §10: several worker processes."""
    path = tmp_path / "keyring.json"

    def somebody_was_faster_and_swept(fresh: Path, _target: Path) -> None:
        path.write_text(json.dumps({"keys": [KEY]}))
        path.chmod(0o600)
        fresh.unlink()
        raise FileNotFoundError

    monkeypatch.setattr(os, "link", somebody_was_faster_and_swept)
    assert ring_from_file(path).ids == ring_from_text([KEY]).ids


def test_a_start_that_can_make_no_file_leaves_none_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract §11: keys that nobody uses lie about in no file."""

    def refuse(_fresh: Path, _target: Path) -> None:
        raise PermissionError("no links on this file system")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(PermissionError):
        ring_from_file(tmp_path / "keyring.json")
    assert not list(tmp_path.iterdir())


def test_a_key_that_a_start_sweeps_away_while_it_is_put_in_front_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: the rotation is done when it says so."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    written = key_file._written
    swept: list[Path] = []

    def written_and_swept(target: Path, keys: list[bytes]) -> Path:
        fresh = written(target, keys)
        if not swept:
            swept.append(fresh)
            fresh.unlink()
        return fresh

    monkeypatch.setattr(key_file, "_written", written_and_swept)
    put_in_front(path)
    assert swept
    assert len(ring_from_file(path).ids) == 2


def test_a_key_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §8: after a power cut no value is sealed with a key that no file has."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    synced: list[tuple[str, int]] = []
    sync, before = os.fsync, len(list(Path("/proc/self/fd").iterdir()))

    def note(descriptor: int) -> None:
        sync(descriptor)
        where = Path(f"/proc/self/fd/{descriptor}").readlink()
        keys = 0 if where.is_dir() else len(json.loads(where.read_text())["keys"])
        synced.append((where.name, keys))

    monkeypatch.setattr(os, "fsync", note)
    put_in_front(path)
    (file, keys), directory = synced
    assert (file.endswith(".new"), keys) == (True, 2)
    assert directory == (tmp_path.name, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "nothing stays open"


def test_a_start_that_was_killed_half_way_does_not_stop_the_next_one(tmp_path: Path) -> None:
    """Contract §10: in a container every start has the same process id."""
    (tmp_path / f"keyring.json.{os.getpid()}").write_text("")
    ring_from_file(tmp_path / "keyring.json")


def test_what_a_killed_start_has_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    """Contract §11: keys that nobody uses lie about in no file; an operator's own copies stay."""
    path = tmp_path / "keyring.json"
    (tmp_path / "keyring.json.x1y2.new").write_text(json.dumps({"keys": [KEY]}))
    for kept in ("keyring.json.bak", "keyring.json.new", "other.x1y2.new"):
        (tmp_path / kept).write_text("theirs")
    ring_from_file(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        *("keyring.json", "keyring.json.bak", "keyring.json.new", "other.x1y2.new")
    ]


def test_a_directory_in_the_place_of_the_file_is_said_so_in_one_sentence(tmp_path: Path) -> None:
    """Contract §11: what a container makes of a mount whose file is missing."""
    (tmp_path / "keyring.json").mkdir()
    with pytest.raises(KeyFileError, match="cannot be read"):
        ring_from_file(tmp_path / "keyring.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666, 0o601, 0o610])
def test_a_key_file_that_others_can_read_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    """Contract §11: 0600; exit codes: one sentence."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ring_from_file(path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "5", "{}", '{"keys": []}', '{"keys": ["short"]}', '{"keys": ["!!"]}', '{"keys": "x"}']
    + [
        '{"keys": [1]}',
        '{"keys": null}',
        '{"keys": [null]}',
        '{"keys": {"a": 1}}',
        "\x00",
        "[" * 100_000,
        f'{{"keys": ["{KEY}", null]}}',
    ],
    ids=range(17),
)
def test_a_key_file_that_cannot_be_read_is_said_so_in_one_sentence(tmp_path: Path, content: str) -> None:
    """Contract §11: refused with one sentence; a damaged file is never replaced by new keys."""
    path = tmp_path / "keyring.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        ring_from_file(path)
    assert path.read_text() == content


def test_a_file_that_is_not_text_is_said_so_in_one_sentence(tmp_path: Path) -> None:
    """Contract §11."""
    path = tmp_path / "keyring.json"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        ring_from_file(path)


def test_configured_keys_may_carry_their_padding(tmp_path: Path) -> None:
    """The sentence that says how to make a key prints one with padding."""
    sealed = ring_from_text([KEY]).seal(b"kept", use="test", owner="row")
    assert ring_from_text([f"{KEY}="]).open(sealed, use="test", owner="row") == b"kept"


def test_configured_keys_rotate_by_a_new_one_in_front() -> None:
    """Contract §8."""
    sealed = ring_from_text([KEY]).seal(b"kept", use="test", owner="row")
    assert ring_from_text([OTHER, KEY]).open(sealed, use="test", owner="row") == b"kept"


@pytest.mark.parametrize("keys", [[], [""], ["abc"], [KEY, "abc"], [KEY[:-2]], [KEY + KEY], ["ü" * 43], ["!" * 43]])
def test_configured_keys_that_are_none_are_refused_with_the_way_to_make_one(keys: list[str]) -> None:
    """Contract §11: one sentence that says what to do, and never the key itself."""
    with pytest.raises(KeyFileError, match="make one with") as refused:
        ring_from_text(keys)
    assert KEY not in str(refused.value)


def test_a_fresh_key_goes_in_front_and_the_others_stay(tmp_path: Path) -> None:
    """Contract §8, ASVS 11.2.2: what was sealed before still opens; the file is the owner's alone and left alone."""
    path = tmp_path / "keyring.json"
    before = ring_from_file(path)
    sealed = before.seal(b"kept", use="test", owner="row")
    put_in_front(path)
    after = ring_from_file(path)
    assert after.ids[1:] == before.ids[:1]
    assert after.sealing_id != after.ids[1]
    assert after.open(sealed, use="test", owner="row") == b"kept"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyring.json"]


def test_a_process_that_runs_follows_the_file(tmp_path: Path) -> None:
    """TC-182: it opens what others sealed with the new key, and seals with nothing else from then on."""
    path = tmp_path / "keyring.json"
    opens, seals, names, macs, calls = (ring_from_file(path) for _ in range(5))
    put_in_front(path)
    new = ring_from_file(path)
    assert opens.open(new.seal(b"x", use="test", owner="row"), use="test", owner="row") == b"x"
    assert seals.seal(b"x", use="test", owner="row").startswith(sealed_prefix(new.sealing_id))
    assert names.open_name(new.seal_name(b"x", use="test"), use="test") == (b"x", new.sealing_id)
    assert calls.seal_name(b"x", use="test") == new.seal_name(b"x", use="test")
    assert macs.made("data", new.mac("data", use="test"), use="test")


def test_a_key_that_was_taken_out_is_gone_from_a_process_that_runs(tmp_path: Path) -> None:
    """ASVS 11.2.2: taking a key out is felt without a restart."""
    path = tmp_path / "keyring.json"
    ring = ring_from_file(path)
    old = ring.seal(b"kept", use="test", owner="row")
    put_in_front(path)
    newest, _old = json.loads(path.read_text())["keys"]
    path.write_text(json.dumps({"keys": [newest]}))
    ring.seal(b"any", use="test", owner="row")
    with pytest.raises(SealBrokenError):
        ring.open(old, use="test", owner="row")


@pytest.mark.parametrize("content", ["", "{", '{"keys": []}', '{"keys": ["short"]}'])
def test_a_file_that_is_damaged_later_changes_nothing(tmp_path: Path, content: str) -> None:
    """A process goes on with the keys it has; the file is read again as soon as it is whole."""
    path = tmp_path / "keyring.json"
    ring = ring_from_file(path)
    whole = path.read_text()
    sealed = ring.seal(b"kept", use="test", owner="row")
    path.write_text(content)
    assert ring.open(ring.seal(b"x", use="test", owner="row"), use="test", owner="row") == b"x"
    path.unlink()
    with capture_logs() as lines:
        assert ring.open(ring.seal(b"x", use="test", owner="row"), use="test", owner="row") == b"x"
    assert [line["event"] for line in lines] == ["key_file_unreadable"], "an operator is told"
    assert ring.open(sealed, use="test", owner="row") == b"kept"
    path.write_text(whole)
    path.chmod(0o600)
    put_in_front(path)
    with capture_logs() as lines:
        assert ring.seal(b"x", use="test", owner="row").startswith(sealed_prefix(ring_from_file(path).sealing_id))
    assert [line["event"] for line in lines] == ["key_file_read_again"]


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever something is sealed it is looked at."""
    ring = ring_from_file(tmp_path / "keyring.json")
    monkeypatch.setattr(key_file, "read_keys", lambda path: pytest.fail(f"{path} is read"))
    ring.seal(b"x", use="test", owner="row")


def test_of_keys_that_are_put_in_front_together_none_is_lost(tmp_path: Path) -> None:
    """A key that was lost would take with it what was sealed in the meantime."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(put_in_front, path) for _ in range(8)]:
            done.result()
    assert len(set(ring_from_file(path).ids)) == 9
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyring.json"]


def test_the_keys_are_read_and_replaced_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads them in order to write them holds the file until they are written."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    read = key_file.read_keys
    seen: list[Path] = []

    def read_while_held(file: Path) -> list[bytes]:
        with file.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(file)
        return read(file)

    monkeypatch.setattr(key_file, "read_keys", read_while_held)
    put_in_front(path)
    assert seen == [path]


def test_a_file_that_was_replaced_while_it_was_waited_for_is_waited_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds a file that has no name any more holds nobody up."""
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    flock, waited = fcntl.flock, []

    def after_another(held: BinaryIO, how: int) -> None:
        flock(held, how)
        waited.append(os.fstat(held.fileno()).st_ino == path.stat().st_ino)
        if len(waited) == 1:
            key_file._written(path, [b"n" * 32]).replace(path)

    monkeypatch.setattr(fcntl, "flock", after_another)
    put_in_front(path)
    assert waited == [True, True]
    assert key_file.read_keys(path)[1:] == [b"n" * 32]


def test_a_damaged_file_gets_no_new_key(tmp_path: Path) -> None:
    """A damaged file is never replaced by new keys."""
    path = tmp_path / "keyring.json"
    path.write_text("{")
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        put_in_front(path)
    assert path.read_text() == "{"


def test_a_key_file_that_root_changes_still_belongs_to_whom_it_belonged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contract §11: mode 0600, so the gateway's own user could not read what root has written for itself.

    Nobody else may give a file away.
    """
    path = tmp_path / "keyring.json"
    ring_from_file(path)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: given.append((user, group)))
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    put_in_front(path)
    assert given == []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    put_in_front(path)
    assert given == [(path.stat().st_uid, path.stat().st_gid)]
