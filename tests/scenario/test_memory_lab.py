"""The memory lab: what the report says of page cache and swap equals the kernel's own counters, read here by no
code of the report's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from emu.record.samples import read_samples
from tests.scenario.support import Finished
from tests.scenario.test_scenarios import part_of

pytestmark = pytest.mark.scenario
EmuRun = Callable[..., Finished]
PAGE = 4096
DISK = re.compile(rb"^(\d+:\d+) .*?\brbytes=(\d+)", re.MULTILINE)
REFAULTS = re.compile(rb"^workingset_refault_file (\d+)$", re.MULTILINE)


def _readings(done: Finished, pod: str, file: str) -> Iterator[tuple[float, bytes]]:
    """Every text of a control file of a pod's app, with its time."""
    for sample in read_samples(done.run.samples):
        for owner, files in sample.files.items():
            if (owner.pod, owner.container) == (pod, "app") and file in files:
                yield sample.t, files[file]


def _last(done: Finished, pod: str, file: str) -> bytes:
    *_, (_, text) = _readings(done, pod, file)
    return text


@part_of("page-cache-curve")
def test_a_curve_s_figures_are_the_kernel_s(emu_run: EmuRun) -> None:
    """page-cache-curve: over both reads of each pod, bytes equal io.stat to the byte and refaults memory.stat to the
    page; under a limit that saves nothing every page of the file was read twice.
    """
    done = emu_run("page-cache-curve")
    reads = done.summary["page_cache"]["reads"]
    pods = list(dict.fromkeys(one["pod"] for one in reads))
    assert len(pods) == 6
    for pod in pods:
        mine = [one for one in reads if one["pod"] == pod]
        refaults = int(REFAULTS.findall(_last(done, pod, "memory.stat"))[0])
        rbytes = sum(int(count) for _, count in DISK.findall(_last(done, pod, "io.stat")))
        assert sum(one["refault_bytes"] for one in mine) == refaults * PAGE
        figures = done.summary["pods"][pod]["containers"]["app"]
        assert (figures["io_read_bytes"], figures["refault_bytes"]) == (rbytes, refaults * PAGE)
    assert done.summary["page_cache"]["read_again_up_to_bytes"] == 256 * 2**20
    assert done.summary["page_cache"]["kept_from_bytes"] == 288 * 2**20
    assert "a second read of model came from disk again" in done.summary["verdict"]["headline"]


@part_of("page-cache-owner")
def test_the_owner_of_a_page_is_who_read_it_first(emu_run: EmuRun) -> None:
    """page-cache-owner: the first reader's memory.stat has the file, the second one's never does, and the pod of the
    first has it after its container's end.
    """
    done = emu_run("page-cache-owner")
    charged = {
        pod: max(
            int(re.findall(rb"^file (\d+)$", text, re.MULTILINE)[0])
            for _, text in _readings(done, pod, "memory.stat")
        )
        for pod in ("first", "second")
    }
    assert charged["first"] >= 64 * 2**20 > 4 * 2**20 >= charged["second"]
    assert "first/app read model first and pays for" in done.summary["verdict"]["headline"]
    assert any("stayed charged to its pod" in one for one in done.summary["verdict"]["sentences"])


@part_of("anon-limit")
def test_swap_is_what_decides_how_long_it_lives(emu_run: EmuRun) -> None:
    """anon-limit: what is said of swap is what io.stat and memory.swap.current say."""
    done = emu_run("anon-limit")
    for pod in ("little", "enough"):
        figures = done.summary["pods"][pod]["containers"]["app"]
        swap = [int(text) for _, text in _readings(done, pod, "memory.swap.current")]
        assert figures["swap_peak_bytes"] == max(swap)
        written = re.findall(rb"wbytes=(\d+)", _last(done, pod, "io.stat"))
        assert figures["io_write_bytes"] == sum(map(int, written))
    assert [kill["pod"] for kill in done.summary["oom_kills"]] == ["none", "little"]


@part_of("memory-high")
def test_memory_high_is_named(emu_run: EmuRun) -> None:
    """memory-high: nothing is called an OOM, and the words say what held both containers back."""
    done = emu_run("memory-high")
    said = " ".join([done.summary["verdict"]["headline"], *done.summary["verdict"]["sentences"]])
    for pod in ("waits", "probed"):
        assert f"{pod}/app was throttled at its memory.high of 48 MiB" in said, said
    assert done.summary["oom_kills"] == []
