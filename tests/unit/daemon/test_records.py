"""requests.jsonl on a disk without room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emu.daemon.load.records import Records


def test_what_finds_no_room_is_kept_and_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full in the middle of a line, and has room again: no line is lost, none is there twice."""
    records = Records(tmp_path / "requests.jsonl")
    write, room = os.write, [10]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        part = min(room[0], len(data))
        room[0] -= part
        return write(fd, data[:part])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for number in range(3):
            records.sent(number, "p", 1.0, 1.0, 1.0)
            records.flush()
        assert records.failure is not None
        assert records.failure.strerror == "No space left on device"
    records.sent(3, "p", 1.0, 1.0, 1.0)
    records.close()
    assert records.failure is None
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert [line[: line.index(",")] for line in lines] == [f'{{"id":{number}' for number in range(4)]
