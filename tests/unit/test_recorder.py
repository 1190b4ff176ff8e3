"""The recorder's pace, and what it leaves out. It reads files of any file system."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.helpers.recorder import RunRecorder
from emu.record.asked import Asked
from emu.record.events import EventLog, Owner, now
from emu.record.pace import LONGEST_S, LONGEST_SLOW_S, SLOW_S, Pace
from emu.record.recorder import Recorder, allow_open_files
from emu.record.rundir import RunDir, cannot_record
from emu.record.samples import read_samples
from emu.record.writing import NotRecordedError

POD, APP = Owner("a", "", None), Owner("a", "one", None)


def paced(asked_s: float, fast_s: float, slow_s: float, cgroups: int = 4) -> tuple[Pace, float]:
    """A pace after a minute of ticks that cost this much, and the share of one CPU that the last 20 s took."""
    pace, t, due, spent_s = Pace(asked_s), 0.0, 0.0, 0.0
    while t < 60:
        slow = t >= due
        pace.took(t, fast_s, slow_s if slow else None, cgroups)
        due = t + pace.slow_s if slow else due
        spent_s += (fast_s + slow_s * slow) if t >= 40 else 0.0
        t += pace.interval_s
    return pace, spent_s / 20


def test_cheap_ticks_come_as_often_as_they_are_asked_for() -> None:
    """A pod of three containers every 10 ms, at half a millisecond a tick."""
    pace, _ = paced(0.01, 0.0005, 0.001)
    assert (pace.interval_s, pace.slow_s, pace.longest_s) == (0.01, SLOW_S, 0.01)


@pytest.mark.parametrize(("fast_s", "slow_s"), [(0.007, 0.001), (0.004, 0.03), (0.0005, 0.04)])
def test_dear_ticks_cost_a_tenth_of_the_time_at_most(fast_s: float, slow_s: float) -> None:
    """Whether it is the quick files or the slow ones that are many."""
    pace, share = paced(0.01, fast_s, slow_s)
    assert pace.interval_s >= 10 * fast_s * 0.99 and pace.slow_s >= 20 * slow_s * 0.99
    assert share <= 0.105


@pytest.mark.parametrize("asked_s", [0.01, 0.5])
def test_ticks_are_never_too_far_apart_for_a_phase(asked_s: float) -> None:
    """Whatever they cost."""
    pace, _ = paced(asked_s, 0.3, 0.3)
    assert pace.interval_s == max(asked_s, LONGEST_S) and pace.slow_s == LONGEST_SLOW_S


def test_many_cgroups_cost_a_tenth_too() -> None:
    """Twenty pods on a slow machine: a hundredth of a second is not enough for the files of one tick."""
    pace, share = paced(0.1, 0.04, 0.06, cgroups=81)
    assert pace.interval_s > LONGEST_S and share <= 0.105


def test_one_dear_tick_changes_little() -> None:
    """Where the kernel counts in ticks of 10 ms, most cost nothing and one in twenty has it all."""
    pace = Pace(0.01)
    for number in range(1000):
        pace.took(number * 0.01, 0.01 if number % 20 == 0 else 0.0, None)
    assert pace.longest_s == 0.01


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[tuple[Recorder, Path]]:
    """One that watches a pod of one container, and has taken a sample."""
    (tmp_path / "run").mkdir()
    pod = tmp_path / "pod"
    for group in (pod, pod / "one"):
        group.mkdir()
        for name in ("memory.current", "cpu.stat", "memory.max"):
            (group / name).write_text("1\n")
    made = Recorder(RunDir(tmp_path / "run"), 0.01)
    made.open()
    made.follow("a", str(pod))
    made.sample("event", 1.0)
    yield made, pod


def kept(recorder: tuple[Recorder, Path]) -> dict[str, bytes]:
    """What the record has of the container."""
    recorder[0].sample("event", 2.0)
    *_, last = read_samples(RunDir(recorder[1].parent / "run").samples)
    return dict(last.files[APP])


def test_a_quiet_pod_s_containers_are_not_read(recorder: tuple[Recorder, Path]) -> None:
    """Where its own files are as they were, theirs are."""
    made, pod = recorder
    (pod / "one" / "memory.current").write_text("2\n")
    made.sample("event", 1.01)
    *_, last = read_samples(RunDir(pod.parent / "run").samples)
    assert last.files[APP]["memory.current"] == b"1\n"
    (pod / "memory.current").write_text("2\n")
    made.sample("event", 1.02)
    *_, last = read_samples(RunDir(pod.parent / "run").samples)
    assert last.files[APP]["memory.current"] == b"2\n"


def test_a_pod_that_was_read_for_an_event_has_its_containers_read_next(recorder: tuple[Recorder, Path]) -> None:
    """What an event found in the pod's files alone is its containers': they are not as they were."""
    made, pod = recorder
    (pod / "memory.current").write_text("2\n")
    (pod / "one" / "memory.current").write_text("2\n")
    (group,) = (one for one in made._watched.values() if one.owner == POD)
    made._by_event_fd[10**6] = group
    made._next_slow = float("inf")  # then all is read
    made._serve([(10**6, select.POLLPRI)])
    samples = RunDir(pod.parent / "run").samples
    *_, last = read_samples(samples)
    assert (last.files[POD]["memory.current"], last.files[APP]["memory.current"]) == (b"2\n", b"1\n")
    made.sample("event", now())
    *_, last = read_samples(samples)
    assert last.files[APP]["memory.current"] == b"2\n"


def test_all_is_read_with_the_slow_files(recorder: tuple[Recorder, Path]) -> None:
    """A limit that changed meanwhile, too."""
    for name in ("memory.current", "memory.max"):
        (recorder[1] / "one" / name).write_text("3\n")
    assert kept(recorder) == {"memory.current": b"3\n", "cpu.stat": b"1\n", "memory.max": b"3\n"}


def test_whoever_asks_is_answered_once_a_sample_has_been_taken() -> None:
    """One sample for all that were asked for meanwhile; and the recorder's poll forgets who has ended."""
    taken: list[int] = []
    poll = select.poll()
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def take() -> None:
        assert mine.fileno() < 0 or not select.select([mine], [], [], 0)[0]  # not answered yet
        taken.append(1)

    asked = Asked(theirs.detach(), poll, take)
    asked.open()
    assert poll.poll(0) == []
    mine.send(b"1")
    mine.send(b"2")
    assert poll.poll(0) == [(asked.fileno, select.POLLIN)]
    asked.serve()
    assert (mine.recv(20), mine.recv(20), taken) == (b"1", b"2", [1])
    mine.send(b"3")
    mine.close()
    asked.serve()
    assert (asked.fileno, poll.poll(0), taken) == (-1, [], [1, 1])


