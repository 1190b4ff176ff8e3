"""A run directory while it is made, and files that are written into it whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.files import outfile
from emu.record.events import EventLog, Note
from emu.record.rundir import RESERVE_BYTES, RunDir, cannot_record, no_room


@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "free space there"), (errno.EISDIR, "see to it that a file can be written there")],
)
def test_the_way_out_is_that_of_the_error(
    number: int, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is what a full disk lacks, and nothing else."""
    run = RunDir(tmp_path)

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(outfile, "write", fails)
    with pytest.raises(EmuError) as caught:
        run.write_whole(run.summary, "new")
    assert caught.value.fix.startswith(fix)


def test_room_is_set_aside_until_it_is_needed(tmp_path: Path) -> None:
    """A run directory begins with a reserve; given up once or twice, it is gone."""
    run = RunDir(tmp_path / "run")
    run.create()
    assert run.reserve.stat().st_size == RESERVE_BYTES
    run.release()
    run.release()
    assert not run.reserve.exists()


def test_a_directory_that_finds_no_room_is_not_left_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error that says why, and nothing behind it."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EmuError) as caught:
        RunDir(tmp_path / "run").create()
    assert caught.value.why == "No space left on device"
    assert not (tmp_path / "run").exists()


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the new one: the old one is there, nothing half, and the error says how to go on."""
    run = RunDir(tmp_path)
    run.write_whole(run.summary, "old")

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EmuError) as caught:
        run.write_whole(run.summary, "new and longer")
    assert f"emu report {tmp_path}" in caught.value.fix
    assert run.summary.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("there", ["/dev/null", "folder", "file"])
def test_what_is_there_already_is_refused_and_only_a_folder_may_be_removed(tmp_path: Path, there: str) -> None:
    """Nobody is advised to remove a device or a file that is no run."""
    path = Path(there) if there.startswith("/") else tmp_path / there
    if there == "folder":
        path.mkdir()
    elif there == "file":
        path.write_text("mine")
    with pytest.raises(EmuError) as caught:
        RunDir(path).create()
    assert ("remove" in caught.value.fix) == (there == "folder")
    assert path.exists()


def test_what_somebody_put_in_the_place_of_a_run_directory_stays(tmp_path: Path) -> None:
    """A run that never began leaves none behind, and removes no other: not even the folder that it made, renamed."""
    run = RunDir(tmp_path / "run")
    run.create()
    made = run.identity()
    run.path.rename(tmp_path / "away")
    run.path.mkdir()
    (run.path / "photos").touch()
    run.discard(made)
    assert (run.path / "photos").exists() and (tmp_path / "away").is_dir()
    run = RunDir(tmp_path / "away")
    run.discard(None)
    assert run.path.is_dir()
    run.discard(made)
    assert not run.path.exists()
    run.discard(made)


def test_a_record_whose_place_another_file_took_is_gone(tmp_path: Path) -> None:
    """What is said last of a run never ends up in somebody else's file, nor alone in one of its own."""
    log = EventLog(tmp_path / "events.jsonl")
    log.append(Note(t=1.0, what="a", why="b"))
    log.close()
    log.append(Note(t=2.0, what="a", why="b"))
    assert log.failure is None
    log.close()
    (tmp_path / "events.jsonl").unlink()
    log.append(Note(t=3.0, what="a", why="b"))
    assert log.failure is not None and not (tmp_path / "events.jsonl").exists()
    (tmp_path / "events.jsonl").write_text("mine")
    log.append(Note(t=4.0, what="a", why="b"))
    assert (tmp_path / "events.jsonl").read_text() == "mine"
    assert log.failure is not None and log.lost == 2
    for number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        assert "alone" in cannot_record(os.strerror(number)).fix
    assert "alone" in cannot_record(str(log.failure.strerror)).fix


def test_a_disk_without_inodes_is_not_said_to_lack_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has one word for both, and `df` shows free space."""
    facts = os.statvfs(tmp_path)
    full = os.statvfs_result((*facts[:5], 100, 0, 0, *facts[8:]))
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert no_room(error, tmp_path) == "No space left on device"
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert "df -i" in no_room(error, tmp_path)
    assert no_room(OSError(errno.EROFS, "Read-only file system"), tmp_path) == "Read-only file system"


def test_logs_are_found_in_their_folders_alone(tmp_path: Path) -> None:
    """Of each pod, and of runs from before each pod had one; not below, and not through a link."""
    run = RunDir(tmp_path / "run")
    run.create()
    for place in (run.logs, run.logs / "pod", run.logs / "pod" / "deeper", tmp_path / "elsewhere"):
        place.mkdir(exist_ok=True)
        (place / "app.0.log").touch()
    (run.logs / "link").symlink_to(tmp_path / "elsewhere")
    assert run.container_logs("app") == [run.logs / "app.0.log", run.logs / "pod" / "app.0.log"]
    run.logs.rename(tmp_path / "logs")
    assert run.container_logs("app") == []
    run.logs.symlink_to(tmp_path / "logs")
    assert run.container_logs("app") == []
