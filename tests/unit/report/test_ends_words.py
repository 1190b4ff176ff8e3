"""How containers ended, in words: what a preStop hook took is not the container's own, and each kill has its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emu.record.events.pod import ContainerCreated, ContainerExited, PodResized
from emu.record.rundir import RunDir
from emu.report.journal import entries
from emu.report.summary import summarize
from emu.report.topics.churn import _near_hits, _swap
from emu.report.topics.ends import _why_it_failed, stop_words
from emu.study.model.instances import Instance
from emu.study.model.study import Happening, Study
from emu.study.study import read_study
from tests.fakes import MIB, FakeRun


def _run(path: Path) -> FakeRun:
    run = FakeRun(path, name="stopped")
    run.start("app", memory_max=64 * MIB)
    run.advance(1.0)
    return run


def test_a_hook_that_used_up_the_grace_period_is_named(tmp_path: Path) -> None:
    """SIGTERM comes after the hook, and SIGKILL two seconds after that: the app itself had only those."""
    run = _run(tmp_path / "run")
    run.stop("app", "pod", 4.0)
    run.advance(5.0)
    run.signal("app", 15)
    run.advance(7.0)
    run.signal("app", 9)
    run.exit("app", 137, asked=True)
    summary = summarize(read_study(run.finish()))
    assert summary["verdict"]["headline"].startswith(
        "app was asked to stop at 1.0 s: its preStop hook took all of its 4.0 s of grace, and it did not end on "
        "SIGTERM: SIGKILL came 2.0 s after that (exit code 137)"
    )


def test_an_app_that_ends_on_sigterm_after_its_hook_is_not_called_slow(tmp_path: Path) -> None:
    """What the hook took is not the app's."""
    run = _run(tmp_path / "run")
    run.stop("app", "pod", 30.0)
    run.advance(4.0)
    run.signal("app", 15)
    run.advance(4.1)
    run.exit("app", 0, asked=True)
    study = read_study(run.finish())
    assert stop_words(study, study.instances[-1]) == (
        "app was asked to stop at 1.0 s: its preStop hook took 3.0 s of its 30.0 s of grace, and it exited 100 ms "
        "after SIGTERM (exit code 0)."
    )


def test_a_probe_kill_names_the_hook_too(tmp_path: Path) -> None:
    """A failed probe runs the hook before SIGTERM."""
    run = _run(tmp_path / "run")
    run.stop("app", "liveness", 3.0)
    run.advance(2.0)
    run.signal("app", 15)
    run.advance(4.0)
    run.signal("app", 9)
    run.exit("app", 137, killed_for="liveness")
    headline = summarize(read_study(run.finish()))["verdict"]["headline"]
    assert headline == (
        "app was killed for its failing liveness probe at 4.0 s: its preStop hook took 1.0 s, and SIGKILL came 2.0 s "
        "after SIGTERM, which did not end it (exit code 137)"
    )


def test_kills_for_a_probe_are_counted_together(tmp_path: Path) -> None:
    """Whatever the exit code: one that ended on SIGTERM was killed for the probe as much as one that did not."""
    run = _run(tmp_path / "run")
    for attempt, code in enumerate((137, 0)):
        run.stop("app", "liveness", 2.0)
        run.signal("app", 15)
        run.advance(run.now + 2.0)
        if code:
            run.signal("app", 9)
        run.exit("app", code, killed_for="liveness")
        run.advance(run.now + 1.0)
        if not attempt:
            run.start("app", memory_max=64 * MIB)
            run.advance(run.now + 1.0)
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert verdict["headline"] == (
        "app was killed for its failing liveness probe twice, first at 3.0 s: once it did not end on SIGTERM, so "
        "SIGKILL came after 2.0 s of grace (exit codes 137 and 0)"
    )
    assert not any("killed" in words for words in verdict["sentences"])


def test_a_container_that_ignores_sigterm_is_named_where_its_pod_is_scaled_away(tmp_path: Path) -> None:
    """A process with the pid 1 gets no signal that it does not handle: it takes its whole grace period to go."""
    run = _run(tmp_path / "run")
    run.stop("app", "scale-down", 5.0)
    run.signal("app", 15)
    run.advance(6.0)
    run.signal("app", 9)
    run.exit("app", 137, asked=True)
    assert (
        "app did not end on SIGTERM as its pod was scaled away: SIGKILL came 5.0 s after it was asked to stop."
        in summarize(read_study(run.finish()))["verdict"]["sentences"]
    )


