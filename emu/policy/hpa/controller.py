"""One HorizontalPodAutoscaler from its creation on: what metrics-server serves, and what the controller decides at
each sync, in words. Pure: the caller reads the clock and the cgroups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emu.policy.hpa.keda import Reading, thousandths
from emu.policy.hpa.replicas import (
    HpaPod,
    Proposal,
    Sample,
    external_failed,
    external_per_pod,
    external_value,
    propose,
    together,
)
from emu.policy.hpa.sizing import History, Size, sync
from emu.policy.hpa.spec import HpaSpec, Metric
from emu.policy.hpa.timing import HpaTiming, shortened
from emu.policy.hpa.usage import Point, Points, sample, scraped

Requests = Mapping[str, Mapping[str, int | None]]
"""By resource: each container's request, in thousandths of a CPU or of a byte; None where it has none."""


@dataclass(frozen=True)
class Measured:
    """What one metric came to at a sync."""

    metric: Metric
    proposal: Proposal
    samples: Mapping[str, Sample]
    """By pod; a pod without one is not in it."""
    ready: int
    """Pods that were ready."""

    @property
    def value(self) -> int | None:
        """As the target is: percent, or thousandths in a pod. None: it could not be read."""
        return self.proposal.utilization if self.metric.type == "Utilization" else self.proposal.average


@dataclass(frozen=True)
class Synced:
    """A sync's decision, with what it went by."""

    before: int
    size: Size
    measured: tuple[Measured, ...]
    window: tuple[tuple[float, int], ...]
    """The proposals that stabilization looked at, with when each was made."""
    why: str

    @property
    def deciding(self) -> Measured:
        """The metric that asked for most pods; the first one where none could be read."""
        return max(self.measured, key=lambda one: -1 if one.proposal.replicas is None else one.proposal.replicas)


class HpaController:
    """It decides when `next_sync_s` has come, and wants a scrape when `next_scrape_s` has."""

    def __init__(
        self,
        spec: HpaSpec,
        timing: HpaTiming,
        requests: Requests,
        now: float,
        time_scale: float = 1.0,
    ) -> None:
        """`timing` is scaled already; `time_scale` is for the spec's windows and periods."""
        self.spec = shortened(spec, time_scale)
        self._timing = timing
        self._requests = requests
        self._history = History()
        self._points: dict[str, Points] = {}
        self.next_scrape_s = now + timing.first_scrape_s
        self.next_sync_s = now + timing.sync_s

    def scrape(self, now: float, pods: Mapping[str, Mapping[str, Point]]) -> None:
        """Each running container of each pod, as its cgroup is now. A pod that is not in it is forgotten."""
        timing = self._timing
        self._points = {
            name: scraped(self._points.get(name, Points()), points, timing.resolution_s, timing.fresh_least_s)
            for name, points in pods.items()
        }
        self.next_scrape_s = _next(self.next_scrape_s, timing.resolution_s, now)

    def sync(
        self, now: float, pods: Sequence[HpaPod], current: int, external: Mapping[str, Reading] | None = None
    ) -> Synced:
        """One sync; `pods` need no requests. `current` is how many there are to be. `external`: the metrics of
        triggers, by name.
        """
        timing = self._timing
        measured = tuple(
            self._outside(metric, pods, current, (external or {})[metric.name])
            if metric.source == "External"
            else self._measured(metric, pods, current, now)
            for metric in self.spec.metrics
        )
        whole = together([one.proposal for one in measured], current)
        size = sync(self.spec, whole, current, self._history, now, timing.down_window_s)
        self._history = size.history
        self.next_sync_s = _next(self.next_sync_s, timing.sync_s, now)
        why = size.sentence
        if size.how == "metrics" and (age := _age(measured, whole, now)):
            why = f"{why} ({age})"
        return Synced(current, size, measured, size.history.proposals, why)

    def _measured(self, metric: Metric, pods: Sequence[HpaPod], current: int, now: float) -> Measured:
        samples = {}
        for pod in pods:
            found = sample(self._points.get(pod.name, Points()), metric.name, metric.container)
            if found is not None:
                samples[pod.name] = found
        asking = [replace(pod, requests=self._requests[metric.name]) for pod in pods]
        proposal = propose(metric, asking, samples, current, now, self._timing.counting)
        return Measured(metric, proposal, samples, _ready(pods))

    def _outside(self, metric: Metric, pods: Sequence[HpaPod], current: int, reading: Reading) -> Measured:
        """A metric that is not of the pods themselves."""
        ready, timing = _ready(pods), self._timing.counting
        if reading.value is None:
            proposal = external_failed(metric, reading.said)
        elif metric.type == "Value":
            proposal = external_value(metric, thousandths(reading.value), ready, current, timing)
        else:
            proposal = external_per_pod(metric, thousandths(reading.value), len(pods), timing)
        if reading.value is not None and reading.said:
            proposal = replace(proposal, sentence=f"{proposal.sentence} ({reading.said})")
        return Measured(metric, proposal, {}, ready)


def _ready(pods: Sequence[HpaPod]) -> int:
    return sum(pod.ready == "True" and not pod.deleted for pod in pods)


def _age(measured: Sequence[Measured], whole: Proposal, now: float) -> str:
    """How old the samples are that decided, and over which time cpu is a mean."""
    deciding = [one for one in measured if one.proposal == whole and one.samples]
    if not deciding:
        return ""
    oldest = min(deciding[0].samples.values(), key=lambda one: one.at_s)
    over = f", a mean over {oldest.window_s:.1f} s" if deciding[0].metric.name == "cpu" else ""
    return f"sampled {now - oldest.at_s:.1f} s before{over}"


def _next(due_s: float, period_s: float, now: float) -> float:
    """The next tick: those that were missed are dropped, as a ticker does."""
    while due_s <= now:
        due_s += period_s
    return due_s
