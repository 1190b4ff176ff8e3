"""The services of a scenario: each with its revisions, as many pods of each as its autoscaler wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emu.spec.autoscaling import AutoscalingSpec
from emu.spec.load import PhaseModel
from emu.spec.pod import PodSpec
from emu.spec.values import LONGEST_NAME, Name, SpecError, distinct

SHORT_FORM = "app"
"""What the service is called whose pods a scenario's `pod` describes."""
_POD_PARTS = 29
"""Letters that the name of a pod has after its revision's: `-deployment-`, a hash, a suffix."""


def revision_name(service: str, generation: int = 1) -> str:
    """A service's revision: Knative counts them in five digits."""
    return f"{service}-{generation:05d}"


def revision_of(service: str, pod: PodSpec) -> str:
    """Whose pods they are: a revision's, or those of the Deployment that has the service's name."""
    return revision_name(service) if pod.has_queue_proxy else service


class ServiceSpec(PodSpec):
    """A Knative service: as many pods as its autoscaler wants, each a queue-proxy and an app."""

    name: Name
    """The service's name: in results, and for `service` of a phase."""
    autoscaling: AutoscalingSpec = AutoscalingSpec()
    """How many pods there are to be."""

    @property
    def each_revision(self) -> dict[str, PodSpec]:
        """What the pods of each of its revisions are, by the revision's name."""
        return {revision_of(self.name, self): self}


@dataclass(frozen=True)
class RevisionPlan:
    """A revision that a run is to have."""

    service: str
    name: str
    pod: str
    """The name that its pods' specification has in the scenario; empty: it is the short form's."""
    spec: PodSpec


@dataclass(frozen=True)
class ServicePlan:
    """A service that a run is to have."""

    name: str
    revisions: tuple[RevisionPlan, ...]
    """In the order in which they are made."""


def plans(pod: PodSpec, services: tuple[ServiceSpec, ...]) -> dict[str, ServicePlan]:
    """Each service by its name. Without any, `pod` is the only revision of the only one."""
    if not services:
        only = RevisionPlan(SHORT_FORM, revision_of(SHORT_FORM, pod), "", pod)
        return {SHORT_FORM: ServicePlan(SHORT_FORM, (only,))}
    return {
        one.name: ServicePlan(
            one.name, tuple(RevisionPlan(one.name, name, name, spec) for name, spec in one.each_revision.items())
        )
        for one in services
    }


def check(services: tuple[ServiceSpec, ...], given: Mapping[str, bool]) -> None:
    """SpecError for services that contradict each other, or what else the scenario has: `given`, by key."""
    for key, why in (
        ("pod", "`pod` is the short form for a scenario with one service"),
        ("pods", "`pods` are pods without an autoscaler"),
        ("starts", "starts are measured on one pod"),
    ):
        if given.get(key):
            raise SpecError(
                f"a scenario has either `{key}` or `services`, not both", why=why, fix="remove one of them", at=(key,)
            )
    distinct((one.name for one in services), "two services have the name", ("services",))
    taken: dict[str, str] = {}
    for index, one in enumerate(services):
        if one.runtime != services[0].runtime:
            first = services[0]
            raise SpecError(
                f"the service {one.name} has the runtime {one.runtime}, and {first.name} has {first.runtime}",
                why="one runtime runs all pods of a node",
                fix="give all services the same runtime",
                at=("services", index, "runtime"),
            )
        if one.freezer is not None:
            raise SpecError(
                "`freezer` needs the scenario's only pod",
                why="the freezer looks after one workload in a run",
                fix="remove it, or use `pod` instead of `services`",
                at=("services", index, "freezer"),
            )
        for revision in one.each_revision:
            _check_name(revision, one.name, taken, index)


def _check_name(revision: str, service: str, taken: dict[str, str], index: int) -> None:
    if len(revision) + _POD_PARTS > LONGEST_NAME:
        raise SpecError(
            f"the revision's name {revision} is too long",
            why=f"its pods' names have {_POD_PARTS} characters more, and a name has at most {LONGEST_NAME}",
            fix="shorten the service's name",
            at=("services", index, "name"),
        )
    if revision in taken:
        raise SpecError(
            f"a revision of {service} and one of {taken[revision]} have the name {revision}",
            why="results name pods by their revision",
            fix="give the service another name",
            at=("services", index, "name"),
        )
    taken[revision] = service


def check_phases(services: tuple[ServiceSpec, ...], phases: tuple[PhaseModel, ...]) -> None:
    """SpecError for a phase that asks a service which is not there."""
    known = [one.name for one in services]
    for index, phase in enumerate(phases):
        at = ("load", "phases", index)
        if phase.service is not None and phase.service not in known:
            raise SpecError(
                f"there is no service {phase.service!r}",
                why=f"the services are: {', '.join(known) or 'none: the only pod is asked by every phase'}",
                fix="name one of them" if known else "remove `service`, or use `services`",
                at=(*at, "service"),
            )
        if services and phase.to is not None:
            raise SpecError(
                "`to` names one of `pods`, and this scenario has services",
                why="which pod of a service a request goes to is chosen for each",
                fix="name a service with `service` instead",
                at=(*at, "to"),
            )