def test_a_pod_that_was_still_to_end_when_the_run_did_is_terminating(tmp_path: Path) -> None:
    """What the run's end did is not laid to the grace period, and the pod has not gone."""
    run = _run(tmp_path / "run")
    run.start("queue-proxy", memory_max=64 * MIB)
    run.status("2/2", "Running")
    run.sample()
    run.advance(2.0)
    for name in ("queue-proxy", "app"):
        run.stop(name, "scale-down", 300.0)
        run.signal(name, 15)
    run.advance(3.0)
    run.exit("queue-proxy", 0, asked=True)
    run.status("1/2", "Terminating")
    run.advance(60.0)
    run.stop("app", "run", 0.0)
    run.advance(62.0)
    run.signal("app", 9)
    run.exit("app", 137, asked=True)
    run.status("0/2", "Terminating")
    study = read_study(run.finish())
    summary = summarize(study)
    assert any("app (instance 0) ended with exit code 137: stopped by emu" in one.text for one in entries(study))
    assert (
        "app was asked to stop as its pod was scaled away at 2.0 s and still ran 58.0 s later, when the run ended: "
        "SIGKILL was due 5 min 0 s after it was asked." in summary["verdict"]["sentences"]
    )
    assert not any("did not end on SIGTERM" in text for text in summary["verdict"]["sentences"])
    assert (summary["pod"]["ready"], summary["pod"]["status"]) == ("1/2", "Terminating")
    states = {name: one["state"] for name, one in summary["containers"].items()}
    assert (states["queue-proxy"]["reason"], states["app"]["state"]) == ("Completed", "Running")


def test_several_kills_are_in_order_and_each_names_its_container(tmp_path: Path) -> None:
    """The one that is killed again last is still the first, and which process was whose is said."""
    run = FakeRun(tmp_path / "run", name="two")
    run.start("app", memory_max=64 * MIB).values.update(anon=60 * MIB)
    run.start("shipper", memory_max=32 * MIB).values.update(anon=30 * MIB)
    run.advance(1.0)
    run.oom("shipper")
    run.advance(2.0)
    run.oom("app")
    run.start("shipper", memory_max=32 * MIB).values.update(anon=30 * MIB)
    run.advance(3.0)
    run.oom("shipper")
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert "; app was OOM-killed too, at its own limit of 64 MiB" in verdict["headline"]
    said = [text.split(",")[0] for text in verdict["sentences"] if " process killed in " in text]
    assert said == ["The first process killed in shipper", "The process killed in app"]


def test_a_queue_proxy_that_still_drained_did_not_refuse_to_stop(tmp_path: Path) -> None:
    """It waits for a time without requests, which a short grace period has not."""
    run = _run(tmp_path / "run")
    run.start("queue-proxy", memory_max=64 * MIB)
    run.stop("queue-proxy", "pod", 4.0)
    run.signal("queue-proxy", 15)
    run.advance(5.0)
    run.signal("queue-proxy", 9)
    run.exit("queue-proxy", 137, asked=True)
    directory = run.finish()
    log = directory.new_log(run.name, "queue-proxy", 0)
    log.write_text(json.dumps({"t": run.t, "event": "drain", "quietSeconds": 30.0}, separators=(",", ":")) + "\n")
    headline = summarize(read_study(directory))["verdict"]["headline"]
    assert (
        "SIGKILL came after 4.0 s of grace, while it still drained, which takes 30.0 s without a request" in headline
    )


@pytest.mark.parametrize(
    ("out", "zswapped", "words"),
    [
        (0, 100 * MIB, "110 MiB there at the peak, up to 100 MiB of it compressed in memory, where it took 30 "
         "MiB (zswap), and nothing went to the swap device"),
        (5 * MIB, 100 * MIB, "5 MiB out, 0 B in, 110 MiB there at the peak, up to 100 MiB of it compressed in "
         "memory, where it took 30 MiB (zswap)"),
        (110 * MIB, 0, "110 MiB out, 0 B in, 110 MiB there at the peak"),
    ],
)  # fmt: skip
def test_what_was_swapped_went_to_memory_or_to_the_device(out: int, zswapped: int, words: str) -> None:
    """And each is said of what it is true of."""
    figures = {"swap_peak_bytes": 110 * MIB, "swap_io_write_bytes": out, "swap_io_read_bytes": 0, "oom_kills": 0}
    figures |= {"zswapped_peak_bytes": zswapped, "zswap_peak_bytes": 30 * MIB, "restarts": 0}
    figures |= {"memory_limit_bytes": 64 * MIB}
    assert _swap(Study(RunDir(Path("x"))), "app", figures) == f"app lives on swap under a limit of 64 MiB: {words}"


