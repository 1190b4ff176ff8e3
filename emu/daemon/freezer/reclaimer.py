"""Has memory of frozen pods reclaimed, step by step, and what they will touch read back before they are thawed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

from cgroups.errors import CgroupError
from emu.daemon.freezer.methods import Reclaimed, reclaim
from emu.daemon.freezer.metrics import FreezerMetrics
from emu.daemon.freezer.pods import FreezerPod, Pods, Target
from emu.daemon.freezer.prefetcher import Prefetcher
from emu.daemon.freezer.reports import Reports, who
from emu.daemon.freezer.states import frozen_or_unknown
from emu.daemon.loop import in_thread
from emu.errors import EmuError
from emu.policy.reclaiming import read_amount
from emu.record.events import MemoryPrefetched, MemoryReclaimed, now
from emu.units import parse_seconds

RECLAIMERS = 4
"""So many containers may be asked for memory at a time, in threads of their own: that takes seconds, and no resume
waits behind it.
"""
T = TypeVar("T")


@dataclass(frozen=True)
class ReclaimStep:
    """`amount` (`all`, `50%` or bytes) is reclaimed once a pod has been frozen for `after_s` seconds."""

    amount: str
    after_s: float = 0.0


def read_step(text: str) -> ReclaimStep:
    """A step as it is written on a command line, `all`, `50%@10`; EmuError where it is neither."""
    amount, _, after = text.partition("@")
    try:
        return ReclaimStep(read_amount(amount), parse_seconds(after or "0"))
    except ValueError as wrong:
        raise EmuError(
            f"{text!r} is not a reclaim step", str(wrong), "write AMOUNT or AMOUNT@SECONDS, such as 50%@10"
        ) from wrong


class _Reclaiming:
    """The reclaim steps of one pause, until the pod is resumed."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.task: asyncio.Task[None] | None = None


class Reclaimer:
    """Of all pods. It runs on the loop, apart from what blocks, which has threads: `urgent` for what a resume waits
    for.
    """

    def __init__(
        self,
        steps: Sequence[ReclaimStep],
        prefetcher: Prefetcher | None,
        reports: Reports,
        metrics: FreezerMetrics,
        *,
        urgent: ThreadPoolExecutor,
    ) -> None:
        self._steps = sorted(steps, key=lambda step: step.after_s)
        self._prefetcher = prefetcher
        self._reports = reports
        self._metrics = metrics
        self._urgent = urgent
        self._threads = ThreadPoolExecutor(RECLAIMERS, thread_name_prefix="reclaim")
        self._reclaiming: dict[str, _Reclaiming] = {}

    def keep(self, pods: Pods) -> None:
        """Forget what was learned of containers that are in none of these pods."""
        if self._prefetcher is not None:
            self._prefetcher.keep(one.id for pod in pods.all() for one in pod.containers)

    async def fetch(self, pod: FreezerPod, target: Target) -> None:
        """Read back what the container is known to touch, before it is thawed."""
        if self._prefetcher is None:
            return
        got = await self._prefetched(self._urgent, self._prefetcher.fetch, pod, target)
        if got is not None:
            self._reports.record(MemoryPrefetched(t=now(), **who(pod, target), **asdict(got)))
            self._metrics.prefetched(got.prefetched_bytes)

    async def _prefetched(
        self, threads: ThreadPoolExecutor, call: Callable[[Target], T], pod: FreezerPod, target: Target
    ) -> T | None:
        """The outcome of what the prefetcher does; None where it fails, which is reported once, and is not fatal."""
        try:
            return await in_thread(threads, call, target)
        except (OSError, CgroupError) as error:
            why = f"the kernel refuses it ({error}); it is not tried again"
            if self._prefetcher is not None:
                self._reports.record_failure(pod, "prefetch", target.name, why)
                self._reports.report("prefetch-failed", why, 4, facts={"container": target.name})
            self._prefetcher = None
            return None

    def begin(self, pod: FreezerPod) -> None:
        """The pod was frozen: its steps run until `stop`."""
        if not self._steps:
            return
        going = _Reclaiming()
        self._reclaiming[pod.name] = going
        going.task = asyncio.get_running_loop().create_task(self._reclaim(pod, going))

    def stop(self, name: str) -> None:
        """The pod is resumed, or frozen again."""
        going = self._reclaiming.pop(name, None)
        if going is not None:
            going.stopped.set()  # what is in the kernel ends with its step; the next one is not begun

    async def _reclaim(self, pod: FreezerPod, going: _Reclaiming) -> None:
        began = now()
        await self._see(pod, going, Prefetcher.paused)
        for step in self._steps:
            await asyncio.sleep(max(0.0, began + step.after_s - now()))
            if going.stopped.is_set():
                return
            came: list[tuple[float, Target, Reclaimed]] = []
            for target in pod.containers:
                if going.stopped.is_set() or not frozen_or_unknown(target):
                    continue
                try:
                    stop = going.stopped.is_set
                    got = await in_thread(self._threads, reclaim, target, step.amount, stop)
                except (CgroupError, EmuError) as error:
                    why = f"{error.what}: {error.why}"
                    self._reports.record_failure(pod, "reclaim", target.name, why)
                    self._reports.report("reclaim-failed", why, 4, pod, {"container": target.name})
                else:
                    came.append((now(), target, got))
            try:
                await self._see(pod, going, Prefetcher.reclaimed)
            finally:  # recorded last: who waits for it finds all of it done
                for t, target, got in came:
                    self._reclaimed(pod, target, got, t)

    async def _see(
        self, pod: FreezerPod, going: _Reclaiming, look: Callable[[Prefetcher, Target], int | None]
    ) -> None:
        """Have the prefetcher look at each container that is still frozen."""
        for target in pod.containers:
            if self._prefetcher is not None and not going.stopped.is_set() and frozen_or_unknown(target):
                size = await self._prefetched(self._threads, partial(look, self._prefetcher), pod, target)
                if size is not None:
                    what = {"container": target.name, "bytes": size}
                    self._reports.report("swapped" if look is Prefetcher.reclaimed else "touched", "", 7, pod, what)

    def _reclaimed(self, pod: FreezerPod, target: Target, got: Reclaimed, t: float) -> None:
        came = got.before.current - got.after.current
        self._metrics.reclaimed(came)
        self._reports.record(
            MemoryReclaimed(
                t=t,
                **who(pod, target),
                wanted_bytes=got.wanted_bytes,
                before=asdict(got.before),
                after=asdict(got.after),
                took_s=got.took_s,
                why=got.why,
            )
        )
        facts = {"container": target.name, "wantedBytes": got.wanted_bytes, "reclaimedBytes": came}
        self._reports.report("reclaim", got.why, 6, pod, {**facts, **({"why": got.why} if got.why else {})})

    def close(self) -> None:
        """End what is under way in the background. What is frozen stays so."""
        for name in list(self._reclaiming):
            self.stop(name)
        self._threads.shutdown(wait=False, cancel_futures=True)
