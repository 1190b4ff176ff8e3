"""Texts of control files → values. The good texts were read from a kernel; see tests/fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cgroups import NO_LIMIT, parse
from cgroups.cpu import CpuMax
from cgroups.errors import BadValue
from cgroups.io import IoMax
from cgroups.memory import MemoryEvents, MemoryStat
from cgroups.psi import PressureLine

TREE = Path(__file__).parents[2] / "fixtures" / "uml-6.1" / "cgroup"


def text(name: str) -> str:
    """A captured control file."""
    return (TREE / name).read_text()


def test_memory_stat_by_key() -> None:
    """memory.stat is read by key, and page cache is what is in `file` and not in `shmem`."""
    stat = parse.parse_memory_stat(text("memory.stat"))
    assert stat.file is not None and stat.file > 8 << 20
    assert stat.shmem == 0
    assert stat.page_cache == stat.file
    assert stat.get("pgfault") == stat.pgfault == stat.values["pgfault"]


def test_memory_stat_of_str_and_bytes_is_the_same() -> None:
    """Recorded bytes and text read now give the same values."""
    assert parse.parse_memory_stat(text("memory.stat").encode()) == parse.parse_memory_stat(text("memory.stat"))


def test_a_key_that_the_kernel_lacks_is_none_and_not_zero() -> None:
    """Absent is `None`: a kernel without pswpin did not swap in 0 pages, it did not say."""
    stat = parse.parse_memory_stat("anon 1\nfile 4096\n")
    assert stat.pswpin is None
    assert stat.page_cache is None
    assert stat.anon == 1


def test_a_key_of_a_newer_kernel_is_kept() -> None:
    """A key that has no name here is still there by its own."""
    assert parse.parse_memory_stat("anon 1\nshiny_new 7\n").get("shiny_new") == 7


def test_pick_gives_what_the_whole_parser_gives() -> None:
    """The cheap way to a few keys agrees with the whole parser, first and last key included."""
    flat = parse.parse_flat(text("memory.stat"))
    keys = [*list(flat), "no_such_key"]
    expected = {**flat, "no_such_key": None}
    assert parse.pick(text("memory.stat"), keys) == expected
    assert parse.pick(text("memory.stat").rstrip().encode(), keys) == expected


def test_pick_takes_whole_keys() -> None:
    """`file` is not found within `inactive_file` or `file_mapped`."""
    assert parse.pick("inactive_file 1\nfile_mapped 2\nfile 3\n", ["file"]) == {"file": 3}


def test_memory_events_of_an_old_kernel_have_no_group_kills() -> None:
    """Kernels before 5.17 do not count group kills: `None`, which is not 0."""
    assert parse.parse_events(text("memory.events")) == MemoryEvents(0, 0, 0, 0, 0, 0, None)
    assert parse.parse_events("low 0\nhigh 0\nmax 35\noom 1\noom_kill 1\n").oom_group_kill is None


def test_events_since_an_earlier_reading() -> None:
    """The rise of each count; one that is not there stays None."""
    before, after = parse.parse_events("oom 1\noom_kill 1\n"), parse.parse_events("oom 2\noom_kill 4\n")
    assert after.since(before) == MemoryEvents(oom=1, oom_kill=3)


def test_no_limit_is_neither_a_number_nor_none() -> None:
    """Three facts, three values: "max" is NO_LIMIT, 0 is 0."""
    assert parse.parse_limit(text("memory.max")) is NO_LIMIT
    assert parse.parse_limit(b"max\n") is NO_LIMIT
    assert parse.parse_limit(text("memory.min")) == 0
    assert str(NO_LIMIT) == "max"


def test_io_stat_by_device() -> None:
    """Bytes and requests of each device."""
    reported = parse.parse_io_stat(text("io.stat"))
    assert list(reported) == ["98:0"]
    assert reported["98:0"].rbytes == 8389632
    assert reported["98:0"].wios == 68


def test_io_stat_of_no_io_is_empty() -> None:
    """A cgroup that never touched a block device has an empty io.stat."""
    assert parse.parse_io_stat("") == {}


def test_io_stat_with_a_device_that_lost_its_newline() -> None:
    """Some kernels write an idle device without a newline: the next one's numbers are not taken for its own."""
    reported = parse.parse_io_stat("7:0 254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n")
    assert reported["7:0"].rbytes is None
    assert reported["254:0"].rbytes == 4096


