"""events.jsonl: one line per thing that happened."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.record import events
from emu.record.events import (
    CgroupGone,
    ContainerExited,
    ContainerReady,
    Event,
    EventLog,
    Note,
    Owner,
    RunBegan,
    from_line,
    read_events,
)


def test_every_kind_of_event_comes_back() -> None:
    """What is written is what is read, for each kind."""
    exited = ContainerExited(
        t=1.5, container="app", attempt=2, id="abc", exit_code=137, docker_oom_killed=False, asked=True
    )
    began = RunBegan(
        t=0.0, run_id="id", scenario="s", where="host", wall_time="2026-01-01", machine={"cpus": 2}, pod_cgroup="/pod"
    )
    for event in (exited, began, Note(t=3.0, what="what")):
        assert from_line(event.to_line()) == event
    leaves = [kind for kind in _all_below(Event) if not kind.__subclasses__()]
    assert set(events.KINDS.values()) == set(leaves)


def _all_below(kind: type[Event]) -> Iterator[type[Event]]:
    for below in kind.__subclasses__():
        yield from (below, *_all_below(below))


def test_an_event_of_a_pod_says_which() -> None:
    """Whose it is comes back: an instance's, or with a cgroup's label `pod` the whole pod's."""
    ready = ContainerReady(t=1.0, pod="emu-a", container="app", attempt=1, ready=True)
    gone = CgroupGone(t=1.0, pod="emu-a", label="pod", attempt=None, path="/emu-a")
    assert from_line(ready.to_line()) == ready
    assert ready.owner == Owner("emu-a", "app", 1)
    assert gone.owner == ready.owner.whole_pod == Owner("emu-a", "", None)


def test_a_log_of_a_pod_fills_in_its_name(tmp_path: Path) -> None:
    """In events that have one and do not say it themselves; it writes to the same file, and both know of losses."""
    log = EventLog(tmp_path / "e")
    one = log.of_pod("emu-a")
    one.append(ContainerReady(t=1.0, container="app", attempt=0, ready=True))
    one.append(ContainerReady(t=2.0, pod="emu-b", container="app", attempt=0, ready=True))
    one.append(Note(t=3.0, what="of no pod"))
    log.append(ContainerReady(t=4.0, container="app", attempt=0, ready=True))
    assert [getattr(event, "pod", None) for event in read_events(tmp_path / "e")] == ["emu-a", "emu-b", None, ""]
    full = EventLog(Path("/dev/full"))
    full.of_pod("emu-a").append(Note(t=1.0, what="one"))
    assert full.lost == 1 and full.failure is not None


def test_an_event_of_an_older_run_is_of_a_pod_without_a_name() -> None:
    """Before pods had names, there was one in a run."""
    line = '{"kind":"container-ready","t":1,"container":"app","attempt":0,"ready":true}'
    assert from_line(line) == ContainerReady(t=1, pod="", container="app", attempt=0, ready=True)


def test_what_is_torn_or_unknown_is_passed_over() -> None:
    """A torn line, another version's kind and a line that is no object are no event and no error."""
    for line in ('{"kind":"note","t":1', '{"kind":"from-the-future","t":1}', "[]", "7", '{"kind":"note"}', ""):
        assert from_line(line) is None


def test_a_field_of_a_later_version_is_ignored() -> None:
    """A line with more fields than this version knows still reads."""
    line = '{"kind":"note","t":1,"what":"x","colour":"blue"}'
    assert from_line(line) == Note(t=1, what="x")


def test_events_of_several_writers_are_ordered_by_time(tmp_path: Path) -> None:
    """Each process appends on its own; the reader puts them in order."""
    one, two = EventLog(tmp_path / "e"), EventLog(tmp_path / "e")
    one.append(Note(t=2.0, what="later"))
    two.append(Note(t=1.0, what="earlier"))
    assert [event.t for event in read_events(tmp_path / "e")] == [1.0, 2.0]


def test_an_event_that_finds_no_room_is_counted_and_stops_nobody() -> None:
    """The file of a full disk: how many were lost is known, and why."""
    log = EventLog(Path("/dev/full"))
    log.append(Note(t=1.0, what="one"))
    log.append(Note(t=2.0, what="two"))
    assert log.lost == 2
    assert log.failure is not None and log.failure.errno == errno.ENOSPC


def test_a_line_torn_for_want_of_room_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes next, the same process or another one, is read in full."""
    one, two = EventLog(tmp_path / "e"), EventLog(tmp_path / "e")
    write = os.write
    for number, log in enumerate((one, one, two)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
            one.append(Note(t=0.5, what="torn"))
        log.append(Note(t=float(number), what="whole"))
    assert [(event.t, getattr(event, "what", "")) for event in read_events(tmp_path / "e")] == [
        (0.0, "whole"),
        (1.0, "whole"),
        (2.0, "whole"),
    ]
    assert (one.lost, two.lost) == (3, 0)