def test_a_refused_resize_names_the_container_and_whose_usage_it_was(tmp_path: Path) -> None:
    """In a run of one pod the container's name says it all; and the kubelet prints the pod's usage for it."""
    run = _run(tmp_path / "run")
    words = (
        'cannot decrease memory limits: attempting to set container "app" memory limit (1) below current usage (2)'
    )
    run.event(PodResized(t=run.t, pod=run.name, container="app", outcome="error", memory_max=MIB, message=words))
    run.advance(3.0)
    verdict = summarize(read_study(run.finish()))["verdict"]
    assert verdict["headline"].startswith(
        "Nothing was OOM-killed: app was not resized to 1 MiB, as its memory is not"
    )
    assert f"Resizing app to a memory limit of 1 MiB at 1.0 s was refused ({words})." in verdict["sentences"]
    assert any("is the whole pod's" in text for text in verdict["sentences"])


def test_a_container_that_never_ran_did_not_end_by_itself(tmp_path: Path) -> None:
    """It could not be started, and why is the kubelet's event."""
    run = _run(tmp_path / "run")
    run.event(ContainerCreated(t=run.t, pod=run.name, container="tool", attempt=0, id="t0", name="t0", image="i"))
    run.attempts["tool"] = 0
    run.pod_event("tool", "Failed", "Error: no program '/bin/tool'")
    run.event(
        ContainerExited(
            t=run.t, pod=run.name, container="tool", attempt=0, id="t0", exit_code=128, docker_oom_killed=None
        )
    )
    run.advance(2.0)
    summary = summarize(read_study(run.finish()))
    said = "tool could not be started at 1.0 s (exit code 128): no program '/bin/tool'"
    assert summary["verdict"]["headline"] == said
    assert summary["containers"]["tool"]["exits"][0]["reason"] == "StartError"


@pytest.mark.parametrize(("slab", "ways"), [(2, "page cache"), (20, "page cache and dropping reclaimable slab")])
def test_a_little_slab_is_not_what_made_room(slab: int, ways: str) -> None:
    """Of a limit of 64 MiB, 2 MiB of it are always there; 20 MiB are what the kernel drops."""
    figures = {"memory_events": {"max": 7, "oom": 0}, "file_peak_bytes": 50 * MIB, "refault_bytes": 0}
    figures |= {"slab_reclaimable_peak_bytes": slab * MIB, "memory_limit_bytes": 64 * MIB, "swap_peak_bytes": 0}
    assert f"made room each time by dropping {ways}: with oom 0" in _near_hits("app", figures)[0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (139, "app was ended by SIGSEGV at 1.0 s (exit code 139)"),
        (128, "app ended by itself at 1.0 s with exit code 128"),
        (160, "app ended by itself at 1.0 s with exit code 160"),
        (190, "app ended by itself at 1.0 s with exit code 190"),
        (255, "app ended by itself at 1.0 s with exit code 255"),
    ],
)
def test_an_exit_code_names_a_signal_where_there_is_one(tmp_path: Path, code: int, said: str) -> None:
    """Not each number up to 64 has a name, and any program may end with any code."""
    run = _run(tmp_path / "run")
    run.exit("app", code)
    run.advance(2.0)
    assert said in summarize(read_study(run.finish()))["verdict"]["headline"]


def test_a_probe_kill_that_the_run_cut_short_names_when_sigkill_was_due(tmp_path: Path) -> None:
    """Two seconds after the hook, where that is later than the grace period."""
    run = _run(tmp_path / "run")
    run.stop("app", "liveness", 3.0)
    run.advance(3.5)
    run.signal("app", 15)
    run.advance(4.0)
    run.exit("app", 137, asked=True)
    headline = summarize(read_study(run.finish()))["verdict"]["headline"]
    assert "SIGKILL was due 4.5 s after the probe failed (2.0 s after its preStop hook)" in headline


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'Get "http://x/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
            "no answer in time",
        ),
        ('Get "http://x/": dial tcp 1.2.3.4:80: connect: connection refused', "connection refused"),
        ("HTTP probe failed with statuscode: 503", "status 503"),
        ('command "/bin/check it" timed out', "its command took too long"),
        ("what a command printed", ""),
    ],
)
def test_a_probe_kill_says_why_the_probe_failed(message: str, words: str) -> None:
    """That of the last failure before it, of this container and this kind of probe."""
    entry = Instance("app", 0, started_s=1.0, exited_s=9.0, killed_for="liveness", pod="w")

    def failed(t: float, text: str, subject: str = "app") -> Happening:
        return Happening(t, "probe", subject, text, pod="w")

    study = Study(RunDir(Path("x")))
    study.failed_probes = [
        failed(0.5, "Liveness probe failed: HTTP probe failed with statuscode: 500"),
        failed(8.0, f"Liveness probe failed: {message}"),
        failed(8.5, "Readiness probe failed: HTTP probe failed with statuscode: 500"),
        failed(8.6, "Liveness probe failed: HTTP probe failed with statuscode: 500", "other"),
        failed(12.0, "Liveness probe failed: HTTP probe failed with statuscode: 500"),
    ]
    assert _why_it_failed(study, entry) == (f" ({words})" if words else "")
