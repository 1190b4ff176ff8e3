"""The freezer daemon: pauses and resumes the containers of pods whose token it is shown, and has memory reclaimed.

It stands where Knative's container-freezer stood: one for a node, outside the pods, asked by each pod's queue-proxy.
It remembers nothing that matters: what is frozen it reads from the kernel, so that it may be killed and started again
at any time. A pause means that afterwards every container of the pod stands still, a resume that none does; asked
twice, it is as good as once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypedDict, TypeVar
from weakref import WeakValueDictionary

from cgroups.errors import CgroupError
from emu.daemon import loop as runtime
from emu.daemon.freezer.api import FreezerExchange
from emu.daemon.freezer.methods import Method, Reclaimed, Took, is_frozen, is_live, reclaim
from emu.daemon.freezer.metrics import FreezerMetrics
from emu.daemon.freezer.pods import FreezerPod, Pods, Target
from emu.daemon.freezer.prefetcher import Prefetcher
from emu.daemon.freezer.states import frozen_or_unknown, states
from emu.daemon.http.server import Server
from emu.errors import EmuError
from emu.machine.journald import Journald
from emu.messages import FREEZER_ACTIONS, KNATIVE_MODE, LISTENING, OWN_MODE, PAUSE, RESUME
from emu.policy.reclaiming import read_amount
from emu.record.events import (
    ContainerPaused,
    ContainerResumed,
    Event,
    EventLog,
    FreezerFailed,
    MemoryPrefetched,
    MemoryReclaimed,
    now,
)
from emu.units import parse_seconds

BACKLOG = 128
THREADS = 16
"""So many containers may be acted on at a time."""
RECLAIMERS = 4
"""And so many may be asked for memory, in threads of their own: that takes seconds, and no resume waits behind it."""
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


class FreezeError(Exception):
    """An action that was not done; the text says what and why."""


class _Reclaiming:
    """The reclaim steps of one pause, until the pod is resumed."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.task: asyncio.Task[None] | None = None


