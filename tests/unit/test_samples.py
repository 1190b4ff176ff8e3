"""samples.raw: what the recorder writes is what the report reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.samples import SampleWriter, read_samples

APP = ("app", 0)


def write(path: Path, texts: list[bytes]) -> None:
    """One file of one cgroup, a sample for each text."""
    writer = SampleWriter(path)
    writer.open()
    source = writer.declare("app", 0, "memory.stat", "/sys/fs/cgroup/x/memory.stat")
    for number, text in enumerate(texts):
        writer.put(source, text)
        writer.end(number * 10_000_000, "tick")
    writer.close()


@given(texts=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
def test_every_sample_comes_back(tmp_path_factory: object, texts: list[bytes]) -> None:
    """Whatever bytes the kernel gave, each sample holds the text of its moment, changed or not."""
    path = tmp_path_factory.mktemp("samples") / "samples.raw"  # type: ignore[attr-defined]
    write(path, texts)
    assert [sample.files[APP]["memory.stat"] for sample in read_samples(path)] == texts


def test_an_unchanged_file_costs_nothing(tmp_path: Path) -> None:
    """A file that has not changed is not written again."""
    write(tmp_path / "same", [b"x" * 1000] * 50)
    write(tmp_path / "different", [b"%d" % number * 500 for number in range(50)])
    assert (tmp_path / "same").stat().st_size * 10 < (tmp_path / "different").stat().st_size


def test_a_torn_end_costs_only_the_last_sample(tmp_path: Path) -> None:
    """Cut anywhere, the file reads up to the last whole sample."""
    write(tmp_path / "whole", [b"first", b"second", b"third"])
    whole = (tmp_path / "whole").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "torn").write_bytes(whole[:cut])
        got = [sample.files[APP]["memory.stat"] for sample in read_samples(tmp_path / "torn")]
        assert got == [b"first", b"second", b"third"][: len(got)]
        assert len(got) == whole[:cut].count(b"\nE\n")


def test_a_cgroup_that_is_gone_is_not_in_later_samples(tmp_path: Path) -> None:
    """After `gone`, the cgroup's files are no longer part of the state."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    source = writer.declare("app", 0, "memory.current", "/x")
    writer.put(source, b"1")
    writer.end(1, "tick")
    writer.gone(source)
    writer.end(2, "event")
    writer.close()
    assert [APP in sample.files for sample in read_samples(tmp_path / "s")] == [True, False]


def test_a_sample_without_room_is_not_written_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there stays whole; the writer hears of it."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    source = writer.declare("app", 0, "memory.stat", "/x")
    writer.put(source, b"first")
    writer.end(1, "tick")
    before = (tmp_path / "s").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    writer.put(source, b"second")
    with pytest.raises(OSError, match="No space left"):
        writer.end(2, "tick")
    assert (tmp_path / "s").read_bytes() == before


def test_a_hole_costs_the_samples_in_it(tmp_path: Path) -> None:
    """A disk that lost a part of the file has zeros there: what comes before and after reads well."""
    texts = [b"%04d" % number for number in range(40)]
    write(tmp_path / "s", texts)
    whole = (tmp_path / "s").read_bytes()
    for begin in range(0, len(whole), 7):
        end = min(len(whole), begin + 90)
        (tmp_path / "holed").write_bytes(whole[:begin] + bytes(end - begin) + whole[end:])
        found = [sample.files.get(APP, {}).get("memory.stat") for sample in read_samples(tmp_path / "holed")]
        got = [text for text in found if text is not None]
        assert set(got) <= set(texts)
        assert len(got) >= len(texts) - 8 or begin < 60  # without its declaration a source is not known
