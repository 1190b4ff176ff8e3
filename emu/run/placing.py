"""The scheduler of a run at work: a pod gets the node, waits for room, or has others removed for it."""

from __future__ import annotations

from emu.kubelet.pod import Pod
from emu.kubelet.pods import Pods
from emu.kubelet.worker import PodWorker
from emu.policy.scheduling import Scheduler, Verdict
from emu.record.events import PREEMPTED, SCALE_DOWN, now
from emu.spec import PodSpec
from emu.spec.fitting import requests_of


class Placing:
    """Of one run. What it decides is `Scheduler`'s."""

    def __init__(self, scheduler: Scheduler, pods: Pods) -> None:
        self._scheduler = scheduler
        self._pods = pods
        self._made: dict[PodWorker, Pod] = {}

    def add(self, pod: Pod, spec: PodSpec) -> None:
        """A pod that has no node yet."""
        template = pod.template
        self._scheduler.add(pod.name, requests_of(spec), template.priority, preempts=template.preempts)

    def know(self, worker: PodWorker, pod: Pod) -> None:
        """Its worker is there."""
        self._made[worker] = pod

    def bind(self, pod: Pod) -> Verdict | None:
        """Look for room for a pod; it is on this machine then. Pods that are in its way are preempted."""
        ending = {worker.pod for worker in self._made if worker.ending}
        verdict = self._scheduler.attempt(pod.name, now(), ending)
        if verdict is None:
            return None
        if verdict.fits:
            self._pods.place(pod)
        for worker in self._made:
            if worker.pod in verdict.victims:
                worker.binding.preempt(pod.name, pod.template.priority)
        return verdict

    def dismiss(self, worker: PodWorker) -> None:
        """Its pod is gone."""
        self._scheduler.remove(worker.pod)
        self._pods.remove(self._made.pop(worker), PREEMPTED if worker.binding.preempted else SCALE_DOWN)
