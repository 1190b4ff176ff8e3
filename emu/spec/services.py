"""The services of a scenario: each with its revisions, as many pods of each as its autoscaler wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from emu.policy.routing import Traffic, revisions_of, whole
from emu.spec import traffic as of_traffic
from emu.spec.autoscaling import AutoscalingSpec
from emu.spec.load import PhaseModel
from emu.spec.pod import PodSpec
from emu.spec.traffic import TrafficSpec, traffic_of
from emu.spec.values import LONGEST_NAME, Changes, Name, Seconds, SpecError, distinct

SHORT_FORM = "app"
"""What the service is called whose pods a scenario's `pod` describes."""
_POD_PARTS = 29
"""Letters that the name of a pod has after its revision's: `-deployment-`, a hash, a suffix."""
_OWN = {"name", "manifest", "revisions", "traffic", "rolloutDuration", "rollout_duration"}
"""What is the service's, and not its pods'."""
_PROGRAM = "program"
"""What a manifest has a container run is decided for the whole service."""
_REVISIONS = {
    "type": "object",
    "additionalProperties": {"type": ["object", "null"]},
    "examples": [{"hello-00001": None, "hello-00002": {"app.resources.limits.memory": "128Mi"}}],
}


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
    manifest: Any = None
    """Make it of a Knative Service or a KServe InferenceService: a file beside the scenario, or the YAML itself.
    Other keys win over what the manifest makes. Default: none.
    """
    autoscaling: AutoscalingSpec = AutoscalingSpec()
    """How many pods there are to be."""
    revisions: Annotated[dict[Name, Changes], WithJsonSchema(_REVISIONS)] = Field(default_factory=dict)
    """Its revisions, in order: each name begins with the service's, and has the keys that it changes, as `PATH:
    VALUE` with paths as in `app.resources.limits.memory`. Default: one, without changes.
    """
    traffic: tuple[TrafficSpec, ...] = ()
    """Which revision gets which part of the requests at first. Default: all to the first one."""
    rollout_duration: Annotated[Seconds, Field(ge=0)] = 0.0
    """Knative's annotation `serving.knative.dev/rollout-duration`, in whole seconds: how long traffic takes to move
    to a new latest revision. 0: at once.
    """

    @property
    def names(self) -> list[str]:
        """The names of its revisions, in the order in which they are made."""
        return list(self.revisions) or [revision_of(self.name, self)]

    @property
    def each_revision(self) -> dict[str, PodSpec]:
        """What the pods of each of its revisions are, by the revision's name. KeyError where one is wrong."""
        if not self.revisions:
            return {revision_of(self.name, self): self}
        try:
            return {name: self._changed(name, changes) for name, changes in self.revisions.items()}
        except SpecError as wrong:
            raise KeyError(wrong.what) from wrong

    @model_validator(mode="after")
    def _rollout_duration_is_knatives(self) -> Self:
        if self.rollout_duration != int(self.rollout_duration):
            raise SpecError(
                f"rollout-duration={self.rollout_duration:g}s is not at second precision",
                why="Knative's webhook refuses it in these words",
                fix="give whole seconds",
                at=("rolloutDuration",),
            )
        return self

    @model_validator(mode="after")
    def _revisions_are_pods(self) -> Self:
        for name, changes in self.revisions.items():
            made = self._changed(name, changes)
            for key, why in (
                ("freezer", "the freezer looks after one workload in a run"),
                ("autoscaling", "an autoscaler decides how many pods a revision has"),
            ):
                if (getattr(made, key) is None) != (key == "freezer"):
                    raise SpecError(
                        f"no revision can change `{key}`", why=why, fix="remove it", at=("revisions", name, key)
                    )
        return self

    def _changed(self, revision: str, changes: Mapping[str, Any]) -> PodSpec:
        data = self.model_dump(mode="json", by_alias=True, exclude=_OWN)
        for path, value in changes.items():
            at = ("revisions", revision, path)
            if (key := _of_service(path.split("."))) is not None:
                raise SpecError(
                    f"no revision can change `{key}`",
                    why="it is the whole service's",
                    fix="remove it",
                    at=at,
                )
            try:
                _put(data, path.split("."), value)
            except (LookupError, TypeError, ValueError):
                raise SpecError(
                    f"{path!r} leads nowhere",
                    why="a path is keys of the service and numbers of list items, joined by dots",
                    fix="write it as in app.resources.limits.memory",
                    at=at,
                ) from None
        try:
            return PodSpec.model_validate(data)
        except ValidationError as error:
            try:
                PodSpec.model_validate(self.model_dump(mode="json", by_alias=True, exclude=_OWN))
            except ValidationError as its_own:
                raise KeyError(str(its_own)) from None
            raise _refused(error, revision, changes) from None


