"""The topic of warm-up: what the first request of a pod that came back read, and what was read before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emu.record.events import Owner
from emu.record.rundir import RunDir
from emu.report.topics.warm_up import WARM_UP, compared
from emu.study.model.instances import Instance
from emu.study.model.requests import PhaseSpan, Request
from emu.study.model.study import Study
from emu.study.model.timeline import IoColumns, Timeline
from emu.study.pods import named

MIB = 2**20
POD = "model-00001-deployment-5cb57899fb-2gr6k"
FIRST = Request(
    1, "back", 1.0, 1.0, 3.4, 3.4, 200, None, begun_s=1.0, pod=POD, container="app", forwarded_s=3.0, cold=True
)


def _study(reads: list[int], refaults: list[int] | None = None) -> Study:
    """A pod that is made at 1 s, gets its first request at 3 s and has answered it at 3.4 s."""
    study = Study(RunDir(Path("back")), duration_s=5.0)
    t = [1.0, 2.0, 2.5, 2.9, 3.1, 3.5, 4.0]
    study.instances = [Instance("app", 0, pod=POD), Instance("queue-proxy", 0, pod=POD)]
    study.phases = [PhaseSpan("back", 1.0, 3.4, 5.0, pod="model", container="app", reads="weights")]
    study.requests = [FIRST, replace(FIRST, id=2, forwarded_s=3.01)]
    for container, read in (("app", reads), ("queue-proxy", [MIB] * 7)):
        owner = Owner(POD, container, 0)
        study.timelines[owner] = Timeline(
            owner, t=t, refaults=refaults or [0] * 7, pgmajfault=[0, 1, 1, 1, 1, 3, 3],
            io={"98:0": IoColumns(list(read), [0] * 7)}, has_io=True,
        )  # fmt: skip
    return study


def test_what_was_read_before_the_request_is_not_its_own() -> None:
    """Samples that were surely read before it was sent on count to the start, all others up to its answer to it."""
    study = _study([0, 2 * MIB, 2 * MIB, 2 * MIB, 30 * MIB, 66 * MIB, 66 * MIB], [0, 0, 0, 0, 0, 16384, 16384])
    (found,) = WARM_UP.figures(study)["warm_ups"]
    assert (found["pod"], found["container"], found["file"]) == (POD, "app", "weights")
    assert (found["start_disk_read_bytes"], found["request_disk_read_bytes"]) == (2 * MIB, 64 * MIB)
    assert (found["start_major_faults"], found["request_major_faults"]) == (1, 2)
    assert found["refault_bytes"] == 64 * MIB
    assert (found["start_s"], round(found["request_s"], 3), round(found["took_s"], 3)) == (2.0, 0.4, 2.4)
    (said,) = WARM_UP.headline(study, {"warm_ups": [found]})
    assert said == (
        "the first request after scale to zero read 64 MiB from disk, and took 2.4 s: 2.0 s for the start of the pod "
        "and 400 ms in it"
    )
    (dropped,) = WARM_UP.sentences(study, {"warm_ups": [found]})
    assert "read from disk as it came back, 64 MiB had been in the page cache" in dropped


def test_a_prefetch_is_read_before_the_pod_is_ready() -> None:
    """The same bytes, at another time; and a report with several workloads counts the same."""
    study = _study([0, 40 * MIB, 64 * MIB, 64 * MIB, 64 * MIB, 64 * MIB, 64 * MIB])
    for each in (study, named(study)):
        (found,) = WARM_UP.figures(each)["warm_ups"]
        assert (found["start_disk_read_bytes"], found["request_disk_read_bytes"]) == (64 * MIB, 0)
    (said,) = WARM_UP.sentences(study, {"warm_ups": [found]})
    assert said == "model-00001/app read 64 MiB from disk before it was ready, while the request waited for it."


def test_pages_that_outlived_their_pod_are_named() -> None:
    """Nothing was read at all."""
    study = _study([0] * 7)
    (said,) = WARM_UP.sentences(study, WARM_UP.figures(study))
    assert "came back and found weights in memory" in said
    listing = WARM_UP.listing(study)
    assert listing is not None
    assert listing.rows[0][:2] == ("model-00001/app", "weights")


def test_only_a_pod_that_was_waited_for_counts() -> None:
    """A request to a pod that was there is no warm-up, nor is one that reads nothing."""
    study = _study([0] * 7)
    assert WARM_UP.figures(replace(study, requests=[replace(FIRST, cold=False)])) == {"warm_ups": []}
    assert WARM_UP.figures(replace(study, phases=[replace(study.phases[0], reads=None)])) == {"warm_ups": []}
    assert WARM_UP.listing(replace(study, requests=[])) is None


def test_variants_are_compared_by_what_the_first_request_read() -> None:
    """Each with its bytes and its times; one alone is no comparison."""
    kept = {"request_disk_read_bytes": 0, "took_s": 2.0, "request_s": 0.05}
    lost = {"request_disk_read_bytes": 64 * MIB, "took_s": 2.4, "request_s": 0.45}
    assert compared([("kept", [kept]), ("lost", [lost])]) == (
        "The first request after scale to zero read from disk 0 B with kept and 64 MiB with lost, and took 2.0 s (50 "
        "ms in the pod) and 2.4 s (450 ms in the pod)"
    )
    assert compared([("kept", [kept]), ("never", [])]) == ""
