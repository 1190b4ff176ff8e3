"""A pod's probes: which are due, each asked in a thread of its own, and what the answers come to.

When to ask and what answers add up to is `emu.policy.probing`'s; how to ask is `emu.kubelet.prober`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from emu.kubelet import prober
from emu.kubelet.containers import Containers
from emu.kubelet.facts import Fact, Printed, ProbeAnswered
from emu.kubelet.pod import Instance
from emu.kubelet.prober import Answer
from emu.kubelet.template import PodProbe
from emu.policy import probing
from emu.policy.probing import ContainerProbes, Kind
from emu.record.events import now


class Probes:
    """Of one pod. Answers go to `put`, from threads. `hold_frozen`: none is asked while the container is frozen."""

    def __init__(self, containers: Containers, put: Callable[[Fact], None], *, hold_frozen: bool) -> None:
        self._containers = containers
        self._put = put
        self._hold_frozen = hold_frozen
        self._states: dict[str, ContainerProbes] = {}
        self._due_at: dict[str, float | None] = {}
        """When the next probe of each container is due: of its state, and asked for in each turn of a run."""
        self._past: dict[str, ContainerProbes] = {}
        """Of containers that have ended."""
        self._asked: dict[str, tuple[Instance, Mapping[Kind, PodProbe]]] = {}
        self._heard = False
        """Whether the fact that a container printed something is on its way."""

    def begin(self, instance: Instance, probes: Mapping[Kind, PodProbe]) -> None:
        """A container has started."""
        rules = {kind: probe.rule for kind, probe in probes.items()}
        self._asked[instance.container] = (instance, probes)
        self._set(instance.container, probing.begin(rules, now(), self._past.pop(instance.container, None)))

    def _set(self, container: str, state: ContainerProbes) -> None:
        self._states[container] = state
        self._due_at[container] = probing.next_due(state)

    def forget(self, container: str) -> None:
        """Ask a container no more that has ended."""
        if (state := self._states.pop(container, None)) is not None:
            self._past[container] = state
        self._due_at.pop(container, None)

    def end(self, *, hooks: bool) -> None:
        """The pod is to end: with hooks readiness alone is asked on, without them nothing."""
        for name, probes in self._states.items():
            self._set(name, probing.ending(probes) if hooks else ContainerProbes({}))

    def started(self, container: str) -> bool:
        """Whether its startup probe has succeeded, or it has none."""
        return self._states[container].started

    def ready(self, container: str) -> bool:
        """Whether its probes say that it is."""
        return self._states[container].ready

    def succeeded(self, container: str, kind: Kind) -> bool:
        """Whether a probe has succeeded since the container started."""
        return self._states[container].probes[kind].succeeded

    def due_at(self) -> float | None:
        """When the next is to be asked."""
        return min((at for at in self._due_at.values() if at is not None), default=None)

    def ask_due(self) -> None:
        """Begin each probe that is due by now; its answer comes back as a fact."""
        for name, due_at in self._due_at.items():
            if due_at is None or due_at > now():
                continue
            instance, probes = self._asked[name]
            state, kinds = probing.due(self._states[name], now(), frozen=self.holds(instance))
            self._set(name, state)
            for kind in kinds:
                threading.Thread(target=self._ask, args=(instance, kind, probes[kind]), daemon=True).start()

    def heard(self, instance: Instance) -> None:
        """It printed something: a fact as long as a probe of the pod is asked eagerly, and only one at a time,
        however much it prints. In any thread.
        """
        if not self._heard and any(state.eager for state in list(self._states.values())):
            self._heard = True
            self._put(Printed(instance))

    def hurry(self) -> None:
        """A container printed something, perhaps that it is ready. Others may be, too: queue-proxy asks the app."""
        self._heard = False
        for name, state in self._states.items():
            self._set(name, probing.hurried(state, now()))

    def holds(self, instance: Instance) -> bool:
        """Whether it is asked nothing now, as it is frozen."""
        return self._hold_frozen and self._containers.is_frozen(instance)

    def _ask(self, instance: Instance, kind: Kind, probe: PodProbe) -> None:
        """One that froze meanwhile gave no answer."""
        answer = prober.ask(probe.handler, self._containers.target(instance, kind), probe.timeout_s)
        if answer.outcome != "success" and self.holds(instance):
            answer = Answer("error")
        if answer.outcome != "success" and kind != "readiness" and self._containers.has_ended(instance):
            answer = Answer("error")  # dead of something else: a busy engine reports that seconds later
        self._put(ProbeAnswered(instance, kind, probe, answer))

    def take(self, fact: ProbeAnswered) -> tuple[bool, Kind | None]:
        """An answer. Whether it counts, and for which probe the container is to be killed now."""
        name = fact.instance.container
        before = self._states.get(name)
        if before is None or fact.kind not in before.probes or self._asked[name][0] != fact.instance:
            return False, None
        after = probing.answered(before, fact.kind, fact.answer.outcome, now())
        self._set(name, after)
        return True, after.doomed if before.doomed is None else None
