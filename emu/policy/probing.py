"""Which probe of a container is due, and what its answers add up to (kubernetes pkg/kubelet/prober, worker.go).

A probe is asked each period; its result changes only after a threshold of like answers in a row. Until the startup
probe has succeeded the other two are not asked. A container whose liveness or startup probe failed is `doomed`: it is
to be killed, and only whether it is ready is asked on. An answer that could not be had ("error") is thrown away.

While the container's cgroup is frozen nothing is asked: no process of it could answer. What was the result stays.
Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["startup", "liveness", "readiness"]
Outcome = Literal["success", "failure", "error"]
KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")
EAGER_SHARE, EAGER_MOST_S = 0.1, 1.0
"""What is asked eagerly is asked again after this share of the time since the start, and no later than that."""


@dataclass(frozen=True)
class ProbeRule:
    """When a probe is asked and what counts; the defaults are Kubernetes'."""

    initial_delay_s: float = 0.0
    """From the container's start to the first probe."""
    period_s: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 3
    eager_s: float | None = None
    """Until it first succeeds it is asked this often, less and less often the longer that takes, and when its
    container prints something; None is each `period_s`.
    """
    once: bool = False
    """It is asked no more once it has succeeded."""


@dataclass(frozen=True)
class ProbeState:
    """One probe of one container instance."""

    rule: ProbeRule
    due_at: float
    began: float = 0.0
    """When the container started."""
    asked_at: float = -math.inf
    hurried: bool = False
    """Its container has printed something since it was asked."""
    asking: bool = False
    result: bool | None = None
    """What the answers so far add up to; None is not known yet."""
    last: Outcome | None = None
    in_a_row: int = 0
    """How many answers like the last there were in a row."""
    succeeded: bool = False
    """Its result was once a success."""


@dataclass(frozen=True)
class ContainerProbes:
    """The probes of one container instance, and what follows from them."""

    probes: Mapping[Kind, ProbeState]

    @property
    def started(self) -> bool:
        """The startup probe succeeded, or there is none."""
        return "startup" not in self.probes or self.probes["startup"].result is True

    @property
    def ready(self) -> bool:
        """Started, and the readiness probe says so or there is none."""
        return self.started and ("readiness" not in self.probes or self.probes["readiness"].result is True)

    @property
    def eager(self) -> bool:
        """Whether one is asked eagerly, for it has not succeeded yet."""
        return any(one.rule.eager_s is not None and not one.succeeded for one in self.probes.values())

    @property
    def doomed(self) -> Kind | None:
        """The probe for whose failure the container is to be killed."""
        for kind in ("startup", "liveness"):
            if kind in self.probes and self.probes[kind].result is False:
                return kind
        return None

    def asks(self, kind: Kind) -> bool:
        """Whether this probe is asked at all as things stand."""
        if kind not in self.probes or (self.doomed is not None and kind != "readiness"):
            return False
        if self.probes[kind].rule.once and self.probes[kind].succeeded:
            return False
        return self.started != (kind == "startup")


def begin(
    rules: Mapping[Kind, ProbeRule], now: float, instance_before: ContainerProbes | None = None
) -> ContainerProbes:
    """The container was started. A kubelet counts like answers in a row on from one instance to the next, unless they
    were enough to kill the one before, or to end its startup.
    """
    before = {} if instance_before is None else instance_before.probes
    return ContainerProbes({kind: _begun(kind, rule, now, before.get(kind)) for kind, rule in rules.items()})


def _begun(kind: Kind, rule: ProbeRule, now: float, before: ProbeState | None) -> ProbeState:
    begun = ProbeState(rule, now + rule.initial_delay_s, now)
    if before is None:
        return begun
    settled = before.result is False if kind == "liveness" else kind == "startup" and before.result is not None
    return replace(begun, last=before.last, in_a_row=0 if settled else before.in_a_row)


def due(state: ContainerProbes, now: float, *, frozen: bool = False) -> tuple[ContainerProbes, tuple[Kind, ...]]:
    """The probes to ask now, and the state in which they are being asked. `frozen`: those that are due are left out
    this time.
    """
    probes, found = dict(state.probes), []
    for kind, probe in state.probes.items():
        if probe.asking or not state.asks(kind) or probe.due_at > now:
            continue
        probes[kind] = replace(probe, asking=not frozen, due_at=_next(probe, now), asked_at=now, hurried=False)
        if not frozen:
            found.append(kind)
    return ContainerProbes(probes), tuple(found)


def next_due(state: ContainerProbes) -> float | None:
    """When the next probe is due; None where none is unless something happens first."""
    times = [probe.due_at for kind, probe in state.probes.items() if state.asks(kind) and not probe.asking]
    return min(times, default=None)


def answered(state: ContainerProbes, kind: Kind, outcome: Outcome, now: float) -> ContainerProbes:
    """An answer to a probe that was asked. The first success of the startup probe makes the others due."""
    probe = replace(state.probes[kind], asking=False)
    if outcome != "error" and state.asks(kind):
        in_a_row = probe.in_a_row + 1 if probe.last == outcome else 1
        probe = replace(probe, last=outcome, in_a_row=in_a_row)
        enough = probe.rule.success_threshold if outcome == "success" else probe.rule.failure_threshold
        if in_a_row >= enough:
            probe = replace(probe, result=outcome == "success", succeeded=probe.succeeded or outcome == "success")
    after = ContainerProbes({**state.probes, kind: probe})
    if after.started and not state.started:
        after = ContainerProbes(
            {name: replace(one, due_at=max(one.due_at, now)) for name, one in after.probes.items()}
        )
    return after


def hurried(state: ContainerProbes, now: float) -> ContainerProbes:
    """The container printed something, perhaps that it is ready: what is asked eagerly is due, though not sooner than
    it would be in the container's first moments; and once more after as long, for many a server says that it listens
    just before it does. Not before it would be asked at all.
    """
    probes = dict(state.probes)
    for kind, probe in state.probes.items():
        eager_s = probe.rule.eager_s
        if eager_s is not None and not probe.succeeded:
            soonest = max(now, probe.asked_at + eager_s, probe.began + probe.rule.initial_delay_s)
            probes[kind] = replace(probe, due_at=min(probe.due_at, soonest), hurried=True)
    return ContainerProbes(probes)


def ending(state: ContainerProbes) -> ContainerProbes:
    """The pod is being ended: only readiness is still asked, nothing is killed for its probes any more."""
    kept: dict[Kind, ProbeState] = {}
    if state.started and "readiness" in state.probes:
        kept["readiness"] = state.probes["readiness"]
    return ContainerProbes(kept)


def _next(probe: ProbeState, now: float) -> float:
    """The first tick after now, as a ticker gives it: a late probe does not shift those after it."""
    if probe.rule.eager_s is not None and not probe.succeeded:
        if probe.hurried:
            return now + probe.rule.eager_s
        return now + max(probe.rule.eager_s, min(EAGER_SHARE * (now - probe.began), EAGER_MOST_S))
    period_s = probe.rule.period_s
    return probe.due_at + period_s * (math.floor((now - probe.due_at) / period_s) + 1)
