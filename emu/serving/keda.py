"""KEDA in front of a HorizontalPodAutoscaler: triggers go in, decisions come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from emu.kubelet.template import PodTemplate
from emu.policy.autoscaling.timing import scaled
from emu.policy.hpa.keda import Keda as Policy
from emu.policy.hpa.keda import Reading
from emu.record.events import now
from emu.serving.autoscaler import Live
from emu.serving.hpa import Hpa
from emu.serving.prometheus import Prometheus
from emu.spec import RevisionPlan


class Keda(Hpa):
    """Class keda: `emu.policy.hpa.keda` decides on the way from no pod and back to none, and what the triggers come
    to; the HorizontalPodAutoscaler of a ScaledObject decides on the rest.
    """

    kind = "keda"

    def __init__(self, of: RevisionPlan, template: PodTemplate, time_scale: float = 1.0) -> None:
        super().__init__(of, template, time_scale)
        assert self._asked.scaled_object is not None
        asked = self._asked.scaled_object.asked
        self.to_zero = 0 in (asked.min_replicas, asked.idle_replicas)
        self._queries = {one.metric.name: one.query for one in asked.triggers if one.query}
        period_s = self._asked.controller.scrape_interval / time_scale
        self._prometheus = Prometheus(of.service, list(self._queries.values()), period_s, time_scale)
        self._scaled = scaled(asked, time_scale)
        self._keda = Policy(self._scaled, now(), time_scale)
        self._active: tuple[bool, str] | None = None
        """At the last poll that was recorded: whether a trigger was active, and what was odd."""

    def end(self) -> None:
        self._prometheus.end()

    def start(self) -> None:
        """Scrapes, polls and syncs count from now."""
        super().start()
        self._keda = Policy(self._scaled, now(), self._time_scale)
        self._prometheus.begin()

    def turn(self, live: Sequence[Live]) -> None:
        """Scrape, poll and sync if it is time."""
        self._prometheus.turn([one.worker for one in live])
        if now() >= self._keda.next_poll_s:
            self._poll(now())
        super().turn(live)

    def _poll(self, at: float) -> None:
        readings, before = self._external(at), self.pods
        activity = self._keda.poll(at, readings, before)
        if activity.replicas is not None and activity.replicas != before:
            self.pods, self.why = activity.replicas, activity.sentence
        odd = "; ".join(f"{name}: {one.said}" for name, one in readings.items() if one.said)
        known, self._active = self._active, (activity.is_active, odd)
        if self.pods != before or self._active != known:
            why = f"{activity.sentence} ({odd})" if odd else activity.sentence
            self._said.append(replace(self._noted(why), before=before))

    def _query(self, metric: str) -> str:
        return self._queries.get(metric, "")

    def _external(self, at: float) -> Mapping[str, Reading]:
        """The triggers' metrics, as KEDA hands them on. An empty result says why it is empty."""
        results = {name: self._prometheus.result(query, at) for name, query in self._queries.items()}
        readings = self._keda.readings(results, self.pods, self._ready)
        for name in [name for name, found in results.items() if not found]:
            said = f"{readings[name].said}: {self._prometheus.why_empty(self._queries[name], at)}"
            readings[name] = replace(readings[name], said=said)
        return readings