class Freezer:
    """What all requests share. All of it runs on the loop, apart from what blocks, which has threads."""

    def __init__(
        self,
        pods: Pods,
        method: Method,
        *,
        mode: str = OWN_MODE,
        steps: Sequence[ReclaimStep] = (),
        prefetcher: Prefetcher | None = None,
        events: EventLog | None = None,
        log: runtime.Log,
        journal: Journald | None = None,
        run: str = "",
    ) -> None:
        self._pods = pods
        self._method = method
        self._mode = mode
        self._steps = sorted(steps, key=lambda step: step.after_s)
        self._prefetcher = prefetcher
        self._events = events
        self._log = log
        self._journal = journal
        self._run = run
        self._metrics = FreezerMetrics()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._reclaiming: dict[str, _Reclaiming] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="freezer")
        self._reclaimers = ThreadPoolExecutor(RECLAIMERS, thread_name_prefix="reclaim")
        self.began = now()

    # --- what it is asked

    async def handle(self, token: bytes, body: bytes) -> tuple[int, str]:
        """The status of an action, and words if it was not done."""
        arrived = now()
        if not token:
            return 400, "no Token header"
        try:
            pod = self._pods.of(token)
        except EmuError as wrong:
            return 500, f"{wrong.what}: {wrong.why}"
        if pod is None:
            self._report("denied", "a token that names no pod", priority=4)
            return 403, "the token names no pod"
        action = _action(body)
        if action is None:
            return 400, 'the body is not {"action": "pause"} or {"action": "resume"}'
        if action not in FREEZER_ACTIONS:
            return 404, f"no action {action!r}"
        status, why = 200, ""
        try:
            await self._act(pod, action, arrived)
        except FreezeError as failed:
            status, why = 500, str(failed)
        except CgroupError as unreadable:  # of a container's cgroup.events: nothing was done yet
            status, why = 500, f"{unreadable.what}: {unreadable.why}"
            self._record(FreezerFailed(t=now(), pod=pod.name, action=action, container="", why=why))
        took_s = now() - arrived
        self._metrics.action(action, status, took_s)
        facts = {"why": why} if why else {"tookMs": round(took_s * 1e3, 3)}
        report = (action, why, 6, pod, facts) if status == 200 else (f"{action}-failed", why, 3, pod, facts)
        asyncio.get_running_loop().call_soon(self._report, *report)  # the answer goes first: a request waits for it
        if status != 200 and self._mode == KNATIVE_MODE:
            return 200, ""  # pkg/daemon/handler.go logs the error and answers as if it were none
        return status, why

    async def _act(self, pod: FreezerPod, action: str, arrived: float) -> None:
        async with self._lock(pod.name):
            self._stop_reclaiming(pod.name)
            if action == PAUSE:
                if self._prefetcher is not None:
                    self._prefetcher.keep(one.id for pod in self._pods.all() for one in pod.containers)
                await self._pause(pod, arrived)
                self._begin_reclaiming(pod)
            else:
                await self._resume(pod, arrived)

    def _lock(self, name: str) -> asyncio.Lock:
        """One for each pod, for as long as somebody holds it or waits for it."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _pause(self, pod: FreezerPod, arrived: float) -> None:
        live = [target for target in pod.containers if is_live(target)]
        if not live:
            self._fail(pod, PAUSE, "", f"no container of {pod.name} is running")
        done: list[Target] = []
        for target in [target for target in live if not is_frozen(target)]:
            try:
                took = await _in(self._threads, self._method.freeze, target)
            except (CgroupError, EmuError) as error:
                if self._mode != KNATIVE_MODE:
                    await self._undo(pod, [*done, target])
                self._fail(pod, PAUSE, target.name, f"{error.what}: {error.why}")
            done.append(target)
            self._record(
                ContainerPaused(
                    t=now(),
                    **_who(pod, target),
                    method=self._method.name,
                    took_s=now() - arrived,
                    engine_s=took.engine_s,
                    kernel_s=took.kernel_s,
                )
            )

    async def _undo(self, pod: FreezerPod, targets: list[Target]) -> None:
        """A pause that failed leaves nothing frozen."""
        for target in targets:
            try:
                if is_frozen(target):
                    await self._thaw(pod, target, now())
            except (CgroupError, EmuError) as error:
                self._report("undo-failed", f"{error.what}: {error.why}", priority=3)

    async def _resume(self, pod: FreezerPod, arrived: float) -> None:
        """Every container is tried, whatever became of the one before."""
        failures: list[tuple[str, str]] = []
        for target in pod.containers:
            try:
                if is_frozen(target):
                    await self._thaw(pod, target, arrived)
            except (CgroupError, EmuError) as error:
                if frozen_or_unknown(target) is not False:
                    failures.append((target.name, f"{error.what}: {error.why}"))
                elif is_live(target):  # somebody else was faster, as the engine is when it stops a paused container
                    self._resumed(pod, target, "other", arrived, Took(None, 0.0))
        if failures:
            self._fail(pod, RESUME, *failures[0])

    async def _thaw(self, pod: FreezerPod, target: Target, arrived: float) -> None:
        await self._fetch(pod, target)
        took = self._method.thaw_at_once(target)
        if took is None:
            took = await _in(self._threads, self._method.thaw, target)
        self._resumed(pod, target, self._method.name, arrived, took)

    def _resumed(self, pod: FreezerPod, target: Target, method: str, arrived: float, took: Took) -> None:
        self._record(
            ContainerResumed(
                t=now(),
                **_who(pod, target),
                method=method,
                took_s=now() - arrived,
                engine_s=took.engine_s,
                kernel_s=took.kernel_s,
            )
        )

    # --- reclaim, and what is read back ahead

    async def _fetch(self, pod: FreezerPod, target: Target) -> None:
        if self._prefetcher is None:
            return
        got = await self._prefetched(self._threads, self._prefetcher.fetch, pod, target)
        if got is not None:
            self._record(MemoryPrefetched(t=now(), **_who(pod, target), **asdict(got)))
            self._metrics.prefetched(got.prefetched_bytes)

    async def _prefetched(
        self, threads: ThreadPoolExecutor, call: Callable[[Target], T], pod: FreezerPod, target: Target
    ) -> T | None:
        """The outcome of what the prefetcher does; None where it fails, which is reported once, and is not fatal."""
        try:
            return await _in(threads, call, target)
        except (OSError, CgroupError) as error:
            why = f"the kernel refuses it ({error}); it is not tried again"
            if self._prefetcher is not None:
                self._record(FreezerFailed(t=now(), pod=pod.name, action="prefetch", container=target.name, why=why))
                self._report("prefetch-failed", why, 4, facts={"container": target.name})
            self._prefetcher = None
            return None

    def _begin_reclaiming(self, pod: FreezerPod) -> None:
        if not self._steps:
            return
        going = _Reclaiming()
        self._reclaiming[pod.name] = going
        going.task = asyncio.get_running_loop().create_task(self._reclaim(pod, going))

    def _stop_reclaiming(self, name: str) -> None:
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
                    got = await _in(self._reclaimers, reclaim, target, step.amount, stop)
                except (CgroupError, EmuError) as error:
                    why = f"{error.what}: {error.why}"
                    self._record(
                        FreezerFailed(t=now(), pod=pod.name, action="reclaim", container=target.name, why=why)
                    )
                    self._report("reclaim-failed", why, 4, pod, {"container": target.name})
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
        """Have the prefetcher look at each container that stands still yet."""
        for target in pod.containers:
            if self._prefetcher is not None and not going.stopped.is_set() and frozen_or_unknown(target):
                size = await self._prefetched(self._reclaimers, partial(look, self._prefetcher), pod, target)
                if size is not None:
                    what = {"container": target.name, "bytes": size}
                    self._report("swapped" if look is Prefetcher.reclaimed else "touched", "", 7, pod, what)

    def _reclaimed(self, pod: FreezerPod, target: Target, got: Reclaimed, t: float) -> None:
        came = got.before.current - got.after.current
        self._metrics.reclaimed(came)
        self._record(
            MemoryReclaimed(
                t=t,
                **_who(pod, target),
                wanted_bytes=got.wanted_bytes,
                before=asdict(got.before),
                after=asdict(got.after),
                took_s=got.took_s,
                why=got.why,
            )
        )
        facts = {"container": target.name, "wantedBytes": got.wanted_bytes, "reclaimedBytes": came}
        self._report("reclaim", got.why, 6, pod, {**facts, **({"why": got.why} if got.why else {})})

    # --- reporting

    def status(self) -> dict[str, Any]:
        """Which freezer this is, and every pod as it is now."""
        about = {"method": self._method.name, "mode": self._mode, "uptime_s": round(now() - self.began, 3)}
        return {**about, **states(self._pods)}

    def metrics_text(self) -> bytes:
        """What Prometheus reads."""
        frozen = {
            pod["name"]: sum(one["frozen"] is True for one in pod["containers"]) for pod in self.status()["pods"]
        }
        return self._metrics.text(frozen)

    def found(self) -> list[str]:
        """The containers that are frozen already, by the kernel's word: those of a daemon before this one."""
        return [target.name for pod in self._pods.all() for target in pod.containers if frozen_or_unknown(target)]

    def close(self) -> None:
        """End what is under way in the background. What is frozen stays so."""
        for name in list(self._reclaiming):
            self._stop_reclaiming(name)
        for threads in (self._threads, self._reclaimers):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._events is not None:
            self._events.close()

    def _fail(self, pod: FreezerPod, action: str, container: str, why: str) -> None:
        self._record(FreezerFailed(t=now(), pod=pod.name, action=action, container=container, why=why))
        raise FreezeError(why)

    def _record(self, event: Event) -> None:
        if self._events is None:
            return
        self._events.append(event)
        if self._events.failure is not None:
            self._log.seldom("not-recorded", why=str(self._events.failure))

    def _report(
        self,
        event: str,
        words: str = "",
        priority: int = 6,
        pod: FreezerPod | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        name = "" if pod is None else pod.name
        self._log.event(event, **({"pod": name} if name else {}), **(facts or {}))
        if self._journal is not None:
            fields = {"EMU_RUN": self._run, "EMU_POD": name, "EMU_ACTION": event}
            text = " ".join(part for part in (event, name, words) if part)
            self._journal.send(text, fields, priority=priority)


async def _in(threads: ThreadPoolExecutor, call: Callable[..., T], *arguments: Any) -> T:
    """The outcome of what blocks."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)


def _action(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # it may be nested as deep as it is long
        return None
    action = said.get("action") if isinstance(said, dict) else None
    return action if isinstance(action, str) else None


class _Who(TypedDict):
    pod: str
    container: str
    attempt: int
    id: str


def _who(pod: FreezerPod, target: Target) -> _Who:
    return {"pod": pod.name, "container": target.name, "attempt": target.attempt, "id": target.id}


async def serve(freezer: Freezer, listen: Sequence[str], log: runtime.Log, *, follow_stdin: bool) -> int:
    """Listen on each address (`HOST:PORT`, `unix:PATH`) until SIGTERM, or the end of standard input."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if follow_stdin:
        loop.add_reader(0, lambda: None if os.read(0, 4096) else stop.set())
    servers = []
    for address in listen:
        server = Server(lambda conn, head: FreezerExchange(freezer, conn, head), head_limit_s=60.0)
        bound = await _listen(server, address)
        servers.append(server)
        log.event(LISTENING, address=bound)
    log.event("serves", frozen=freezer.found())
    await stop.wait()
    if follow_stdin:
        loop.remove_reader(0)
    for server in servers:
        await server.stop(1.0)
    freezer.close()
    return 0


async def _listen(server: Server, address: str) -> str:
    what, fix = f"the freezer cannot listen on {address}", "name HOST:PORT or unix:PATH with --listen"
    if address.startswith("unix:"):
        try:
            await server.listen_unix(address.removeprefix("unix:"), BACKLOG)
        except OSError as error:
            raise EmuError(what, error.strerror or str(error), fix) from error
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise EmuError(what, "it is neither HOST:PORT nor unix:PATH", fix)
    try:
        return f"{host}:{await server.listen(host.strip('[]'), int(port), BACKLOG)}"
    except OSError as error:
        raise EmuError(what, error.strerror or str(error), fix) from error
