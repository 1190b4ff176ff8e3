"""The freezer daemon: pauses and resumes the containers of pods whose token it is shown, and has memory reclaimed.

It stands where Knative's container-freezer stood: one for a node, outside the pods, asked by each pod's queue-proxy.
It remembers nothing that matters: what is frozen it reads from the kernel, so that it may be killed and started again
at any time. After a pause every container of the pod is frozen, after a resume none is;
both are idempotent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakValueDictionary

from cgroups.errors import CgroupError
from emu.daemon import loop as runtime
from emu.daemon.freezer.api import FreezerExchange
from emu.daemon.freezer.methods import Method, Took, is_frozen, is_live
from emu.daemon.freezer.metrics import FreezerMetrics
from emu.daemon.freezer.pods import FreezerPod, Pods, Target
from emu.daemon.freezer.prefetcher import Prefetcher
from emu.daemon.freezer.reclaimer import Reclaimer, ReclaimStep
from emu.daemon.freezer.reports import Reports, who
from emu.daemon.freezer.states import frozen_or_unknown, states
from emu.daemon.http.server import Server
from emu.daemon.loop import in_thread
from emu.errors import EmuError
from emu.machine.journald import Journald
from emu.messages import FREEZER_ACTIONS, KNATIVE_MODE, LISTENING, OWN_MODE, PAUSE, RESUME
from emu.record.events import (
    ContainerPaused,
    ContainerResumed,
    EventLog,
    now,
)

BACKLOG = 128
THREADS = 16
"""So many containers may be acted on at a time."""
FINISH_S = 10.0
"""How long the daemon's end waits for what it was asked before: an engine may take so long on a busy machine."""


class FreezeError(Exception):
    """An action that was not done; the text says what and why."""


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
        self._reports = Reports(log, events, journal, run)
        self._metrics = FreezerMetrics()
        self._under_way: set[asyncio.Task[Any] | None] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="freezer")
        self._reclaimer = Reclaimer(steps, prefetcher, self._reports, self._metrics, urgent=self._threads)
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
            self._reports.report("denied", "a token that names no pod", priority=4)
            return 403, "the token names no pod"
        action = _action(body)
        if action is None:
            return 400, 'the body is not {"action": "pause"} or {"action": "resume"}'
        if action not in FREEZER_ACTIONS:
            return 404, f"no action {action!r}"
        status, why = 200, ""
        self._under_way.add(task := asyncio.current_task())
        try:
            await self._act(pod, action, arrived)
        except FreezeError as failed:
            status, why = 500, str(failed)
        except CgroupError as unreadable:  # of a container's cgroup.events: nothing was done yet
            status, why = 500, f"{unreadable.what}: {unreadable.why}"
            self._reports.record_failure(pod, action, "", why)
        finally:
            self._under_way.discard(task)
        took_s = now() - arrived
        self._metrics.action(action, status, took_s)
        facts = {"why": why} if why else {"tookMs": round(took_s * 1e3, 3)}
        report = (action, why, 6, pod, facts) if status == 200 else (f"{action}-failed", why, 3, pod, facts)
        # The answer goes first: a request waits for it.
        asyncio.get_running_loop().call_soon(self._reports.report, *report)
        if status != 200 and self._mode == KNATIVE_MODE:
            return 200, ""  # pkg/daemon/handler.go logs the error and answers as if it were none
        return status, why

    async def _act(self, pod: FreezerPod, action: str, arrived: float) -> None:
        async with self._lock(pod.name):
            # Before anything else: a reclaim under way would take what a resumed container needs next.
            self._reclaimer.stop(pod.name)
            if action == PAUSE:
                self._reclaimer.keep(self._pods)
                await self._pause(pod, arrived)
                self._reclaimer.begin(pod)
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
                took = await in_thread(self._threads, self._method.freeze, target)
            except (CgroupError, EmuError) as error:
                if self._mode != KNATIVE_MODE:
                    # The one that failed, too: its freeze may have been asked for, and come true late.
                    await self._undo(pod, [*done, target])
                self._fail(pod, PAUSE, target.name, f"{error.what}: {error.why}")
            done.append(target)
            self._reports.record(
                ContainerPaused(
                    t=now(),
                    **who(pod, target),
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
                self._reports.report("undo-failed", f"{error.what}: {error.why}", priority=3)

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
        # While it is still frozen: its own faults would read the same pages one by one.
        await self._reclaimer.fetch(pod, target)
        took = self._method.thaw_at_once(target)
        if took is None:
            took = await in_thread(self._threads, self._method.thaw, target)
        self._resumed(pod, target, self._method.name, arrived, took)

    def _resumed(self, pod: FreezerPod, target: Target, method: str, arrived: float, took: Took) -> None:
        self._reports.record(
            ContainerResumed(
                t=now(),
                **who(pod, target),
                method=method,
                took_s=now() - arrived,
                engine_s=took.engine_s,
                kernel_s=took.kernel_s,
            )
        )

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

    async def finish(self, within_s: float) -> None:
        """Let the actions under way come to their ends: what is done to a pod is on record."""
        if tasks := [task for task in self._under_way if task is not None]:
            await asyncio.wait(tasks, timeout=within_s)

    def close(self) -> None:
        """End what is under way in the background. What is frozen stays so."""
        self._reclaimer.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reports.close()

    def _fail(self, pod: FreezerPod, action: str, container: str, why: str) -> None:
        self._reports.record_failure(pod, action, container, why)
        raise FreezeError(why)


def _action(body: bytes) -> str | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):  # it may be nested as deep as it is long
        return None
    action = said.get("action") if isinstance(said, dict) else None
    return action if isinstance(action, str) else None


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
    await freezer.finish(FINISH_S)
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