def test_io_max_reads_back_as_it_is_written() -> None:
    """An `IoMax` is written in the form that the kernel gives back."""
    assert parse.parse_io_max(text("io.max")) == {"98:0": IoMax("98:0", rbps=1048576, wiops=100)}
    assert str(IoMax("98:0", rbps=1048576, wiops=100)) == text("io.max").strip()


def test_cpu_files() -> None:
    """cpu.stat in microseconds, cpu.max with its period."""
    assert parse.parse_cpu_stat(text("cpu.stat")).usage_usec == 140000
    assert parse.parse_cpu_stat("usage_usec 5\nuser_usec 5\nsystem_usec 0\n").nr_throttled is None
    assert parse.parse_cpu_max(text("cpu.max")) == CpuMax(NO_LIMIT, 100000)
    assert parse.parse_cpu_max("50000 100000\n") == CpuMax(50000, 100000)


def test_pressure() -> None:
    """PSI: shares in per cent, the total in microseconds; a line that is not there is `None`."""
    reported = parse.parse_pressure(
        "some avg10=85.10 avg60=2.00 avg300=0.00 total=3902\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"
    )
    assert reported.some == PressureLine(85.1, 2.0, 0.0, 3902)
    assert reported.full is not None and reported.full.total_usec == 12
    assert parse.parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n").full is None


def test_core_files() -> None:
    """cgroup.events, cgroup.stat, and lists of controllers and processes."""
    assert parse.parse_cgroup_events(text("cgroup.events")).populated is False
    assert parse.parse_cgroup_events("populated 1\n").frozen is None
    assert parse.parse_cgroup_events("populated 1\nfrozen 1\n").frozen is True
    assert parse.parse_cgroup_stat(text("cgroup.stat")).nr_dying_descendants == 0
    assert parse.parse_words(text("cgroup.controllers")) == {"cpu", "io", "memory", "pids"}
    assert parse.parse_words(text("cgroup.subtree_control")) == frozenset()
    assert parse.parse_pids("12\n7\n") == [12, 7]


@pytest.mark.parametrize(
    ("function", "broken"),
    [
        (parse.parse_int, ""),
        (parse.parse_limit, "maximum"),
        (parse.parse_flag, "2"),
        (parse.parse_pids, "12\nx\n"),
        (parse.parse_flat, "anon 1\nfile"),
        (parse.parse_flat, "anon one\n"),
        (parse.parse_memory_stat, b"anon 1\n\xff\xfe 2 3\n"),
        (parse.parse_cgroup_events, "frozen 0\n"),
        (parse.parse_io_stat, "rbytes=1\n"),
        (parse.parse_io_stat, "8:0 rbytes=x\n"),
        (parse.parse_cpu_max, "max\n"),
        (parse.parse_pressure, "some avg10=0.00\n"),
    ],
)
def test_a_broken_text_is_refused_and_shown(function: Callable[[str | bytes], object], broken: str | bytes) -> None:
    """No text of another form is half read: it raises, and the error shows it."""
    with pytest.raises(BadValue) as caught:
        function(broken)
    assert caught.value.why and caught.value.fix
    shown = broken if isinstance(broken, str) else broken.decode("utf-8", "replace")
    assert repr(shown) in caught.value.what


def test_an_empty_memory_stat_knows_nothing() -> None:
    """An empty text is a stat without keys, never zeros."""
    assert MemoryStat({}) == parse.parse_memory_stat("")
    assert parse.parse_memory_stat("").anon is None
