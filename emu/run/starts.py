"""Starts from each temperature, one by one: the pod is brought to it, a request comes, and what happens from there to
its answer is stamped. Nothing is judged here: the stamps are recorded, and `emu.report` says where time went.

Between two trials the pod's cgroup stays and its containers go or stay, as the next temperature wants it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from emu.daemon.load.sender import content_of, request_head
from emu.errors import EmuError
from emu.kubelet.pod import Pod
from emu.machine import pagecache
from emu.messages import APP, HOST, QUEUE_PROXY
from emu.messages.endpoints import Endpoint
from emu.messages.requests import RequestDone, RequestSent, to_line
from emu.policy import starts as policy
from emu.policy.starts import Found
from emu.record.events import EventLog, Note, StartMeasured, now
from emu.record.rundir import RunDir
from emu.run.start_activator import TURN_S, StartActivator
from emu.run.start_client import Answer, Asking
from emu.run.start_image import AppImage
from emu.run.start_pod import NO_COUNTS, StartPod
from emu.runtime.api import Runtime
from emu.scenario.load_plan import request_spec
from emu.spec import ScenarioSpec

_TRIES = 3
"""How often a temperature is prepared again that did not hold until the request came."""
_LOOK_S = 0.01


class Starts:
    """The trials of a run. A context manager; leaving it ends what follows the containers' output."""

    def __init__(
        self,
        spec: ScenarioSpec,
        pod: Pod,
        image: AppImage,
        engine: Runtime,
        run: RunDir,
        log: EventLog,
        *,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        assert spec.starts is not None
        self._spec = spec.starts
        self._pod = StartPod(pod, engine, run, log)
        self._image = image
        self._run = run
        self._log = log
        self._ready_timeout_s = spec.pod.ready_timeout
        self._say = say
        self._check = check
        self._activator = StartActivator(spec.pod, run, log, check)
        self._asked = 0
        request = request_spec(self._spec.request)
        body = content_of(request)
        self._request = request_head(request, HOST, False) + (b"x" * request.body_bytes if body is None else body)

    def __enter__(self) -> Starts:
        self._activator.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._activator.__exit__(None, None, None)
        self._pod.join()

    def measure(self) -> None:
        """All trials, in their order."""
        trials = policy.order(self._spec.temperatures, self._spec.trials, self._spec.seed)
        for number, wanted in enumerate(trials):
            self._check()
            measured = self._trial(number, wanted)
            took = "no answer" if measured.first_byte is None else f"{(measured.first_byte - measured.arrived):.3f} s"
            self._say(f"start {number + 1} of {len(trials)}: {measured.temperature}, first byte after {took}")

    def _trial(self, number: int, wanted: str) -> StartMeasured:
        cached: pagecache.Cached | None = None
        for _ in range(_TRIES):
            self._prepare(wanted)
            cached = self._image.cached() if not self._pod.created(APP) and self._image.there else None
            found = self._look(cached)
            if policy.temperature_of(found) == wanted:
                break
        temperature = policy.temperature_of(found)
        memory, swap = self._pod.held()
        before = self._pod.counts() if found.running else dict(NO_COUNTS)
        stamps: list[tuple[str, float]] = []
        arrived, answer = self._ask(temperature, temperature, stamps)
        pulled = any(stage == policy.IMAGE for stage, _ in stamps) and self._image.there
        loaded = self._image.cached() if pulled else None
        measured = StartMeasured(
            t=answer.done,
            trial=number,
            wanted=wanted,
            temperature=answer.temperature or temperature,
            attempt=self._pod.attempt,
            arrived=arrived,
            stamps=stamps,
            first_byte=answer.first_byte,
            status=answer.status,
            error=answer.error,
            before=before,
            after=self._pod.counts(),
            held_bytes=memory,
            held_swap_bytes=swap,
            image_cached_bytes=None if cached is None else cached.cached,
            image_bytes=cached.size if cached is not None else None if loaded is None else loaded.size,
            image_cached_after_bytes=None if loaded is None else loaded.cached,
        )
        self._log.append(measured)
        if not answer.served:
            self._clear()
        return measured

    # --- the way to a temperature

    def _prepare(self, wanted: str) -> None:
        if wanted in policy.RUNNING:
            self._prepare_running(wanted)
            return
        self._clear()
        if wanted == policy.COLD:
            self._image.remove()
            return
        if not self._image.there:
            self._image.load()
        if wanted == policy.WARM_DISK:
            self._image.drop()
            return
        self._image.read_in(self._check)
        if wanted == policy.CREATED:
            self._pod.open()
            for name in self._pod.containers:
                self._pod.create(name)

    def _prepare_running(self, wanted: str) -> None:
        """A pod that has just answered; frozen, and its memory reclaimed, as is wanted. One that was in swap before
        is made again: what is not asked for stays there.
        """
        if self._pod.created(APP) and self._pod.held_by(APP)[1]:
            self._clear()
        _, answer = self._ask("prepare", policy.temperature_of(self._look(None)), [])
        if not answer.served:
            self._clear()  # the temperature does not hold then, and is prepared again
            return
        if wanted == policy.WARM_CPU:
            return
        deadline = now() + self._ready_timeout_s
        while not self._pod.frozen:
            self._check()
            if now() > deadline:
                raise EmuError(
                    "the app is not frozen",
                    f"{self._ready_timeout_s:g} s after its last answer it is still running",
                    "see processes/freezer.log",
                )
            time.sleep(_LOOK_S)
        if wanted == policy.WARM_SWAP:
            self._pod.reclaim()

    def _look(self, cached: pagecache.Cached | None) -> Found:
        """What a request would find now."""
        share = 0.0 if cached is None else cached.share
        if not self._pod.created(APP):
            return Found(self._image.there, cached_share=share)
        if not self._pod.running:
            return Found(True, created=True)
        memory, swap = self._pod.held_by(APP)
        return Found(True, created=True, running=True, frozen=self._pod.frozen, app_bytes=memory, app_swap_bytes=swap)

    # --- the way from there to an answer

    def _ask(self, phase: str, temperature: str, stamps: list[tuple[str, float]]) -> tuple[float, Answer]:
        """A client asks: when its request arrived, and what it saw, which is on record among the requests."""
        deadline = now() + self._ready_timeout_s
        self._publish(temperature)
        self._activator.wait_for("updated", deadline)
        with Asking(self._activator.port, self._request) as asking:
            report = self._activator.wait_for("arrived", deadline, asking)
            arrived = asking.answer.sent if report is None else report.t
            self._serve(asking, temperature, stamps, deadline)
        answer = asking.answer
        number = self._asked
        self._asked += 1
        error = answer.error or (None if answer.status is not None else "closed")
        with self._run.requests.open("a", encoding="utf-8") as lines:
            sent = RequestSent(number, phase, answer.sent, answer.sent, pod=self._pod.name, container=QUEUE_PROXY)
            lines.write(to_line(sent))
            lines.write(
                to_line(RequestDone(number, answer.done, answer.first_byte, answer.status, error, answer.bytes))  # type: ignore[arg-type]
            )
        return arrived, answer

    def _serve(self, asking: Asking, temperature: str, stamps: list[tuple[str, float]], deadline: float) -> None:
        """See that there is a pod, and that the request is answered; the client hangs up where it is not."""

        def stamp(stage: str, at: float | None = None) -> None:
            stamps.append((stage, now() if at is None else at))

        try:
            if not self._pod.running:
                self._bring_up(temperature, asking, stamp, deadline)
            forwarded = self._activator.wait_for("forwarded", deadline, asking)
            if forwarded is not None:
                stamp(policy.FORWARD, forwarded.t)
            while not asking.over(TURN_S):
                self._check()
                if now() > deadline:
                    raise EmuError("no answer", f"none came within {self._ready_timeout_s:g} s", "see logs/")
        except (EmuError, OSError) as error:
            what = error.what if isinstance(error, EmuError) else str(error)
            self._log.append(
                Note(
                    t=now(),
                    what=f"a {temperature} start failed: {what}",
                    why=getattr(error, "why", ""),
                    level="error",
                )
            )

    def _publish(self, temperature: str) -> None:
        """Send the activator where the pod is, if it runs."""
        pods = (Endpoint(self._pod.address, start=temperature, pod=self._pod.name),) if self._pod.running else ()
        self._activator.publish(*pods)

    def _bring_up(self, temperature: str, asking: Asking, stamp: Callable[..., None], deadline: float) -> None:
        if not self._image.there or (self._spec.image_pull_policy == "Always" and not self._pod.created(APP)):
            self._image.load()
            stamp(policy.IMAGE)
        if not self._pod.opened:
            self._pod.open()
            stamp(policy.SANDBOX)
        for name in self._pod.containers:
            self._check()
            if not self._pod.created(name):
                self._pod.create(name)
                if name == APP:
                    stamp(policy.CREATE)
            self._pod.start(name)
            stamp(policy.START if name == APP else name)
        self._publish(temperature)
        ready = self._activator.wait_for("ready", deadline, asking)
        if ready is None:
            raise EmuError("the request ended before the pod was ready", "see processes/activator.log", "")
        stamp(policy.READINESS, ready.t)
        self._pod.record_ready()

    def _clear(self) -> None:
        """No container is left, and the activator knows of none."""
        self._activator.withdraw()
        self._pod.clear()