def _of_service(path: Sequence[str]) -> str | None:
    """The key on a path that only the whole service has."""
    if path[0] in (*_OWN, "runtime", "images"):
        return path[0]
    container = path[1:] if path[0] == "app" else path[2:]
    return _PROGRAM if container[:1] == [_PROGRAM] else None


def _put(data: Any, path: Sequence[str], value: Any) -> None:
    """Set a value below."""
    *way, last = path
    for step in way:
        below = data[int(step)] if isinstance(data, list) else data.setdefault(step, {})
        if below is None and isinstance(data, dict):
            below = data[step] = {}
        data = below
    if isinstance(data, list):
        data[int(last)] = value
    elif isinstance(data, dict):
        data[last] = value
    else:
        raise TypeError(last)


def _refused(error: ValidationError, revision: str, changes: Mapping[str, Any]) -> SpecError:
    """The first thing that is wrong with a revision, at the change that it is about."""
    first = error.errors(include_url=False)[0]
    inner = first.get("ctx", {}).get("error")
    place = (*first["loc"], *(inner.at if isinstance(inner, SpecError) else ()))
    where = ".".join(str(step) for step in place)
    path = next((one for one in changes if where.startswith(one) or one.startswith(where)), "")
    at: tuple[str | int, ...] = ("revisions", revision, path) if path else ("revisions", revision)
    if isinstance(inner, SpecError):
        return SpecError(inner.what, why=inner.why, fix=inner.fix, at=at)
    what = "there is no such key" if first["type"] == "extra_forbidden" else f"it is not valid: {first['msg']}"
    return SpecError(
        f"{where}: {what}", why="a revision has the keys of its service, changed", fix="correct it", at=at
    )


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
    traffic: Traffic
    """At first."""
    rollout_duration_s: float = 0.0

    @property
    def names(self) -> list[str]:
        """The names of its revisions, in the order in which they are made."""
        return [one.name for one in self.revisions]