def test_no_one_asks_where_there_is_no_socket() -> None:
    """As in a recording by hand."""
    asked = Asked(None, select.poll(), lambda: None)
    asked.open()
    asked.serve()
    asked.close()
    assert asked.fileno == -1


def test_a_sample_that_was_asked_for_is_read_between_question_and_answer(tmp_path: Path) -> None:
    """The process itself: each file of the sample was read after the question, and before the answer."""
    run = RunDir(tmp_path / "run")
    run.create()
    with RunRecorder(run, EventLog(run.events), 1.0) as recorder:
        assert recorder.asks is not None
        recorder.asks.settimeout(120.0)
        asked_at = now()
        recorder.asks.send(b"7")
        assert recorder.asks.recv(20) == b"7"
        answered_at = now()
    spans = [(sample.t, sample.until) for sample in read_samples(run.samples) if sample.why == "phase"]
    ((begun, until),) = spans
    assert until is not None and asked_at - 1e-6 <= begun <= until <= answered_at


def test_files_that_cannot_be_opened_for_want_of_descriptors_end_the_record(
    recorder: tuple[Recorder, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that this kernel does not have is left out. One that may not be opened is none of those: a record
    without it would say that a container used nothing.
    """
    made, pod = recorder
    (pod / "two").mkdir()
    (pod / "two" / "memory.current").write_text("1\n")

    def full(path: str, *_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(NotRecordedError, match=r"two/[a-z.]+: Too many open files") as wrong:
        made.sample("event", 1.02)
    assert "ulimit -n" in cannot_record(str(wrong.value)).fix


def test_a_limit_that_cannot_be_raised_does_not_end_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses one above fs.nr_open, also where it gave it before that was lowered."""

    def refuse(_which: int, _limits: tuple[int, int]) -> None:
        asked.append(_limits)
        raise ValueError("not allowed to raise maximum limit")

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1024, 2**30))
    monkeypatch.setattr("resource.setrlimit", refuse)
    allow_open_files()
    assert asked == [(2**30, 2**30)]
