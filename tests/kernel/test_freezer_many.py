"""A hundred pods frozen at once by one daemon, each with a process that proves by a counter whether it runs."""

from __future__ import annotations

import asyncio
import mmap
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cgroups.group import Cgroup
from emu.daemon.freezer.pods import FreezerPod
from emu.record.events import ContainerPaused, ContainerResumed, read_events
from tests.kernel.freezer import Freezer, client, frozen, target
from tests.kernel.support import DEADLINE_S, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]
PODS = 100
WORD = 8
STEPS = 3
"""So often has a process that runs counted on, before it is looked whether one that stands still has."""

COUNTERS = """
import mmap, os, struct, sys, time
path, processes = sys.argv[1], int(sys.argv[2])
with open(path, "r+b") as file:
    shared = mmap.mmap(file.fileno(), 0)
for number in range(processes):
    child = os.fork()
    if child == 0:
        count = 0
        while True:
            count += 1
            struct.pack_into("q", shared, 8 * number, count)
            time.sleep(0.05)
    print(child, flush=True)
sys.stdin.read()
"""


class Pods:
    """A hundred cgroups, each with a process that counts."""

    def __init__(self, folder: Path, groups: list[Cgroup]) -> None:
        self.groups = groups
        counts = folder / "counts"
        counts.write_bytes(bytes(WORD * len(groups)))
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", COUNTERS, str(counts), str(len(groups))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for group in groups:
            group.add(int(self.process.stdout.readline()))
        with counts.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 0)

    def counts(self) -> list[int]:
        """How far each has counted."""
        return [int.from_bytes(self._shared[at : at + WORD], "little") for at in range(0, len(self._shared), WORD)]

    def prove(self, still: set[int]) -> None:
        """Those stand still, by the kernel's word and by their counters, and all the others run."""
        assert {number for number, group in enumerate(self.groups) if frozen(group)} == still
        before = self.counts()
        going = [number for number in range(len(self.groups)) if number not in still]
        eventually(lambda: all(self.counts()[number] >= before[number] + STEPS for number in going))
        after = self.counts()
        assert [after[number] for number in still] == [before[number] for number in still]

    def close(self) -> None:
        """The cgroups' own end kills the counting processes."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        self._shared.close()


@pytest.fixture
def pods(top: Cgroup, tmp_path: Path) -> Iterator[Pods]:
    """A hundred pods that run."""
    with ExitStack() as stack:
        groups = [stack.enter_context(top / f"pod-{number}") for number in range(PODS)]
        made = Pods(tmp_path, groups)
        stack.callback(made.close)
        yield made


def test_a_hundred_pods_pause_and_resume_at_once_and_none_is_taken_for_another(pods: Pods, tmp_path: Path) -> None:
    """Each by its own token, all asked in the same moment: the odd ones, then all, then pauses and resumes mixed."""
    named = [FreezerPod(f"pod-{n}", f"token-{n}", (target(group),)) for n, group in enumerate(pods.groups)]
    freezer = Freezer(tmp_path, named)
    clients = [client(freezer, tmp_path, pod) for pod in named]

    def ask(action: str, numbers: Iterable[int]) -> list[tuple[str, int]]:
        return [(action, number) for number in numbers]

    async def at_once(wanted: list[tuple[str, int]]) -> None:
        await asyncio.gather(*(clients[number].act(action) for action, number in wanted))

    async def story() -> None:
        everyone, odd, even = set(range(PODS)), set(range(1, PODS, 2)), set(range(0, PODS, 2))
        pods.prove(set())
        await at_once(ask("pause", odd))
        pods.prove(odd)
        await at_once(ask("pause", everyone))
        pods.prove(everyone)
        await at_once(ask("resume", odd))
        pods.prove(even)
        await at_once(ask("pause", odd) + ask("resume", even))
        pods.prove(odd)
        await at_once(ask("resume", everyone))
        pods.prove(set())
        for one in clients:
            one.close()

    try:
        asyncio.run(story())
        events = list(read_events(freezer.events))
        for kind in (ContainerPaused, ContainerResumed):
            reported = Counter(event.id for event in events if isinstance(event, kind))
            assert sum(reported.values()) == 2 * PODS - PODS // 2
            assert len(reported) == PODS
    finally:
        freezer.close()