def plans(pod: PodSpec, services: tuple[ServiceSpec, ...]) -> dict[str, ServicePlan]:
    """Each service by its name. Without any, `pod` is the only revision of the only one."""
    if not services:
        only = RevisionPlan(SHORT_FORM, revision_of(SHORT_FORM, pod), "", pod)
        return {SHORT_FORM: ServicePlan(SHORT_FORM, (only,), whole(only.name))}
    return {
        one.name: ServicePlan(
            one.name,
            tuple(RevisionPlan(one.name, name, name, spec) for name, spec in one.each_revision.items()),
            traffic_of(one.traffic, one.names),
            one.rollout_duration,
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
        at = ("services", index)
        if one.runtime != services[0].runtime:
            first = services[0]
            raise SpecError(
                f"the service {one.name} has the runtime {one.runtime}, and {first.name} has {first.runtime}",
                why="one runtime runs all pods of a node",
                fix="give all services the same runtime",
                at=(*at, "runtime"),
            )
        for revision in one.names:
            _check_name(revision, one, taken, at)
        if one.freezer is not None:
            raise SpecError(
                "`freezer` needs the scenario's only pod",
                why="the freezer looks after one workload in a run",
                fix="remove it, or use `pod` instead of `services`",
                at=(*at, "freezer"),
            )
        for key, given_too in (
            ("revisions", one.revisions),
            ("traffic", one.traffic),
            ("rolloutDuration", one.rollout_duration),
        ):
            if given_too and not one.has_queue_proxy:
                raise SpecError(
                    f"a service in Standard mode has no `{key}`",
                    why="it is a Deployment; only Knative has revisions",
                    fix=f"remove `{key}`, or `deploymentMode`",
                    at=(*at, key),
                )
        of_traffic.check(one.traffic, one.names, (*at, "traffic"))


def _check_name(revision: str, service: ServiceSpec, taken: dict[str, str], at: tuple[str | int, ...]) -> None:
    place = (*at, "revisions", revision) if service.revisions else (*at, "name")
    if service.revisions and not revision.startswith(f"{service.name}-"):
        raise SpecError(
            f"the revision's name {revision} does not begin with {service.name}-",
            why="Knative wants it to begin with the service's name",
            fix=f"call it {service.name}-{revision}, or {revision_name(service.name)} as Knative would",
            at=place,
        )
    if len(revision) + _POD_PARTS > LONGEST_NAME:
        raise SpecError(
            f"the revision's name {revision} is too long",
            why=f"its pods' names have {_POD_PARTS} characters more, and a name has at most {LONGEST_NAME}",
            fix="shorten it",
            at=place,
        )
    if revision in taken:
        raise SpecError(
            f"a revision of {service.name} and one of {taken[revision]} have the name {revision}",
            why="results name pods by their revision",
            fix="give one of them another name",
            at=place,
        )
    taken[revision] = service.name


def check_phases(services: tuple[ServiceSpec, ...], phases: tuple[PhaseModel, ...]) -> None:
    """SpecError for a phase that asks what is not there, and for a revision that is never asked."""
    known = {one.name: one for one in services}
    tags = {one.name: {each.tag for each in one.traffic if each.tag is not None} for one in services}
    routed = {one.name: set(revisions_of(traffic_of(one.traffic, one.names))) for one in services}
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
        if services:
            asked = known[phase.service or services[0].name]
            routed[asked.name] |= _checked(phase, asked, at)
            if phase.rollout is not None:  # one that comes with a rollout may not be known before the next phase
                tags[asked.name] &= {one.tag for one in phase.rollout.traffic if one.tag is not None}
            _check_tag(phase, asked, tags[asked.name], at)
        else:
            _about_no_revision(phase, at)
    for number, one in enumerate(services):
        never = [name for name in one.names if name not in routed[one.name]]
        if never:
            raise SpecError(
                f"the revision {never[0]} never gets any traffic",
                why="neither `traffic` nor the `rollout` of a phase names it, so it would never be made",
                fix="give it a part of `traffic`, roll out to it in a phase, or remove it",
                at=("services", number, "revisions", never[0]),
            )


def _about_no_revision(phase: PhaseModel, at: tuple[str | int, ...]) -> None:
    """SpecError for what needs a service, in a scenario that has none."""
    asked: dict[tuple[str, ...], Any] = {("tag",): phase.tag, ("rollout",): phase.rollout}
    asked["until", "revision"] = None if phase.until is None else phase.until.revision
    for key, value in asked.items():
        if value is not None:
            raise SpecError(
                f"`{key[-1]}` is about the revisions of a service, and this scenario has no `services`",
                why="`pod` is one revision, which gets all requests",
                fix="remove it, or use `services`",
                at=(*at, *key),
            )


def _checked(phase: PhaseModel, service: ServiceSpec, at: tuple[str | int, ...]) -> set[str]:
    """The revisions that a phase's rollout leads to."""
    names, rollout, until = service.names, phase.rollout, phase.until
    if rollout is not None and rollout.to is not None:
        of_traffic.known(rollout.to, names, (*at, "rollout", "to"))
    if rollout is not None:
        of_traffic.check(rollout.traffic, names, (*at, "rollout", "traffic"))
    if until is not None and until.revision is not None:
        of_traffic.known(until.revision, names, (*at, "until", "revision"))
    return set() if rollout is None else set(revisions_of(rollout.traffic_of(names)))


def _check_tag(phase: PhaseModel, service: ServiceSpec, tags: set[str], at: tuple[str | int, ...]) -> None:
    """SpecError for a tag that no revision has, or not all through the phase."""
    if phase.tag is not None and phase.tag not in tags:
        raise SpecError(
            f"no revision of {service.name} has the tag {phase.tag!r}",
            why=f"its tags then are: {', '.join(sorted(tags)) or 'none'}; a rollout keeps only those that it names",
            fix="name one of them, or give it to a part of the service's `traffic` and of every rollout before",
            at=(*at, "tag"),
        )
