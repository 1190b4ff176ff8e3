"""The topic of page cache: reads of files, the knee between limits, and who pays for what several pods read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.report.topics.page_cache import PAGE_CACHE
from emu.report.topics.topic import Picture, View
from emu.study.model.instances import Instance
from emu.study.model.requests import PhaseSpan, Request
from emu.study.model.study import Study
from emu.study.model.timeline import IoColumns, Timeline
from emu.study.pods import named

MIB = 2**20
FILE = 256 * MIB


def _line(owner: Owner, limit: int, reads: list[int], refaults: list[int], charged: list[int]) -> Timeline:
    """A cgroup sampled at each half second; counters in bytes, refaults in pages."""
    return Timeline(
        owner, t=[0.0, 0.5, 1.0, 1.5, 2.0, 2.5], memory_max=[limit] * 6, page_cache=list(charged),
        refaults=list(refaults),
        io={"98:0": IoColumns(list(reads), [0] * 6)}, has_io=True,
    )  # fmt: skip


def _answer(number: int, phase: str, took_s: float) -> Request:
    return Request(number, phase, 0.0, 0.0, took_s, took_s, 200, None, begun_s=0.0)


def _phase(name: str, begin: float, end: float, pod: str, *, files_of: str = "") -> PhaseSpan:
    return PhaseSpan(name, begin, end, end, pod=pod, container="app", reads="model", files_of=files_of or pod)


def _curve() -> Study:
    """`small` reads the file twice from disk, `large` once."""
    study = Study(RunDir(Path("curve")), duration_s=2.5)
    for pod in ("small", "large"):
        study.instances.append(Instance("app", 0, pod=pod))
    study.phases = [
        _phase(f"{pod}-{nth}", at, at + 1, pod) for pod in ("small", "large") for nth, at in ((1, 0), (2, 1))
    ]
    study.requests = [_answer(n, phase.name, 0.25) for n, phase in enumerate(study.phases)]
    small, large = (Owner(pod, "app", 0) for pod in ("small", "large"))
    pages = FILE // 4096
    twice, once = [0, FILE, FILE, 2 * FILE, 2 * FILE, 2 * FILE], [0, *[FILE] * 5]
    study.timelines[small] = _line(small, 256 * MIB, twice, [0, 0, 0, pages, pages, pages], [240 * MIB] * 6)
    study.timelines[large] = _line(large, 288 * MIB, once, [0] * 6, [FILE] * 6)
    return study


def test_the_knee_lies_between_two_limits() -> None:
    """The largest limit that saved nothing and the smallest that saved all are named, with what each cost."""
    study = _curve()
    figures = PAGE_CACHE.figures(study)["page_cache"]
    assert (figures["read_again_up_to_bytes"], figures["kept_from_bytes"]) == (256 * MIB, 288 * MIB)
    assert [one["disk_read_bytes"] for one in figures["reads"]] == [FILE, FILE, FILE, 0]
    assert [one["refault_bytes"] for one in figures["reads"]] == [0, FILE, 0, 0]
    (said,) = PAGE_CACHE.headline(named(study), {})
    assert said.startswith("up to a limit of 256 MiB a second read of model came from disk again (256 MiB refaulted")
    assert "from 288 MiB on from memory" in said


def test_the_knee_is_drawn_where_there_are_limits_enough() -> None:
    """With the reads on either side of it; of two limits the table is enough."""
    study = _curve()
    assert list(PAGE_CACHE.more(View(study, study, {}))) == []
    study.instances.append(Instance("app", 0, pod="tiny"))
    study.phases += [_phase(f"tiny-{nth}", at, at + 1, "tiny") for nth, at in ((1, 0), (2, 1))]
    study.requests = [_answer(n, phase.name, 0.25) for n, phase in enumerate(study.phases)]
    study.timelines[Owner("tiny", "app", 0)] = replace(
        study.timelines[Owner("small", "app", 0)], owner=Owner("tiny", "app", 0), memory_max=[32 * MIB] * 6
    )
    (drawn,) = PAGE_CACHE.more(View(study, study, {}))
    assert isinstance(drawn, Picture)
    picture = drawn.draw()
    assert "the knee is between 256 MiB and 288 MiB" in picture
    assert "later read under 32 MiB: 256 MiB from disk, 256 MiB refaulted, 250 ms" in picture
    assert picture.count("first read under") == 3


def test_a_read_is_a_row(tmp_path: Path) -> None:
    """Each with its limit, its bytes and a bar; one read alone is no table."""
    study = _curve()
    listing = PAGE_CACHE.listing(named(study))
    assert listing is not None
    assert [row[0] for row in listing.rows] == ["small/app", "small/app", "large/app", "large/app"]
    assert [row[6] for row in listing.rows] == ["█" * 10, "█" * 10, "█" * 10, ""]
    assert PAGE_CACHE.listing(replace(study, phases=study.phases[:1])) is None


def test_no_knee_where_the_limit_decides_nothing() -> None:
    """A larger limit read again and a smaller one did not: then no limit is named."""
    study = _curve()
    study.timelines[Owner("small", "app", 0)].memory_max = [512 * MIB] * 6
    figures = PAGE_CACHE.figures(study)["page_cache"]
    assert (figures["read_again_up_to_bytes"], figures["kept_from_bytes"]) == (None, None)
    assert PAGE_CACHE.headline(study, {}) == []


def test_limits_on_one_side_of_the_knee_are_said_to_be() -> None:
    """The file fits under all of them, or under none; of a single limit it is other topics that speak."""
    study = _curve()
    small, large = (study.timelines[Owner(pod, "app", 0)] for pod in ("small", "large"))
    small.io, small.refaults = large.io, large.refaults
    assert PAGE_CACHE.headline(named(study), {}) == [
        "a second read of model came from memory under each limit, 256 MiB the smallest (250 ms)"
    ]
    small.memory_max = list(large.memory_max)
    assert PAGE_CACHE.headline(named(study), {}) == []
    study = _curve()
    small, large = (study.timelines[Owner(pod, "app", 0)] for pod in ("small", "large"))
    large.io, large.refaults = small.io, small.refaults
    assert PAGE_CACHE.headline(named(study), {}) == [
        "a second read of model came from disk again under each limit, 288 MiB the largest "
        "(256 MiB refaulted, 250 ms)"
    ]


def test_a_read_takes_what_its_median_answer_took() -> None:
    """As everywhere: the mean of two; what a client gave up after 30 s is no answer."""
    study = _curve()
    phase = study.phases[-1].name
    given_up = replace(_answer(8, phase, 30.0), error="timeout")
    study.requests = [_answer(6, phase, 0.25), _answer(7, phase, 0.35), given_up]
    (one,) = PAGE_CACHE.figures(study)["page_cache"]["reads"]
    assert one["took_s"] == pytest.approx(0.3)
    study.requests = [given_up]
    assert PAGE_CACHE.figures(study)["page_cache"]["reads"] == []


def test_bytes_from_disk_are_refaults_only_where_the_kernel_counted_them() -> None:
    """A kernel without workingset_refault_file leaves what io.stat has."""
    study = _curve()
    for line in study.timelines.values():
        line.refaults = [None] * 6
    assert "came from disk again (256 MiB, 250 ms)" in PAGE_CACHE.headline(named(study), {})[0]


def test_a_reader_that_found_a_part_pays_for_the_rest() -> None:
    """The first one's limit was too small for the file, so the second read what had been dropped."""
    study = Study(RunDir(Path("owner")), duration_s=2.5)
    study.instances = [Instance("app", 0, pod="first"), Instance("app", 0, pod="second")]
    study.phases = [_phase("one", 0.0, 1.0, "first"), _phase("two", 1.0, 2.0, "second", files_of="first")]
    study.requests = [_answer(n, phase.name, 0.1) for n, phase in enumerate(study.phases)]
    half = FILE // 2
    for pod, reads in (("first", [0, *[FILE] * 5]), ("second", [0, 0, 0, half, half, half])):
        study.timelines[Owner(pod, "app", 0)] = _line(Owner(pod, "app", 0), 512 * MIB, reads, [0] * 6, [half] * 6)
    assert PAGE_CACHE.headline(named(study), {}) == [
        "first/app read model first and pays for 128 MiB of page cache; second/app read 128 MiB of it from "
        "disk again and pays for 128 MiB"
    ]
    assert not [said for said in PAGE_CACHE.sentences(named(study), {}) if "looks" in said]


