"""Records of /dev/kmsg, and what is reported when some are lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroups import errors, kmsg
from cgroups.kmsg import KmsgGap, KmsgReader, KmsgRecord

FIXTURES = Path(__file__).parents[2] / "fixtures"
CAPTURED = (FIXTURES / "debian-6.1" / "kmsg-memcg-oom.txt").read_bytes().splitlines()


class Device:
    """A pipe in packet mode stands in for the device: one write is one record, one read takes one."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
        self.path = f"/proc/self/fd/{self.reading}"

    def log(self, *records: bytes) -> None:
        """Put records where the reader finds them."""
        for record in records:
            os.write(self.writing, record)


@pytest.fixture
def device() -> Iterator[Device]:
    """A made-up kernel log."""
    made = Device()
    yield made
    os.close(made.reading)
    os.close(made.writing)


def record(sequence: int, prefix: int = 6) -> bytes:
    """A record with this number."""
    return b"%d,%d,5140900,-;words\n" % (prefix, sequence)


def test_a_captured_record() -> None:
    """Level and facility from the prefix, number, time, text."""
    parsed = kmsg.parse_record(CAPTURED[1])
    assert (parsed.priority, parsed.facility, parsed.sequence, parsed.timestamp_us) == (4, 0, 375, 3314901)
    assert parsed.text.startswith("hog invoked oom-killer: ")
    assert parsed.raw == CAPTURED[1]


def test_a_record_of_a_process_has_another_facility() -> None:
    """What a process wrote to /dev/kmsg (12 is user.warn) does not pass for the kernel's word."""
    parsed = kmsg.parse_record(CAPTURED[0])
    assert (parsed.facility, parsed.priority, parsed.text) == (1, 4, "##### K1")


def test_escapes_are_undone() -> None:
    """The statistics of a memory cgroup come as one record with escaped newlines."""
    stats = next(parsed for parsed in map(kmsg.parse_record, CAPTURED) if parsed.text.startswith("anon "))
    assert stats.text.splitlines()[:2] == ["anon 66916352", "file 0"]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [(rb"caf\xc3\xa9", "café"), (rb"a\x5cx0ab", r"a\x0ab"), (rb"\xff", r"\xff"), (rb"a;b,c", "a;b,c")],
)
def test_escapes_one_by_one(escaped: bytes, text: str) -> None:
    """UTF-8, a backslash that is a backslash, a byte that is no text, and punctuation of the header."""
    assert kmsg.parse_record(b"6,1,2,-;" + escaped + b"\n").text == text


def test_lines_that_go_on_with_a_record() -> None:
    """KEY=value lines are the record's tags; who printed it is its caller."""
    parsed = kmsg.parse_record(b"7,160,424069,-,caller=T123;pci\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n")
    assert parsed.tags == {"SUBSYSTEM": "acpi", "DEVICE": "+acpi:PNP0A03:00"}
    assert parsed.caller == "T123"
    assert parsed.text == "pci"


@pytest.mark.parametrize("broken", [b"", b"Terminated", b"a,b,c,-;text", b"4,375;text", b"4,375,3314901,-"])
def test_a_broken_record_is_refused(broken: bytes) -> None:
    """Half a record is not a record."""
    with pytest.raises(errors.BadValue):
        kmsg.parse_record(broken)


def test_dmesg_text() -> None:
    """The text of dmesg gives the same words and times, without numbers."""
    parsed = kmsg.parse_dmesg("lost\n[ 1905.951924] python3 invoked\n[    2.000001] two\nlines\n")
    assert [(record.timestamp_us, record.text) for record in parsed] == [
        (1905951924, "python3 invoked"),
        (2000001, "two\nlines"),
    ]
    assert parsed[0].sequence is None


def test_reading_what_is_there_does_not_block(device: Device) -> None:
    """Everything that is there, then nothing, then what came since."""
    with KmsgReader(device.path) as reader:
        device.log(record(1), record(2))
        assert [found.sequence for found in reader.read_available() if isinstance(found, KmsgRecord)] == [1, 2]
        assert reader.read_available() == []
        device.log(record(3))
        assert len(reader.read_available()) == 1


def test_missing_numbers_are_a_gap(device: Device) -> None:
    """Records that were overwritten are counted, and stand where they are missing."""
    with KmsgReader(device.path) as reader:
        device.log(record(1), record(7))
        _, gap, after = reader.read_available()
    assert gap == KmsgGap(1, 7)
    assert isinstance(gap, KmsgGap) and gap.lost == 5
    assert isinstance(after, KmsgRecord)


def test_an_overrun_before_the_first_record_is_a_gap_of_unknown_size(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EPIPE says that something was lost; with nothing read before, nobody can say how much."""
    real, answers = os.read, [BrokenPipeError(errno.EPIPE, "overwritten")]

    def read(fd: int, size: int) -> bytes:
        if answers:
            raise answers.pop()
        return real(fd, size)

    with KmsgReader(device.path) as reader:
        device.log(record(9))
        monkeypatch.setattr(os, "read", read)
        gap, _ = reader.read_available()
    assert gap == KmsgGap(None, 9)
    assert isinstance(gap, KmsgGap) and gap.lost is None


def test_other_facilities_are_left_out_and_are_no_gap(device: Device) -> None:
    """A process's line is passed over, yet its number counts."""
    with KmsgReader(device.path) as reader:
        device.log(record(1), record(2, prefix=12), record(3))
        assert len(reader.read_available()) == 2
    with KmsgReader(device.path, facility=None) as reader:
        device.log(record(4), record(5, prefix=12))
        assert len(reader.read_available()) == 2


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """In a container without the device the error says how to pass it on."""
    with pytest.raises(errors.CgroupError, match="--device /dev/kmsg"):
        KmsgReader(tmp_path / "kmsg").open()
