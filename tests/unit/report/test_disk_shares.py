"""A disk that pods share by io.weight: who had how much of it, and what variants of that come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.report.compare.compare import compare
from emu.report.topics.churn import swap_words
from emu.report.topics.disk_shares import DISK_SHARES
from emu.study.model.machine import Device, Machine
from emu.study.model.requests import PhaseSpan, Request
from emu.study.model.study import Study
from emu.study.model.timeline import IoColumns, Timeline
from emu.study.swap_files import part_of, split

MIB = 2**20


def _study(noisy: int = 3 * MIB, weights: dict[str, int] | None = None) -> Study:
    """web reads 8 MiB in a second, and noisy something meanwhile."""
    machine = Machine(
        io_weights={"web": 100, "noisy": 10} if weights is None else weights,
        devices={"8:0": Device("8:0", "vda", "process")},
    )
    study = Study(RunDir(Path("shares")), duration_s=2.0, machine=machine)
    study.phases = [PhaseSpan("beside", 0.0, 1.0, 2.0, pod="web", container="app")]
    study.requests = [Request(0, "beside", 0.0, 0.0, 1.2, 1.2, 200, None, pod="web")]
    for pod, read in (("web", 8 * MIB), ("noisy", noisy)):
        owner = Owner(pod, "", None)
        line = Timeline(owner, t=[0.0, 1.0, 2.0], has_io=True)
        line.io["8:0"] = IoColumns(read_bytes=[0, read, read], write_bytes=[0, 0, 0])
        study.timelines[owner] = line
    return study


def test_what_each_pod_had_of_the_disk_is_named_with_its_weight() -> None:
    """First the pod that was asked; both by io.stat."""
    study = _study()
    assert DISK_SHARES.headline(study, {}) == [
        "web read 8 MiB in 1.2 s at an io.weight of 100 (beside); meanwhile noisy read 3 MiB at 10"
    ]
    (one,) = DISK_SHARES.figures(study)["disk_shares"]
    assert [(part["pod"], part["io_weight"], part["disk_read_bytes"]) for part in one["parts"]] == [
        ("web", 100, 8 * MIB),
        ("noisy", 10, 3 * MIB),
    ]
    listing = DISK_SHARES.listing(study)
    assert listing is not None
    assert [row[:4] for row in listing.rows] == [("beside", "web", 100, "8 MiB"), ("beside", "noisy", 10, "3 MiB")]


def test_the_time_beside_a_weight_is_that_of_the_median_answer() -> None:
    """As everywhere: the mean of two; what a client gave up after 30 s is no answer."""
    study = _study()
    study.requests = [
        replace(study.requests[0], id=number, done_s=took_s, error=error)
        for number, (took_s, error) in enumerate([(1.0, None), (2.0, None), (30.0, "timeout")])
    ]
    assert DISK_SHARES.figures(study)["disk_shares"][0]["took_s"] == 1.5
    assert DISK_SHARES.headline(study, {}) == [
        "web read 8 MiB at an io.weight of 100 (beside, 2 answers, 1.5 s in the median, at most 2.0 s); "
        "meanwhile noisy read 3 MiB at 10"
    ]
    study.requests = study.requests[2:]
    assert DISK_SHARES.figures(study) == {"disk_shares": []}


@pytest.mark.parametrize("study", [_study(noisy=0), _study(weights={})])
def test_a_disk_that_nobody_shares_is_no_subject(study: Study) -> None:
    """One pod alone had it, or no weight divides it."""
    assert DISK_SHARES.figures(study) == {"disk_shares": []}
    assert DISK_SHARES.headline(study, {}) == DISK_SHARES.sentences(study, {}) == []
    assert DISK_SHARES.listing(study) is None


def test_who_swaps_to_the_disk_of_others_is_named() -> None:
    """Without any weight: what it moved of swap, the tail of the answers beside it, and what that was alone."""
    study = _study(noisy=12 * MIB, weights={})
    study.machine.devices["8:0"] = Device("8:0", "vda", "files and swap")
    study.phases = [
        PhaseSpan("alone", -1.0, -0.5, 0.0, pod="web", container="app"),
        PhaseSpan("beside", 0.0, 1.0, 2.0, pod="web", container="app"),
    ]
    study.requests = [
        Request(number, phase, 0.0, 0.0, took_s, took_s, 200, None, pod="web")
        for phase, took_s in (("alone", 0.1), ("beside", 0.8))
        for number in range(100)
    ]
    web, noisy = study.timelines.values()
    web.t, read = [-1.0, -0.6, -0.2, 0.5, 2.0], [0, 4 * MIB, 4 * MIB, 4 * MIB, 8 * MIB]
    web.io["8:0"] = IoColumns(read, [0] * len(read))
    noisy.swap = [0, MIB, MIB]
    split(study.machine.devices, [web, noisy], 4096)
    (older,) = DISK_SHARES.headline(study, {})
    assert "; meanwhile noisy read 12 MiB (files and swap) on the same disk; " in older
    noisy.swapped_in = noisy.swapped_out = [0, 12 * 256, 12 * 256]
    web.io.pop(part_of("8:0"))
    study.machine.devices.pop(part_of("8:0"))
    split(study.machine.devices, [web, noisy], 4096)
    assert DISK_SHARES.headline(study, {}) == [
        "web read 4 MiB (beside, 100 answers, 800 ms in the median, p99 800 ms); meanwhile noisy swapped in 12 MiB "
        "on the same disk; alone (alone) p99 was 100 ms"
    ]
    alone, beside = study.requests[:100], study.requests[100:]
    study.requests = [*alone[:50], *beside]
    assert "; alone" not in DISK_SHARES.headline(study, {})[0]
    study.requests = [replace(alone[0], done_s=0.3), *alone[1:50], *beside[:50]]
    (few,) = DISK_SHARES.headline(study, {})
    assert "800 ms in the median, at most 800 ms); " in few and few.endswith("; alone (alone) it took at most 300 ms")
    assert len(DISK_SHARES.sentences(study, {})) == 1
    assert DISK_SHARES.listing(study) is not None


def test_what_swaps_to_compressed_memory_is_named() -> None:
    """All of its devices, or it is a disk."""
    zram, disk = Device("253:0", "zram0", "swap"), Device("8:0", "vda", "swap")
    assert Machine().swaps_to is None
    assert Machine(devices={"253:0": zram}).swaps_to == "zram"
    assert Machine(devices={"253:0": zram, "8:0": disk}).swaps_to == "disk"


def _swapped(to: str, **known: int) -> dict[str, Any]:
    return {"machine": {"swaps_to": to}, "containers": {"app": {"swap_peak_bytes": 80 * MIB, **known}, "b": {}}}


def test_who_pays_for_swap_is_what_its_variants_differ_in() -> None:
    """A disk takes what it is written, zswap stays charged, and zram is charged to nobody."""
    assert swap_words({"containers": {"app": {"swap_peak_bytes": 0}}}) == ("", "")
    assert swap_words(_swapped("disk", swap_io_write_bytes=82 * MIB)) == ("disk", "app wrote 82 MiB to disk")
    zswap = _swapped("disk", zswapped_peak_bytes=100 * MIB, zswap_peak_bytes=30 * MIB, swap_io_write_bytes=0)
    assert swap_words(zswap) == (
        "zswap",
        "100 MiB of app were compressed into 30 MiB that it is charged for, and none was written to disk",
    )
    zram = {**_swapped("zram"), "host": {"zram_stored_peak_bytes": 84 * MIB, "zram_peak_bytes": 21 * MIB}}
    said = "80 MiB of app went to memory that it is not charged for"
    assert swap_words(zram) == ("zram", f"{said}, where 84 MiB took 21 MiB")
    assert swap_words(_swapped("zram")) == ("zram", said)
    assert swap_words(_swapped("zram", swap_io_write_bytes=44 * MIB)) == (
        "zram",
        "80 MiB of app went to memory that it is not charged for",
    )


def _variant(took_s: float, swapped: dict[str, Any] | None = None) -> dict[str, Any]:
    run = {
        "emu": "1", "where": "host", "wall_time": "", "duration_s": 1.0, "machine": {}, "ended": True, "met": True,
        "interrupted": False, "failed": None, "expectations": [], "time_scale": 1.0, "containers": {},
        "disk_shares": [{}],
        "page_cache": {
            "reads": [{"pod": "web", "container": "app", "file": "f", "took_s": took_s, "disk_read_bytes": 8 * MIB}]
        },
    }  # fmt: skip
    return {**run, **(swapped or {})}


@pytest.mark.parametrize(
    ("took_s", "begins"),
    [
        (3.1, "web/app read f in 3.1 s with equal and 1.2 s with weighted"),
        (1.3, "No read took much longer"),
    ],
)
def test_variants_of_a_weight_are_compared_by_their_reads(took_s: float, begins: str) -> None:
    """Also where it changed nothing: that is the answer then."""
    said = compare({"equal": _variant(took_s), "weighted": _variant(1.2)}, [], "x")["verdict"]["headline"]
    assert said.startswith(begins)


def test_variants_that_swap_elsewhere_are_compared_by_that() -> None:
    """Not by how much memory was held for how long."""
    disk = {**_variant(1.0, _swapped("disk", swap_io_write_bytes=82 * MIB)), "disk_shares": []}
    zram = {**_variant(1.0, _swapped("zram")), "disk_shares": []}
    assert compare({"disk": disk, "zram": zram}, [], "x")["verdict"]["headline"] == (
        "disk: app wrote 82 MiB to disk; zram: 80 MiB of app went to memory that it is not charged for"
    )
    assert replace(Machine(), io_weights={"a": 1}).io_weights == {"a": 1}
