"""Knative's autoscaler of a revision: what activator and queue-proxies report goes in, decisions come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emu.messages import QUEUE_PROXY
from emu.messages.endpoints import ActivatorReport
from emu.policy.autoscaling.health import Health, Rollout
from emu.policy.scaling import SCRAPE_S, Scaling, ScalingRule, Verdict
from emu.record.events import ScaleDecided, now
from emu.serving.autoscaler import Live
from emu.serving.scraper import Ready, Scraper
from emu.spec import PodSpec, RevisionPlan

_WINDOW_S = ScalingRule.window_s


class Kpa:
    """Class kpa: `emu.policy.scaling` decides."""

    def __init__(self, of: RevisionPlan, origin: float | None = None, time_scale: float = 1.0) -> None:
        """Times in sentences count from `origin`. `time_scale` divides every time of the autoscaler."""
        self._of = of
        self._rule = rule_of(of.spec, time_scale)
        self._origin = origin
        self._scaling = Scaling(self._rule, now(), origin)
        self._scraper = Scraper(self._rule.window_s / time_scale, period_s=SCRAPE_S / time_scale)
        self._scrapes = self._rule.settings.scraped
        self._ready = 0
        self._routed: bool | None = None
        self._deadline_s = self._rule.progress_deadline_s / time_scale
        self._rollout = Rollout(self._deadline_s)
        self._health = Health()

    @property
    def pods(self) -> int:
        """As in `Autoscaler`, and so are the others."""
        return self._scaling.pods

    @property
    def why(self) -> str:
        return self._scaling.why

    @property
    def proxied(self) -> bool:
        """By the excess burst capacity."""
        return self._scaling.proxied

    @property
    def to_zero(self) -> bool:
        """With enable-scale-to-zero and a min-scale of 0."""
        return self._rule.to_zero and not self._rule.min_scale

    def begin(self) -> None:
        self._scraper.begin()

    def end(self) -> None:
        self._scraper.end()

    def start(self) -> None:
        """The ticks count from now."""
        self._scaling = Scaling(self._rule, now(), self._origin)

    def route(self, *, routed: bool) -> None:
        """Its min-scale does not count without a route."""
        self._routed = routed
        self._reach()

    def _reach(self) -> None:
        """Nor where its pods fail and none is ready."""
        failing = self._health.is_failing(self._ready) and self.pods > 0
        if self._scaling.settings.reachable != (self._routed is not False and not failing):
            self._scaling.route(now(), routed=self._routed, failing=failing)

    def _look(self, live: Sequence[Live]) -> None:
        """Whether the first pod is without room, a container of it keeps ending, or it takes too long."""
        if live:
            worker = live[0].worker
            ended = any(
                state.last_exit_code is not None and state.phase != "terminated" and state.role == "container"
                for name, state in worker.states.items()
                if name != QUEUE_PROXY
            )
            late = self._rollout.is_late(now(), len(live), self._ready)
            self._health.look(self._ready, scheduled=worker.has_node, ended=ended, late=late)
        self._reach()

    def average(self, now: float) -> float | None:
        return self._scaling.average(now)

    def report(self, report: ActivatorReport) -> None:
        """What came through the activator."""
        self._scaling.report(report.t, report.concurrency, report.rps)

    def update(self, ready: Sequence[Live]) -> None:
        """Those are scraped from now on."""
        if len(ready) != self._ready:
            self._ready = len(ready)
            self._scaling.readiness(now(), self._ready)
        if self._scrapes:
            self._scraper.pods = tuple(Ready(one.worker.address, one.made) for one in ready)

    def turn(self, live: Sequence[Live]) -> None:
        """Take what was scraped, and decide if it is time."""
        for moment, stat in self._scraper.found():
            self._scaling.record(moment, max(0.0, stat.own_concurrency), max(0.0, stat.own_rps))
        self._look(live)
        if now() >= self._scaling.next_at():
            self._scaling.step(now())

    def decisions(self, waiting: int) -> list[ScaleDecided]:
        made = (as_event(verdict, self._of, waiting) for verdict in self._scaling.verdicts())
        return [replace(event, progress_deadline_s=self._deadline_s) for event in made]


def as_event(verdict: Verdict, of: RevisionPlan, waiting: int = 0) -> ScaleDecided:
    """A verdict for the record."""
    event = ScaleDecided(
        t=verdict.t,
        service=of.service,
        revision=of.name,
        before=verdict.before,
        pods=verdict.pods,
        ready=verdict.ready,
        mode=verdict.mode,
        active=verdict.active,
        activators=verdict.activators,
        why=verdict.why,
        waiting=waiting,
        given_up=verdict.given_up,
    )
    made = verdict.decision
    if made is None:
        return event
    return replace(
        event,
        metric=made.metric,
        stable=made.stable,
        panic=made.panic,
        target=made.target,
        stable_pods=made.stable_pods,
        panic_pods=made.panic_pods,
        least=made.least,
        most=made.most,
        panicking=made.panicking,
        panic_until=made.panic_until,
        desired=made.desired,
        excess_burst_capacity=made.excess_burst_capacity,
    )


def rule_of(spec: PodSpec, time_scale: float = 1.0) -> ScalingRule:
    """The rule that a scenario asks for."""
    asked = spec.autoscaling
    assert asked is not None
    return ScalingRule(
        window_s=_WINDOW_S if asked.window is None else asked.window,
        scale_down_delay_s=asked.scale_down_delay,
        retention_s=asked.scale_to_zero_pod_retention_period,
        grace_s=asked.scale_to_zero_grace_period,
        to_zero=asked.enable_scale_to_zero,
        concurrency=spec.container_concurrency,
        min_scale=asked.min_scale,
        max_scale=asked.max_scale,
        initial_scale=asked.initial_scale,
        progress_deadline_s=asked.progress_deadline,
        activation_scale=asked.activation_scale,
        metric="rps" if asked.metric == "rps" else "concurrency",
        target=asked.target,
        utilization_percentage=asked.target_utilization_percentage,
        burst_capacity=asked.target_burst_capacity,
        panic_window_percentage=asked.panic_window_percentage,
        panic_threshold_percentage=asked.panic_threshold_percentage,
        max_scale_up_rate=asked.max_scale_up_rate,
        max_scale_down_rate=asked.max_scale_down_rate,
        time_scale=time_scale,
    )
