"""A revision, or a Deployment, under its autoscaler: its pods are made and removed to the number that is decided.

Mechanism only: how many pods there are to be is its autoscaler's, which of them go `emu.policy.replicas`'. `turn`,
called from the run's own loop, is the only place where anything is decided or done. Each pod has a name, a cgroup and
a worker of its own, so pods start and end side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from emu.kubelet.pod import Instance
from emu.kubelet.template import PodTemplate
from emu.kubelet.worker import PodWorker
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.policy.lifecycle import ContainerState, PodView
from emu.policy.replicas import victims
from emu.record.events import PREEMPTED, SCALE_DOWN, SCALED_TO_ZERO, EventLog, PodScaled, PodStatus, now
from emu.serving.autoscaler import Autoscaler, Live
from emu.serving.front import Front
from emu.serving.readiness import is_pod_ready, is_probed_early
from emu.serving.temperature import StartTemperature
from emu.spec import RevisionPlan

NOT_MADE = "-"
"""In place of a status: of a revision that no traffic was asked for yet."""


class Revision:
    """Looks like a pod's worker to those who drive a run. A context manager: leaving ends its threads."""

    def __init__(
        self,
        plan: RevisionPlan,
        template: PodTemplate,
        log: EventLog,
        activator: Front,
        autoscaler: Autoscaler,
        admit: Callable[[], PodWorker],
        *,
        start: Callable[[PodWorker], None],
        settle: Callable[[PodWorker], None],
        dismiss: Callable[[PodWorker], None],
        found: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        """`admit` makes a pod and takes it on, `start` starts it by and by, `settle` sees to it that this is over
        before it is to end, and `dismiss` removes one whose containers have ended. `found` says how warm a start
        would be. `say` is for the screen.
        """
        self.template = template
        self._plan = plan
        self._spec = plan.spec
        self._log = log
        self._activator = activator
        self._admit = admit
        self._start_pod = start
        self._settle = settle
        self._dismiss = dismiss
        self._say = say
        self._scaling = autoscaler
        self._live: list[Live] = []
        """In the order in which they were made."""
        self._ending: list[PodWorker] = []
        """Of pods that were asked to end, the oldest first."""
        self._last_ones: set[PodWorker] = set()
        """Those of them that are waited for until there is no pod."""
        self._published = Endpoints()
        self._ready: frozenset[str] = frozenset()
        """The names of the pods that are ready."""
        self._wanted = 0
        """As many pods as were wanted when that was last acted on."""
        self._temperature = StartTemperature(found)
        self._start = ""
        self._coming = False
        self._waiting = 0
        asked = plan.spec.autoscaling
        self._initial = 1 if asked is None else asked.initial_scale
        self.begun = False
        """It was made; before that it has no pods, and wants none."""
        self.was_ready = False
        """It had its initial scale ready once, and is ready for traffic for good, as Knative has it."""

    def __enter__(self) -> Self:
        self._scaling.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scaling.end()

    # --- what a pod's worker offers; of the newest pod that there is

    @property
    def _newest(self) -> PodWorker | None:
        if self._live:
            return self._live[-1].worker
        return self._ending[-1] if self._ending else None

    @property
    def pod(self) -> str:
        """Empty: the activator chooses."""
        return ""

    @property
    def each_pod(self) -> Sequence[PodWorker]:
        """Its pods, those that end among them."""
        return (*self._ending, *(one.worker for one in self._live))

    @property
    def entrance(self) -> tuple[str, int]:
        """Where requests to the pods are sent, unless to one of `open_pods`: the activator, or the Service."""
        return "127.0.0.1", self._activator.port

    @property
    def open_pods(self) -> tuple[Endpoint, ...]:
        """The ready pods while the activator is not in the path, as the service's endpoints then are."""
        if self._scaling.proxied:
            return ()
        return tuple(replace(one.endpoint, start="") for one in self._live if one.ready_since is not None)

    @property
    def states(self) -> Mapping[str, ContainerState]:
        """The state of each container of the newest pod."""
        newest = self._newest
        return {name: ContainerState() for name in self.template.names} if newest is None else newest.states

    @property
    def coming(self) -> bool:
        """A pod is missing, or a container of one is not ready yet, and may become so by itself; or no request would
        reach a ready pod yet, since the activator's probe has not found it.
        """
        missing = self.begun and len(self._live) < self._scaling.pods
        return missing or any(one.worker.coming or self._is_unfound(one) for one in self._live)

    def _is_unfound(self, one: Live) -> bool:
        return one.ready_since is not None and not self._activator.reaches(one.endpoint)

    @property
    def ready_pods(self) -> int:
        return len(self._ready)

    @property
    def view(self) -> PodView:
        """The newest pod as kubectl would show it, and in a word of emu's where there is none."""
        newest = self._newest
        if newest is not None:
            return newest.view
        return PodView("0/0", SCALED_TO_ZERO if self.begun else NOT_MADE, 0)

    def instance(self, container: str) -> Instance | None:
        """The newest pod's instance that runs or ran last; None where there is no pod."""
        newest = self._newest
        return None if newest is None else newest.instance(container)

    def start(self) -> None:
        """Make the first pod, and start every container of it; `turn` makes the others."""
        self.begun = True
        self.was_ready = not self._initial
        self._scaling.start()
        self._record_decisions()
        self._wanted = self._scaling.pods
        to_zero = self._scaling.to_zero
        reached, why = self._wanted == 0, self._scaling.why
        self._log.append(
            PodScaled(t=now(), revision=self._plan.name, pods=self._wanted, reached=reached, why=why, to_zero=to_zero)
        )
        if self._wanted:
            self._make()
        else:
            self._temperature.look()

    def begin_stop(self, *, hooks: bool = False) -> None:
        """The run, or the revision for good, is to end."""
        for one in self._live:
            self._settle(one.worker)
            one.worker.begin_stop(hooks=hooks)

    def hurry(self) -> None:
        """The run was interrupted."""
        for worker in self.each_pod:
            worker.hurry()

    def end_drain(self) -> None:
        """The run is over: a drain that is under way is waited for no longer."""
        for worker in self._ending:
            worker.hurry()

    def reach(self, routed: bool) -> None:
        """A route leads to it, or none does any more: then nothing keeps its last pods."""
        self._scaling.route(routed=routed)

    def turn(self) -> None:
        """Act on what the activator said, and scale where it is due."""
        if not self.begun:
            return
        for report in self._activator.reports():
            self._take(report)
        self._update_readiness()  # first: the autoscaler decides by the pods that are ready now
        self._publish()
        self._scaling.turn(self._live)
        self._record_decisions()
        self._act()

    # --- what is learnt

    def _take(self, report: ActivatorReport) -> None:
        self._waiting = report.waiting
        if report.what == "report":
            self._scaling.report(report)
        elif report.what == "ready" and self._coming:
            self._coming, self._start = False, ""
            for one in self._live:
                one.start = ""
            self._log.append(
                PodScaled(
                    t=report.t, revision=self._plan.name, pods=self._wanted, reached=True, waiting=report.waiting
                )
            )

    def _update_readiness(self) -> None:
        """As the cluster sees it. A pod that is not ready any more is probed again by the activator."""
        for one in self._live:
            ready = is_pod_ready(self.template, one.worker.states)
            if ready != (one.ready_since is not None):
                one.changed = now()
                one.ready_since = one.changed if ready else None
        ready_ones = [one for one in self._live if one.ready_since is not None]
        names = frozenset(one.worker.pod for one in ready_ones)
        if names == self._ready:
            return
        self.was_ready |= len(names) >= self._initial
        self._ready = names
        self._scaling.update(ready_ones)
        self._publish()

    def _publish(self) -> None:
        """Have the activator know the pods, if there is something new to know."""
        early = is_probed_early(self._spec)
        pods = tuple(
            one.endpoint for one in self._live if one.worker.address and (early or one.ready_since is not None)
        )
        if Endpoints(pods) != self._published:
            self._published = Endpoints(pods)
            self._activator.update(self._published)

    # --- what is done

    def _act(self) -> None:
        for over in [one for one in self._ending if one.over][:1]:
            self._remove(over)  # one a turn: between two of them the others' news are taken
        for preempted in [one for one in self._live if one.worker.binding.preempted]:
            self._end([preempted], PREEMPTED)
        if self._scaling.pods != self._wanted:
            self._begin_scaling()
        missing = self._wanted - len(self._live)
        if missing > 0:
            self._make()  # one a turn, too
        elif missing < 0:
            self._end(victims((one.replica for one in self._live), -missing), SCALE_DOWN)
        for one in self._live:
            if not one.worker.has_node:
                self._begin(one.worker)

    def _begin_scaling(self) -> None:
        """Another number than before is wanted from now on."""
        before, self._wanted = self._wanted, self._scaling.pods
        if before and self._wanted:
            self._say(f"scaled from {before} to {self._wanted}: {self._scaling.why}")
            return
        self._log.append(
            PodScaled(
                t=now(),
                revision=self._plan.name,
                pod=self._live[0].worker.pod if len(self._live) == 1 and not self._wanted else "",
                pods=self._wanted,
                reached=False,
                why=self._scaling.why,
                concurrency=self._scaling.average(now()),
                waiting=self._waiting,
            )
        )
        self._say(f"scaled {'up from' if self._wanted else 'down to'} zero: {self._scaling.why}")
        if not self._wanted:
            self._last_ones = set(self.each_pod)
        self._coming, self._start = (True, self._temperature.found()) if self._wanted else (False, "")

    def _make(self) -> None:
        worker = self._admit()
        self._live.append(Live(worker, now(), self._start, changed=now()))
        self._begin(worker)

    def _begin(self, worker: PodWorker) -> None:
        """Start a pod if there is room for it on the node; else it is tried again at a later turn."""
        if worker.schedule():
            self._start_pod(worker)

    def _end(self, going: Sequence[Live], why: str) -> None:
        """No further request goes to a pod that is to end, and only then it is asked to."""
        self._live = [one for one in self._live if one not in going]
        self._ending += [one.worker for one in going]
        self._update_readiness()
        self._publish()
        for one in going:
            self._settle(one.worker)
            one.worker.begin_stop(hooks=True, why=why)

    def _remove(self, worker: PodWorker) -> None:
        """A pod's containers have ended."""
        self._ending.remove(worker)
        self._dismiss(worker)
        if worker in self._last_ones:
            self._last_ones.remove(worker)
            if not self._last_ones:
                self._log.append(
                    PodScaled(
                        t=now(), revision=self._plan.name, pod=worker.pod, pods=0, reached=True, waiting=self._waiting
                    )
                )
        if self._newest is None:
            self._log.append(PodStatus(t=now(), pod=worker.pod, ready="0/0", status=SCALED_TO_ZERO, restarts=0))
            self._temperature.look()

    def _record_decisions(self) -> None:
        for decision in self._scaling.decisions(self._waiting):
            self._log.append(decision)
