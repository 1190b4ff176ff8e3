"""Reading a file that is kept open; waiting itself needs a kernel, and is in tests/kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups import errors
from cgroups.events import Change, EventWatcher, OpenFile


def test_an_open_file_reads_what_is_there_now(tmp_path: Path) -> None:
    """Each read is the content of that moment."""
    path = tmp_path / "memory.events"
    path.write_text("oom 0\n")
    with OpenFile(path) as file:
        assert file.read() == b"oom 0\n"
        path.write_text("oom 1\noom_kill 1\n")
        assert file.read() == b"oom 1\noom_kill 1\n"


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    """A file of many records, longer than one read."""
    content = b"".join(b"%d\n" % number for number in range(40_000))
    (tmp_path / "cgroup.procs").write_bytes(content)
    with OpenFile(tmp_path / "cgroup.procs") as file:
        assert file.read() == content


def test_an_open_file_that_is_not_open(tmp_path: Path) -> None:
    """Making the object opens nothing, and reading it then is a mistake of the caller."""
    file = OpenFile(tmp_path / "missing")
    with pytest.raises(ValueError, match="not open"):
        file.read()
    with pytest.raises(errors.FileAbsent):
        file.open()


def test_the_delta_of_an_events_file(tmp_path: Path) -> None:
    """Only what changed, by how much, and every value besides."""
    path = tmp_path / "memory.events"
    path.write_text("max 3\noom 0\n")
    with EventWatcher() as watcher:
        assert watcher.add(path) == {"max": 3, "oom": 0}
        (fd,) = watcher.filenos()
        assert watcher.changed(fd) is None
        path.write_text("max 7\noom 1\noom_group_kill 2\n")
        values = {"max": 7, "oom": 1, "oom_group_kill": 2}
        assert watcher.changed(fd) == Change(path, {"max": 4, "oom": 1, "oom_group_kill": 2}, values)
        assert watcher.changed(fd) is None


def test_a_watcher_forgets_what_it_should(tmp_path: Path) -> None:
    """Discarding closes the file; a file that cannot be read is never watched."""
    path = tmp_path / "memory.events"
    path.write_text("oom 0\n")
    with EventWatcher() as watcher:
        watcher.add(path)
        watcher.discard(path)
        watcher.discard(path)
        assert watcher.paths() == []
        path.write_text("broken")
        with pytest.raises(errors.BadValue):
            watcher.add(path)
        assert watcher.paths() == []
