"""The services of a run, as the load sees them: where each is asked, and what a phase does to its traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from emu.messages import APP, host_of
from emu.policy.loadplan import Split
from emu.record.events import EventLog
from emu.scenario.load_plan import Entrance
from emu.serving.revision import Revision
from emu.serving.route import HTTP_PORT, Route
from emu.spec import PhaseModel, ScenarioSpec


class Routes:
    """All of them. `revisions` by the names of their pods in the scenario."""

    def __init__(
        self, spec: ScenarioSpec, revisions: Mapping[str, Revision], log: EventLog, say: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._phases = {phase.name: phase for phase in spec.load.phases}
        self._tags: dict[str, tuple[str, ...]] = dict.fromkeys(spec.each_service, ())
        for one in spec.services:
            self._tags[one.name] = tuple(target.tag for target in one.traffic if target.tag is not None)
        self._of = {
            name: Route(plan, {one.name: revisions[one.pod] for one in plan.revisions}, log, say, spec.time_scale)
            for name, plan in spec.each_service.items()
        }

    def start(self) -> None:
        """Make the revisions that get traffic at first."""
        for route in self._of.values():
            route.start()

    def turn(self) -> None:
        """Move traffic that has waited long enough."""
        for route in self._of.values():
            route.turn()

    def begin(self, phase: str) -> None:
        """A phase begins: its rollout is asked for."""
        model = self._phases[phase]
        if model.rollout is not None:
            service = self._spec.asked_service(model)
            names = self._spec.each_service[service].names
            self._of[service].roll_out(model.rollout.traffic_of(names))

    @property
    def entrances(self) -> dict[str, Entrance]:
        """Where each service is asked, and each tag of it, by the names that phases have for it."""
        found = {name: self._entrance(name, "") for name in self._of}
        first = next(iter(self._of))
        for name, tags in self._tags.items():
            for tag in tags:
                found[f"{tag}@{name}"] = self._entrance(name, tag)
                if name == first:
                    found[f"{tag}@"] = found[f"{tag}@{name}"]
        return found

    def _entrance(self, service: str, tag: str) -> Entrance:
        """Which pod is asked is not known yet; of a Deployment's pods it is known which container."""
        host = host_of(service, tag)
        plans = self._spec.each_service[service].revisions
        container = "" if any(one.spec.has_queue_proxy for one in plans) else APP
        return Entrance(host, HTTP_PORT, container=container, host_header=host)

    @property
    def splits(self) -> list[Split]:
        """How requests are split now."""
        return [split for name, route in self._of.items() for split in route.splits(self._tags[name])]

    def watched(self, phase: PhaseModel) -> list[str]:
        """The revisions that a phase's `until` looks at, by the names of their pods."""
        plan = self._spec.each_service[self._spec.asked_service(phase)]
        only = None if phase.until is None else phase.until.revision
        return [one.pod for one in plan.revisions if only in (None, one.name)]
