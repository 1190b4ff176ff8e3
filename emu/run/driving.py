"""A run under way: its pods are started, kept running, and sent their load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from socket import socket
from typing import TYPE_CHECKING

from emu.helpers.freezer_seen import FreezerSeen
from emu.helpers.load import RunLoad, Target
from emu.kubelet.node import Node
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.pods import Pods
from emu.kubelet.resizing import Resizing
from emu.kubelet.template import PodTemplate
from emu.kubelet.worker import PodWorker
from emu.machine import pagecache
from emu.messages import APP, QUEUE_PROXY
from emu.policy.lifecycle import ContainerState
from emu.policy.loadplan import LoadPlan
from emu.policy.scheduling import Scheduler
from emu.policy.starts import Found, temperature_of
from emu.policy.until import PodFacts
from emu.record.events import EventLog, Note, now
from emu.record.rundir import RunDir
from emu.run.placing import Placing
from emu.run.podfacts import PodWitness, together
from emu.run.screen import Screen
from emu.run.watch import Events, Watch, show_exit
from emu.run.workload import Workload
from emu.runtime.api import Runtime
from emu.scenario.load_plan import Entrance, load_plan
from emu.spec import NamedPodSpec, PhaseModel, PodSpec, RevisionPlan, ScenarioSpec
from emu.spec.resizing import merged
from emu.units import format_seconds

if TYPE_CHECKING:
    from emu.run.routes import Routes
    from emu.serving.autoscaler import Autoscaler
    from emu.serving.front import Front
    from emu.serving.revision import Revision

_TURN_S = 0.1


@dataclass(frozen=True, eq=False)
class PlannedPod:
    """A pod of the scenario, and how to plan it: once, or each time that one is wanted."""

    spec: PodSpec
    template: PodTemplate
    make: Callable[[], Pod]
    of: RevisionPlan | None = None
    """The revision whose pod it is; None: a pod by itself."""


class Driving:
    """Of one run. Whatever is started ends with the stack that `start` is given."""

    def __init__(
        self,
        spec: ScenarioSpec,
        run: RunDir,
        node: Node,
        pods: Pods,
        log: EventLog,
        screen: Screen,
        *,
        began: float,
        keep: Callable[[], None],
        resizing: Resizing,
        asks: socket | None = None,
    ) -> None:
        """`keep` is called at every turn, and may raise. `asks`: where the load asks for samples."""
        self._spec = spec
        self._run = run
        self._node = node
        self._pods = pods
        self._log = log
        self._screen = screen
        self._began = began
        self._keep = keep
        self._resizing = resizing
        self._asks = asks
        self._resized: dict[PodWorker, PodTemplate] = {}
        """As the last resize that was asked for makes it."""
        self._several = False
        self._witnesses: dict[PlannedPod, PodWitness] = {}
        self._placing = Placing(Scheduler(spec.allocatable, spec.time_scale), pods)
        self._routes: Routes | None = None
        """Of a scenario with `services`."""

    def drive(self, planned: Mapping[str, PlannedPod], engine: Runtime, stack: ExitStack) -> None:
        """Start the pods, all side by side, keep them running, and send them their load."""
        self._several = len(planned) > 1
        self._witnesses = {one: self._witness(one.spec) for one in planned.values()}
        workloads: dict[str, Workload] = {}
        scaled: dict[str, Revision] = {}
        for name, one in planned.items():
            if one.spec.autoscaling is None or one.of is None:
                workloads[name] = worker = self._admit(one)
                worker.schedule()  # a scenario whose pods do not fit was refused
            else:
                workloads[name] = revision = self._scaled(one, one.of, engine, stack)
                scaled[name] = revision
        stack.callback(self._node.stop)
        for revision in scaled.values():
            stack.callback(revision.end_drain)
        if self._spec.services:
            from emu.run.routes import Routes

            self._routes = Routes(self._spec, scaled, self._log, self._say)

        def turn(wait_s: float) -> None:
            self._node.turn(wait_s)
            for revision in scaled.values():
                revision.turn()
            if self._routes is not None:
                self._routes.turn()

        try:
            self._drive(planned, workloads, turn)
        except KeyboardInterrupt:
            for workload in workloads.values():
                workload.hurry()
            raise

    def _witness(self, spec: PodSpec) -> PodWitness:
        if spec.freezer is None:
            return PodWitness()
        return PodWitness(FreezerSeen(self._run.events, len(spec.freezer.reclaim)).reclaimed)

    def _admit(self, planned: PlannedPod) -> PodWorker:
        """A pod that has no node yet."""
        pod, freezer = planned.make(), planned.spec.freezer
        self._placing.add(pod, planned.spec)
        worker = self._node.admit(
            pod,
            on_exit=partial(self._on_exit, planned),
            on_event=Events(self._screen, self._began, pod.name if self._named(planned) else "").show,
            hold_frozen=freezer is None or freezer.mode != "knative",
            bind=partial(self._placing.bind, pod),
        )
        self._placing.know(worker, pod)
        return worker

    def _dismiss(self, worker: PodWorker) -> None:
        self._placing.dismiss(worker)
        self._node.dismiss(worker)

    def _named(self, planned: PlannedPod) -> bool:
        """Whether the screen names the pod: there may be another."""
        return self._several or (planned.of is not None and planned.spec.autoscaling is not None)

    def _on_exit(self, planned: PlannedPod, instance: Instance, state: ContainerState) -> None:
        self._witnesses[planned].saw_exit(instance, state)
        name = f"{instance.pod}/{instance.container}" if self._named(planned) else instance.container
        show_exit(self._screen, now() - self._began, name, state)

    def _scaled(self, planned: PlannedPod, of: RevisionPlan, engine: Runtime, stack: ExitStack) -> Revision:
        # What few runs need is imported where they do: in the sandbox an import takes its time.
        from emu.serving.revision import Revision

        several = f"{of.name}: " if self._several else ""
        scaled = Revision(
            of,
            planned.template,
            self._log,
            self._front(of, stack),
            self._autoscaler(planned, of),
            partial(self._admit, planned),
            start=self._node.start,
            settle=self._node.settle,
            dismiss=self._dismiss,
            found=partial(_warmth, planned.template, engine),
            say=lambda text: self._say(f"{several}{text}"),
        )
        return stack.enter_context(scaled)

    def _say(self, text: str) -> None:
        self._screen.event(f"{now() - self._began:6.1f} s  {text}", "yellow")

    def _front(self, of: RevisionPlan, stack: ExitStack) -> Front:
        if not of.spec.has_queue_proxy:
            from emu.serving.front import BareService

            return stack.enter_context(BareService())
        from emu.helpers.activator import RunActivator

        name = of.name if self._several else ""
        return stack.enter_context(
            RunActivator(
                of.spec,
                self._run,
                self._log,
                self._node.wake,
                revision=name,
                time_scale=self._spec.time_scale,
            )
        )

    def _autoscaler(self, planned: PlannedPod, of: RevisionPlan) -> Autoscaler:
        asked = of.spec.autoscaling
        if asked is not None and asked.is_hpa:
            if asked.scaled_object is not None:
                from emu.serving.keda import Keda

                return Keda(of, planned.template, self._spec.time_scale)
            from emu.serving.hpa import Hpa

            return Hpa(of, planned.template, self._spec.time_scale)
        from emu.serving.kpa import Kpa

        return Kpa(of, self._began, self._spec.time_scale)

    def _drive(
        self,
        planned: Mapping[str, PlannedPod],
        workloads: Mapping[str, Workload],
        wait_for_pods: Callable[[float], None],
    ) -> None:
        spec, watch = self._spec, Watch(workloads, self._screen, self._began)

        def turn(phase: str, load: RunLoad | None) -> None:
            wait_for_pods(_TURN_S)
            self._keep()
            if load is not None:
                load.hear()
                self._lead(load, workloads)
                for split in () if self._routes is None else self._routes.splits:
                    load.split(split)
            watch.look(phase, load)

        def start_pods() -> None:
            self._screen.step("starting the pods" if self._several else "starting the pod")
            if self._routes is not None:
                self._routes.start()
            for workload in workloads.values() if self._routes is None else ():
                workload.start()
                self._keep()
            deadline = now() + max(one.spec.ready_timeout for one in planned.values())
            while now() < deadline and any(workload.coming for workload in workloads.values()):
                turn("waiting for readiness", None)

        if not spec.load.phases:
            start_pods()
            return
        with RunLoad(self._run, self._log, self._asks) as load:  # which comes up while the pods do
            start_pods()
            plan = self._load_plan(workloads)
            asked = {
                phase.name: [spec.asked_pod(phase)] if self._routes is None else self._routes.watched(phase)
                for phase in spec.load.phases
            }

            def facts(phase: str) -> PodFacts:
                return together([self._witnesses[planned[pod]].facts(workloads[pod]) for pod in asked[phase]])

            self._screen.step(f"sending requests: {', '.join(phase.name for phase in plan.phases)}")
            if self._routes is not None:
                load.on_begin = self._routes.begin
            else:
                load.on_begin = partial(self._resize, {phase.name: phase for phase in spec.load.phases}, workloads)
            load.begin(plan, {phase.name: _target(spec, phase) for phase in spec.load.phases})
            self._lead(load, workloads)  # its first request would not wait for the next turn
            while load.running:
                turn(load.phase, load)
                if load.waits:
                    load.look(facts)
                self._stop_due(planned, workloads, load)
            self._stop_due(planned, workloads, load)  # between this run's last look and the load's end, too
            for name, one in planned.items():
                self._note_not_stopped(name, one.spec.stop_after, load)
            settled = now() + spec.load.settle
            while now() < settled:
                turn("recording the settle time", load)
            self._screen.show(watch.moment("done", load))
            load.check()

    @staticmethod
    def _lead(load: RunLoad, workloads: Mapping[str, Workload]) -> None:
        """Where requests go now: to the pods themselves, or to what is in front of them."""
        for workload in workloads.values():
            if workload.template.port is not None:
                load.lead(workload.entrance, workload.open_pods)

    def _load_plan(self, workloads: Mapping[str, Workload]) -> LoadPlan:
        """What the load generator is to send, and where to, now that the pods have their addresses."""
        if self._routes is None:
            entrances = {name: entrance_of(one) for name, one in workloads.items() if one.template.port is not None}
        else:
            entrances = self._routes.entrances
        first = next(iter(entrances), "")
        host, port = entrances[first][:2] if entrances else ("", 0)
        plan = load_plan(self._spec.load, host, port, entrances, first=first)
        return plan if self._routes is None else replace(plan, splits=tuple(self._routes.splits))

    @staticmethod
    def _stop_due(planned: Mapping[str, PlannedPod], workloads: Mapping[str, Workload], load: RunLoad) -> None:
        for name, one in planned.items():
            if one.spec.stop_after is not None and load.has_run_for(one.spec.stop_after):
                workloads[name].begin_stop(hooks=True)

    def _resize(self, phases: Mapping[str, PhaseModel], workloads: Mapping[str, Workload], begun: str) -> None:
        """A phase has begun that may resize a container. It changes what was asked for before, also where that
        was refused: the pod's spec has it.
        """
        phase = phases[begun]
        workload = workloads.get(self._spec.asked_pod(phase))
        if phase.resize is None or not isinstance(workload, PodWorker):
            return
        before, name = self._resized.get(workload, workload.template), phase.resize.container
        wanted = before.resized(name, merged(before.container(name).resources, phase.resize.resources))
        self._resized[workload] = wanted
        self._resizing.ask(workload, name, wanted, ignore_usage=phase.resize.ignore_usage)

    def _note_not_stopped(self, pod: str, after_s: float | None, load: RunLoad) -> None:
        """The load may end before its plan: a phase that waits for something, or that has sent its `count`."""
        if after_s is not None and not load.has_run_for(after_s):
            why = f"stopAfter is {format_seconds(after_s)}, and the load ended before that"
            self._log.append(Note(t=now(), what=f"{pod or 'the pod'} was not stopped during the load", why=why))


def _target(spec: ScenarioSpec, phase: PhaseModel) -> Target:
    """Where a phase's requests go, for the record."""
    name = spec.asked_pod(phase)
    pod = spec.each_pod[name]
    serving = pod.serving if isinstance(pod, NamedPodSpec) else APP
    do = phase.request.do
    reads = None if do is None or do.read_bytes else do.read_file  # a part of a file says little of its page cache
    return Target(name, serving, reads, "" if reads is None else spec.holder_of_files(name))


def entrance_of(workload: Workload) -> Entrance:
    """Where a workload is asked. Behind an activator neither pod nor container is known yet; of a Deployment that an
    autoscaler scales the container is.
    """
    pod, serving = workload.pod, workload.template.serving
    return Entrance(*workload.entrance, pod, serving if pod or serving != QUEUE_PROXY else "")


def _warmth(template: PodTemplate, engine: Runtime) -> str:
    """What a start from zero finds: the app's image in the page cache, or on the disk alone."""
    folders = [folder for folder in engine.image_folders(template.container(APP).image) if folder.is_dir()]
    share = pagecache.cached(folders).share if folders else 0.0
    return temperature_of(Found(image=True, cached_share=share))
