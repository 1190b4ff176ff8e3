"""A HorizontalPodAutoscaler: the cgroups of the pods go in, decisions come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emu.kubelet.template import PodTemplate
from emu.messages.endpoints import ActivatorReport
from emu.policy.autoscaling.timing import scaled
from emu.policy.hpa.controller import HpaController, Measured, Requests, Synced
from emu.policy.hpa.keda import Reading
from emu.policy.hpa.replicas import HpaPod
from emu.policy.hpa.spec import Metric
from emu.record.events import Event, MetricRead, ScaleDecided, now
from emu.serving.autoscaler import Live
from emu.serving.metrics import scrape
from emu.spec import RevisionPlan

CLASS = "hpa"
INITIAL = "initial scale"
_THOUSAND = 1000


class Hpa:
    """Class hpa: `emu.policy.hpa.controller` decides. The activator is in the path only while no pod is ready."""

    kind = CLASS

    def __init__(self, of: RevisionPlan, template: PodTemplate, time_scale: float = 1.0) -> None:
        """Of a revision, or of a Deployment."""
        assert of.spec.autoscaling is not None
        self._of = of
        self._asked = of.spec.autoscaling
        self._requests = requests_of(template)
        self._time_scale = time_scale
        self._controller = self._made(now())
        self.pods = self._asked.initial_scale
        self.why = INITIAL
        self.to_zero = False
        self._ready = 0
        self._said: list[Event] = []

    def _made(self, at: float) -> HpaController:
        timing = scaled(self._asked.controller.timing, self._time_scale)
        return HpaController(self._asked.asked, timing, self._requests, at, self._time_scale)

    @property
    def proxied(self) -> bool:
        """Until a pod is ready, and while none is any more."""
        return self._ready == 0

    def begin(self) -> None:
        """Nothing: cgroups are read when it is time."""

    def end(self) -> None:
        """Nothing: there is no pod that is measured between two syncs."""

    def start(self) -> None:
        """Scrapes and syncs count from now."""
        self._controller = self._made(now())
        self._said = [self._noted(INITIAL)]

    def _noted(self, why: str) -> ScaleDecided:
        """No decision, but what it is like from now on."""
        return ScaleDecided(
            t=now(), service=self._of.service, revision=self._of.name, before=self.pods, pods=self.pods, why=why,
            ready=self._ready, mode=self._mode, autoscaler=self.kind,
        )  # fmt: skip

    def route(self, *, routed: bool) -> None:
        """It keeps its pods: at least one, and here also as many as it has at least with a route."""

    def average(self, now: float) -> float | None:
        """There is no such window."""
        return None

    def report(self, report: ActivatorReport) -> None:
        """Requests do not count."""

    def update(self, ready: Sequence[Live]) -> None:
        """The first one that is ready takes the requests, the last one that is no more gives them up."""
        before, self._ready = self._mode, len(ready)
        if self._mode != before:
            self._said.append(self._noted("no pod is ready" if self.proxied else "a pod is ready"))

    @property
    def _mode(self) -> str:
        return "Proxy" if self.proxied else "Serve"

    def turn(self, live: Sequence[Live]) -> None:
        """Scrape and sync if it is time."""
        if now() >= self._controller.next_scrape_s:
            self._controller.scrape(now(), scrape(one.worker for one in live))
        if now() >= self._controller.next_sync_s:
            at = now()
            synced = self._controller.sync(at, [seen(one) for one in live], self.pods, self._external(at))
            if synced.size.replicas != self.pods:
                self.pods, self.why = synced.size.replicas, synced.why
            self._said += [self._read(at, one) for one in synced.measured]
            self._said.append(self._event(at, synced))

    def _external(self, at: float) -> Mapping[str, Reading]:
        """The metrics that are not of the pods themselves, by name: there are none."""
        return {}

    def _query(self, metric: str) -> str:
        """Of a trigger's metric."""
        return ""

    def decisions(self, waiting: int) -> list[Event]:
        """Those since the last call."""
        found, self._said = self._said, []
        return found

    def _read(self, at: float, one: Measured) -> MetricRead:
        metric = one.metric
        return MetricRead(
            t=at,
            revision=self._of.name,
            name=metric.name,
            container=metric.container,
            query=self._query(metric.name),
            unit=_unit(metric),
            target=_amount(metric, metric.target),
            value=_amount(metric, one.value),
            proposed=one.proposal.replicas,
            why=one.proposal.sentence,
            samples={
                pod: (sample.value / _THOUSAND, sample.at_s, sample.window_s) for pod, sample in one.samples.items()
            },
        )

    def _event(self, at: float, synced: Synced) -> ScaleDecided:
        size = synced.size
        deciding = synced.deciding
        return ScaleDecided(
            t=at,
            service=self._of.service,
            revision=self._of.name,
            before=synced.before,
            pods=size.replicas,
            ready=self._ready,
            mode=self._mode,
            why=synced.why,
            autoscaler=self.kind,
            metric=deciding.metric.name,
            unit=_unit(deciding.metric),
            target=_amount(deciding.metric, deciding.metric.target),
            value=_amount(deciding.metric, deciding.value),
            desired=deciding.proposal.replicas,
            able=size.able,
            limit=size.limit if size.limited else "",
            proposals=list(synced.window),
        )


def requests_of(template: PodTemplate) -> Requests:
    """What the pod's containers request of each resource; of the init containers only sidecars count."""
    asked = {one.name: one.asked.resources.requests for one in template.containers if one.role != "init"}
    return {
        resource: {
            name: None if (amount := requests.get(resource)) is None else amount * thousandths
            for name, requests in asked.items()
        }
        for resource, thousandths in (("cpu", 1), ("memory", _THOUSAND))
    }


def seen(one: Live) -> HpaPod:
    """A pod as the controller's lister has it."""
    runs = any(one.worker.template.container(each.container).role == "container" for each in one.worker.running)
    return HpaPod(
        one.worker.pod,
        phase="Running" if runs else "Pending",
        ready="False" if one.ready_since is None else "True",
        ready_changed_s=one.changed,
        started_s=one.made,
    )


def _unit(metric: Metric) -> str:
    if metric.type == "Utilization":
        return "%"
    if metric.source == "External":
        return "" if metric.type == "Value" else "a pod"
    return "bytes" if metric.name == "memory" else "cores"


def _amount(metric: Metric, value: int | None) -> float | None:
    """In the metric's unit."""
    if value is None:
        return None
    return float(value) if metric.type == "Utilization" else value / _THOUSAND
