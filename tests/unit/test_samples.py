"""samples.raw.zst: what the recorder writes is what the report reads."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from emu.record.events import Damage, Owner
from emu.record.frames import FRAME_BYTES, MAGIC
from emu.record.samples import HOST, SampleWriter, read_samples

APP = Owner("", "app", 0)
SECOND_NS = 10**9
OLDER = (("app", "0"), ("pod", "-"), ("host", "-"), ("0123abc.scope", "-"))


def write(path: Path, texts: list[bytes]) -> None:
    """One file of one cgroup, a sample for each text."""
    writer = SampleWriter(path)
    writer.open()
    source = writer.declare(APP, "memory.stat", "/sys/fs/cgroup/x/memory.stat")
    for number, text in enumerate(texts):
        writer.put(source, text)
        writer.end(number * 10_000_000, "tick")
    writer.close()


def unpacked(path: Path) -> bytes:
    """The text in the frames, read by zstd's own means."""
    with zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True) as reader:
        return reader.read()


def long_texts() -> list[bytes]:
    """Enough for some frames, no two the same."""
    return [os.urandom(500).hex().encode() for _ in range(4 * FRAME_BYTES // 1000)]


@given(texts=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
def test_every_sample_comes_back(tmp_path_factory: object, texts: list[bytes]) -> None:
    """Whatever bytes the kernel gave, each sample holds the text of its moment, changed or not."""
    path = tmp_path_factory.mktemp("samples") / "samples.raw.zst"  # type: ignore[attr-defined]
    write(path, texts)
    assert [sample.files[APP]["memory.stat"] for sample in read_samples(path)] == texts


def test_every_owner_comes_back(tmp_path: Path) -> None:
    """Instances of two pods that have the same names, the pods themselves, and the machine are kept apart."""
    owners = [Owner(pod, *part) for pod in ("emu-a", "emu-b") for part in (("app", 0), ("app", 1), ("", None))]
    owners += [Owner("emu-a", "0123abc.scope", None), HOST]
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    for number, owner in enumerate(owners):
        writer.put(writer.declare(owner, "memory.stat", f"/sys/fs/cgroup/{number}"), b"%d" % number)
    writer.end(SECOND_NS, "tick")
    writer.close()
    (sample,) = read_samples(tmp_path / "s")
    assert sample.files == {owner: {"memory.stat": b"%d" % number} for number, owner in enumerate(owners)}


def test_owners_of_older_runs_have_no_pod(tmp_path: Path) -> None:
    """They were labels: a container's name, `pod` for all of it, `host`."""
    lines = [f"D {number} {label} {attempt} memory.stat /x y\n" for number, (label, attempt) in enumerate(OLDER)]
    text = (
        "".join(lines) + "S 1000000000 tick\n" + "".join(f"F {number} 1\n1\n" for number in range(len(OLDER))) + "E\n"
    )
    (tmp_path / "s").write_text(text)
    (sample,) = read_samples(tmp_path / "s")
    assert list(sample.files) == [APP, Owner("", "", None), HOST, Owner("", "0123abc.scope", None)]


def test_an_unchanged_file_costs_nothing(tmp_path: Path) -> None:
    """A file that has not changed is not written again."""
    write(tmp_path / "same", [b"x" * 1000] * 50)
    write(tmp_path / "different", [b"%d" % number * 500 for number in range(50)])
    assert len(unpacked(tmp_path / "same")) * 10 < len(unpacked(tmp_path / "different"))


def test_a_torn_end_costs_only_the_last_sample(tmp_path: Path) -> None:
    """Cut anywhere, the file reads up to the last whole sample."""
    write(tmp_path / "whole", [b"first", b"second", b"third"])
    whole = (tmp_path / "whole").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "torn").write_bytes(whole[:cut])
        got = [sample.files[APP]["memory.stat"] for sample in read_samples(tmp_path / "torn")]
        assert got == [b"first", b"second", b"third"][: len(got)]
        assert cut < len(whole) - 7 or len(got) == 3  # the rest is the frame's own end


def test_what_was_written_is_read_before_the_frame_has_its_end(tmp_path: Path) -> None:
    """Samples are on record soon, for a reader meanwhile and after a kill -9 of the recorder alike: what an event
    caused at once, others after a tenth of a second at the latest.
    """
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    source = writer.declare(APP, "memory.current", "/x")
    for number in range(1, 40):
        writer.put(source, b"%d" % number)
        writer.end(number * SECOND_NS, "tick")
        damage = Damage()
        assert len(list(read_samples(tmp_path / "s", damage))) == number
        assert damage == Damage()
    for number in range(1, 10):
        writer.end(39 * SECOND_NS + number * 10_000_000, "tick")
    assert len(list(read_samples(tmp_path / "s"))) == 39
    writer.end(39 * SECOND_NS + 95_000_000, "event")
    assert len(list(read_samples(tmp_path / "s"))) == 49
    writer.close()


def test_an_older_file_is_read_as_before(tmp_path: Path) -> None:
    """The same text, not packed."""
    texts = [b"%d" % number for number in range(20)]
    write(tmp_path / "s", texts)
    (tmp_path / "older").write_bytes(unpacked(tmp_path / "s"))
    assert [sample.files[APP]["memory.stat"] for sample in read_samples(tmp_path / "older")] == texts


def test_a_damaged_frame_costs_itself(tmp_path: Path) -> None:
    """Bytes lost in one frame leave the samples of all others, each with its whole state; one frame is counted."""
    texts = long_texts()
    write(tmp_path / "s", texts)
    whole = (tmp_path / "s").read_bytes()
    begins = [at.start() for at in re.finditer(re.escape(MAGIC), whole)]
    assert len(begins) >= 4
    for at in (begins[1] + 5, begins[1] + 2000, begins[2] - 2):
        (tmp_path / "damaged").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        damage = Damage()
        got = [sample.files[APP]["memory.stat"] for sample in read_samples(tmp_path / "damaged", damage)]
        assert damage == Damage(frames=1)
        assert set(got) < set(texts)
        assert len(texts) - len(got) <= FRAME_BYTES // 1000


def test_a_frame_is_read_without_those_before(tmp_path: Path) -> None:
    """What does not change is said again in each; so is whose a file is, but not of one that is gone."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    still, gone, busy = (writer.declare(Owner("", name, 0), "memory.stat", "/x") for name in ("still", "gone", "app"))
    writer.put(gone, b"1")
    for number, text in enumerate(long_texts()):
        writer.put(still, b"same")
        writer.put(busy, text)
        if number == 1:
            writer.gone(gone)
        writer.end(number * SECOND_NS, "tick")
    writer.close()
    whole = (tmp_path / "s").read_bytes()
    (tmp_path / "last").write_bytes(whole[whole.rindex(MAGIC) :])
    (tmp_path / "s").write_bytes(whole[:10] + b"\xff" * 200 + whole[210:])
    for name in ("last", "s"):
        for sample in read_samples(tmp_path / name):
            assert set(sample.files) == {Owner("", "still", 0), APP}
            assert sample.files[Owner("", "still", 0)]["memory.stat"] == b"same"


def test_the_format_is_zstd(tmp_path: Path) -> None:
    """Its own reader unpacks all frames."""
    texts = long_texts()
    write(tmp_path / "s", texts)
    text = unpacked(tmp_path / "s")
    assert text.count(b"\nE\n") == len(texts)
    assert all(one in text for one in texts)


def test_unpacking_is_bounded(tmp_path: Path) -> None:
    """A small file that would unpack to gigabytes is damage, and so is a frame that wants a large window."""
    bomb = zstandard.ZstdCompressor().compress(bytes(2**28))
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    for hostile in (bomb, bomb * 20, zstandard.ZstdCompressor(compression_params=wide).compress(os.urandom(2**20))):
        (tmp_path / "s").write_bytes(hostile)
        damage = Damage()
        assert list(read_samples(tmp_path / "s", damage)) == []
        assert damage.frames >= 1


def test_a_cgroup_that_is_gone_is_not_in_later_samples(tmp_path: Path) -> None:
    """After `gone`, the cgroup's files are no longer part of the state."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    source = writer.declare(APP, "memory.current", "/x")
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
    source = writer.declare(APP, "memory.stat", "/x")
    writer.put(source, b"first")
    writer.end(1, "tick")
    before = (tmp_path / "s").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
    writer.put(source, b"second")
    with pytest.raises(OSError, match="No space left"):
        writer.end(2 * SECOND_NS, "tick")
    assert (tmp_path / "s").read_bytes() == before


def test_a_hole_costs_the_samples_in_it(tmp_path: Path) -> None:
    """A disk that lost a part of the file has zeros there: what comes before and after reads well."""
    texts = [b"%04d" % number for number in range(40)]
    write(tmp_path / "s", texts)
    whole = unpacked(tmp_path / "s")
    for begin in range(0, len(whole), 7):
        end = min(len(whole), begin + 90)
        (tmp_path / "holed").write_bytes(whole[:begin] + bytes(end - begin) + whole[end:])
        found = [sample.files.get(APP, {}).get("memory.stat") for sample in read_samples(tmp_path / "holed")]
        got = [text for text in found if text is not None]
        assert set(got) <= set(texts)
        assert len(got) >= len(texts) - 8 or begin < 60  # without its declaration a source is not known


def test_when_a_sample_had_been_read_comes_back(tmp_path: Path) -> None:
    """Where it was recorded; older runs have only its beginning. One whose end makes no sense is left out."""
    writer = SampleWriter(tmp_path / "s")
    writer.open()
    for number, took_ns in ((1, 2_000_000), (2, None), (3, 0)):
        writer.end(number * SECOND_NS, "tick", took_ns)
    writer.close()
    assert [sample.until for sample in read_samples(tmp_path / "s")] == [1.002, None, 3.0]
    text = unpacked(tmp_path / "s")
    for wrong in (b"E -5\n", b"E x\n", b"E 1%s\n" % (b"0" * 30)):
        (tmp_path / "older").write_bytes(text.replace(b"E 2000000\n", wrong))
        damage = Damage()
        assert [sample.until for sample in read_samples(tmp_path / "older", damage)] == [None, 3.0]
        assert damage.lines == 1
    (tmp_path / "torn").write_bytes(text[:-1])
    assert len(list(read_samples(tmp_path / "torn"))) == 2
