"""A real OOM kill, reported by three witnesses that must agree: memory.events, the kernel log, the exit status."""

from __future__ import annotations

import select
import time

import pytest

from cgroups.events import Change, EventWatcher
from cgroups.group import Cgroup
from cgroups.kmsg import KmsgGap, KmsgReader
from cgroups.mount import Mount
from cgroups.oom import OomKill, OomParser
from tests.kernel.support import DEADLINE_S, Child, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]

GROW = "held.append(bytearray(b'x') * (256 << 20))"


def limit(group: Cgroup, limit_bytes: int) -> None:
    """A hard limit, and no swap to flee to."""
    group.memory.max = limit_bytes
    if group.memory.swap_max is not None:
        group.memory.swap_max = 0


def kills_of(reader: KmsgReader, parser: OomParser, wanted: int) -> list[OomKill]:
    """The kills that the log shows, until there are as many as are wanted."""
    kills: list[OomKill] = []
    poller = select.poll()
    poller.register(reader.fileno(), select.POLLIN)
    end = time.monotonic() + DEADLINE_S
    while len(kills) < wanted:
        assert time.monotonic() < end, f"{len(kills)} kills in the kernel log, not {wanted}"
        poller.poll(1000)
        for record in reader.read_available():
            assert not isinstance(record, KmsgGap)
            if kill := parser.feed(record):
                kills.append(kill)
    return kills


def path_in_log(mount: Mount, group: Cgroup) -> str:
    """The path as the kernel names it."""
    return f"/{group.path.relative_to(mount.path)}"


def test_three_witnesses_of_one_kill(mount: Mount, top: Cgroup, group: Cgroup) -> None:
    """oom_kill rose by the kills that the log shows, the victim is the child, and it died of SIGKILL."""
    limit(group, 64 << 20)
    with KmsgReader() as reader, EventWatcher() as watcher, Child(group) as child:
        watcher.add(group.path / "memory.events.local")
        child.start(GROW)
        assert child.wait() == -9
        (kill,) = kills_of(reader, OomParser(), 1)
        changes: list[Change] = []
        eventually(lambda: bool(changes.extend(watcher.wait(1)) or any(c.delta.get("oom_kill") for c in changes)))
        assert kill.pid == child.pid
        assert kill.complete and kill.invoker_pid == child.pid
        assert kill.oom_memcg == kill.task_memcg == path_in_log(mount, group)
        assert kill.limit_bytes == 64 << 20
        assert kill.usage_bytes is not None and kill.usage_bytes <= 64 << 20
        assert kill.anon_rss_bytes > 32 << 20
        assert kill.tasks is not None and [task.pid for task in kill.tasks] == [child.pid]
        events, above = group.memory.events_local, top.memory.events
        assert events is not None and (events.oom_kill, above and above.oom_kill) == (1, 1)
        assert events.oom is not None and events.oom >= 1


def test_a_limit_above_kills_in_a_child_cgroup(mount: Mount, top: Cgroup) -> None:
    """`oom` rises where the limit was hit, `oom_kill` where the victim lived, and the log names both."""
    pod = (top / "pod").create()
    pod.enable("memory")
    limit(pod, 64 << 20)
    app = (pod / "app").create()
    with KmsgReader() as reader, Child(app) as child:
        child.start(GROW)
        assert child.wait() == -9
        (kill,) = kills_of(reader, OomParser(), 1)
    assert (kill.oom_memcg, kill.task_memcg) == (path_in_log(mount, pod), path_in_log(mount, app))
    at_pod, at_app = pod.memory.events_local, app.memory.events_local
    assert at_pod is not None and at_app is not None
    assert at_pod.oom is not None and at_pod.oom >= 1 and at_pod.oom_kill == 0
    assert (at_app.oom, at_app.oom_kill) == (0, 1)


def test_a_group_kill_takes_all_and_counts_its_first_victim_twice(mount: Mount, group: Cgroup) -> None:
    """Two processes, three kill lines, oom_kill 3, oom_group_kill 1."""
    limit(group, 64 << 20)
    group.memory.oom_group = True
    with KmsgReader() as reader, Child(group) as bystander, Child(group) as hog:
        hog.start(GROW)
        assert (hog.wait(), bystander.wait()) == (-9, -9)
        kills = kills_of(reader, OomParser(), 3)
    assert {kill.pid for kill in kills} == {hog.pid, bystander.pid}
    assert {kill.group for kill in kills[1:]} == {path_in_log(mount, group)}
    assert [kill.pid for kill in kills if kill.repeat] == [hog.pid]
    events = group.memory.events_local
    assert events is not None and events.oom_kill == len(kills)
    assert events.oom_group_kill in (1, None)


def test_every_kill_is_in_the_log_with_or_without_its_report(mount: Mount, group: Cgroup) -> None:
    """Kills in quick succession: reports may fall to the rate limit, kill lines do not, and oom_kill agrees."""
    limit(group, 16 << 20)
    kills, parser = [], OomParser()
    with KmsgReader() as reader:
        for _ in range(12):
            with Child(group) as child:
                child.start("held.append(bytearray(b'x') * (64 << 20))")
                assert child.wait() == -9
            kills += kills_of(reader, parser, 1)  # as they come: a small ring buffer holds few reports
            assert kills[-1].pid == child.pid
    events = group.memory.events_local
    assert events is not None and events.oom_kill == len(kills)
    for kill in kills:
        assert kill.oom_memcg == (path_in_log(mount, group) if kill.complete else None)


def test_the_log_is_read_from_its_end(group: Cgroup) -> None:
    """What was logged before the reader opened is not read; from the beginning it is, numbered without holes."""
    with KmsgReader() as reader:
        assert [kill for kill in map(OomParser().feed, reader.read_available()) if kill] == []
    with KmsgReader(from_end=False, facility=None) as reader:
        records = reader.read_available()
    numbers = [record.sequence for record in records if not isinstance(record, KmsgGap)]
    assert all(number is not None for number in numbers)
    if not any(isinstance(record, KmsgGap) for record in records):
        assert len(set(numbers)) == len(numbers)
