"""A run under way: its pods are started, kept running, and sent their load."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from emu.helpers.load import RunLoad
from emu.kubelet.node import Node
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.pods import Pods
from emu.kubelet.template import PodTemplate
from emu.kubelet.worker import PodWorker
from emu.machine import pagecache
from emu.policy.lifecycle import ContainerState
from emu.policy.starts import Found, temperature_of
from emu.record.events import EventLog, now
from emu.record.rundir import RunDir
from emu.run.podfacts import PodWitness
from emu.run.screen import Screen
from emu.run.watch import Events, Watch, show_exit
from emu.run.workload import Workload
from emu.runtime.api import Runtime
from emu.scenario.load_plan import load_plan
from emu.serving.template import APP
from emu.spec import PodSpec, ScenarioSpec

_TURN_S = 0.1


@dataclass(frozen=True)
class PlannedPod:
    """A pod of the scenario, and how to make it: once, or each time that one is wanted."""

    spec: PodSpec
    template: PodTemplate
    make: Callable[[], Pod]


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
    ) -> None:
        """`keep` is called at every turn, and may raise."""
        self._spec = spec
        self._run = run
        self._node = node
        self._pods = pods
        self._log = log
        self._screen = screen
        self._began = began
        self._keep = keep
        self._events = Events(screen, began)
        self._witness = PodWitness()
        self._made: dict[PodWorker, Pod] = {}

    def drive(self, planned: PlannedPod, engine: Runtime, stack: ExitStack) -> None:
        """Start the pod, keep it running, and send it its load."""
        if planned.spec.autoscaling is None:
            workload: Workload = self._admit(planned)
            turn: Callable[[float], None] = self._node.turn
            stack.callback(self._node.stop)
        else:
            workload, turn = self._scaled(planned, engine, stack)
        try:
            self._drive(workload, turn)
        except KeyboardInterrupt:
            workload.hurry()
            raise

    def _admit(self, planned: PlannedPod) -> PodWorker:
        pod, freezer = planned.make(), planned.spec.freezer
        worker = self._node.admit(
            pod,
            on_exit=self._on_exit,
            on_event=self._events.show,
            hold_frozen=freezer is None or freezer.mode != "knative",
        )
        self._made[worker] = pod
        return worker

    def _dismiss(self, worker: PodWorker) -> None:
        self._pods.remove(self._made.pop(worker))
        self._node.dismiss(worker)

    def _on_exit(self, instance: Instance, state: ContainerState) -> None:
        self._witness.saw_exit(instance, state)
        show_exit(self._screen, now() - self._began, instance.container, state)

    def _scaled(
        self, planned: PlannedPod, engine: Runtime, stack: ExitStack
    ) -> tuple[Workload, Callable[[float], None]]:
        # What few runs need is imported where they do: in the sandbox an import takes its time.
        from emu.helpers.activator import RunActivator
        from emu.serving.autoscaler import ScaledPod

        activator = stack.enter_context(RunActivator(planned.spec, self._run, self._log, self._node.wake))
        scaled = ScaledPod(
            planned.spec,
            planned.template,
            self._log,
            activator,
            partial(self._admit, planned),
            dismiss=self._dismiss,
            found=partial(_warmth, planned.template, engine),
            say=lambda text: self._screen.event(f"{now() - self._began:6.1f} s  {text}", "yellow"),
        )
        stack.enter_context(scaled)
        stack.callback(self._node.stop)
        stack.callback(scaled.end_drain)

        def turn(wait_s: float) -> None:
            self._node.turn(wait_s)
            scaled.turn()

        return scaled, turn

    def _drive(self, workload: Workload, wait_for_pods: Callable[[float], None]) -> None:
        spec, watch = self._spec, Watch(workload, self._screen, self._began)

        def turn(phase: str, load: RunLoad | None) -> None:
            wait_for_pods(_TURN_S)
            self._keep()
            if load is not None:
                load.hear()
            watch.look(phase, load)

        self._screen.step("starting the pod")
        workload.start()
        self._keep()
        deadline = now() + spec.pod.ready_timeout
        while now() < deadline and workload.coming:
            turn("waiting for readiness", None)
        plan = load_plan(spec.load, *workload.entrance)
        if not plan.phases:
            return
        self._screen.step(f"sending requests: {', '.join(phase.name for phase in plan.phases)}")
        with RunLoad(plan, self._run, self._log) as load:
            while load.running:
                turn(load.phase, load)
                if load.waits:
                    load.look(self._witness.facts(workload))
                if spec.pod.stop_after is not None and load.has_run_for(spec.pod.stop_after):
                    workload.begin_stop(hooks=True)
            settled = now() + spec.load.settle
            while now() < settled:
                turn("recording the settle time", load)
            self._screen.show(watch.moment("done", load))
            load.check()


def _warmth(template: PodTemplate, engine: Runtime) -> str:
    """What a start from zero finds: the app's image in the page cache, or on the disk alone."""
    folders = [folder for folder in engine.image_folders(template.container(APP).image) if folder.is_dir()]
    share = pagecache.cached(folders).share if folders else 0.0
    return temperature_of(Found(image=True, cached_share=share))