def test_who_reads_first_pays() -> None:
    """Of two pods with one volume the second reads from memory; after its end the first one's pod still pays."""
    study = Study(RunDir(Path("owner")), duration_s=2.5)
    study.instances = [Instance("app", 0, pod="first", exited_s=1.0, exit_code=0), Instance("app", 0, pod="second")]
    study.phases = [
        _phase("one", 0.0, 1.0, "first"),
        _phase("two", 1.0, 2.0, "second", files_of="first"),
    ]
    study.requests = [_answer(n, phase.name, 0.1) for n, phase in enumerate(study.phases)]
    for pod, reads, charged in (("first", [0, *[FILE] * 5], [FILE] * 6), ("second", [0] * 6, [0] * 6)):
        for owner in (Owner(pod, "app", 0), Owner(pod, "", None)):
            study.timelines[owner] = _line(owner, 512 * MIB, reads, [0] * 6, charged)
    (said,) = PAGE_CACHE.headline(named(study), {})
    assert said == (
        "first/app read model first and pays for 256 MiB of page cache; second/app read the same file from memory "
        "(0 B charged)"
    )
    sentences = PAGE_CACHE.sentences(named(study), {})
    assert any("first/app looks 256 MiB larger than second/app" in one for one in sentences)
    assert any("256 MiB of page cache stayed charged to its pod" in one for one in sentences)
