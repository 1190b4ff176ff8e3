"""The load on a pod: requests in phases."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from emu.spec.container import Resources
from emu.spec.request import RequestModel
from emu.spec.traffic import RolloutSpec
from emu.spec.values import (
    READY,
    Model,
    Name,
    Rate,
    Seconds,
    SpecError,
    Whole,
    distinct,
    listed,
)

MOST_REQUESTS = 5_000_000


PhaseType = Literal["constant", "poisson", "ramp", "steps", "poisson-steps", "burst", "closed", "pause"]
_NEEDS = {
    "constant": "rate",
    "poisson": "rate",
    "ramp": "rate_to",
    "steps": "rates",
    "poisson-steps": "rates",
    "burst": "size",
    "closed": "clients",
}
_TAKES: dict[str, tuple[str, ...]] = {kind: (need,) for kind, need in _NEEDS.items()}
_TAKES |= {"ramp": ("rate", "rate_to"), "burst": ("size", "rate"), "pause": ()}
_SHAPE = ("rate", "rate_to", "rates", "size", "clients")
_EVENTS = (
    "in_flight", "answered", "oom_kills", "restarts", "exits", "ready", "status", "ready_pods", "resizes",
    "frozen", "reclaimed",
)  # fmt: skip
_OF_CONTAINERS = ("oom_kills", "restarts", "exits")


class UntilModel(Model):
    """The conditions that end a phase: the first one met. Container events count from the beginning of the run."""

    in_flight: Annotated[Whole, Field(ge=1, le=MOST_REQUESTS)] | None = None
    """This many requests are in flight at once, of any phase; in a phase with `to` or `service`, those to that pod or
    service alone.
    """
    answered: Annotated[Whole, Field(ge=1, le=MOST_REQUESTS)] | None = None
    """This many requests of this phase were answered, with any status."""
    oom_kills: Annotated[Whole, Field(ge=1)] | None = None
    """This many OOM kills have happened."""
    restarts: Annotated[Whole, Field(ge=1)] | None = None
    """This many restarts have happened."""
    exits: Annotated[Whole, Field(ge=1)] | None = None
    """This many container exits have happened."""
    container: Name | None = None
    """Count only this container; default: all together. For `oomKills`, `restarts` and `exits`."""
    ready: Annotated[str, StringConstraints(pattern=READY)] | None = None
    """The pod's READY column shows this: `2/2`."""
    status: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The pod's STATUS column shows this: `Running`, `CrashLoopBackOff`, or `ScaledToZero` if there is no pod."""
    ready_pods: Annotated[Whole, Field(ge=0)] | None = None
    """This many pods are ready, no more and no fewer; pods that are to end do not count."""
    resizes: Annotated[Whole, Field(ge=1)] | None = None
    """This many resizes of the pod were carried out or refused."""
    frozen: bool | None = None
    """true: the freezer has frozen the pod, by the kernel's word: `frozen 1` in cgroup.events of every container that
    is to be frozen. false: it has not, or not any more.
    """
    reclaimed: bool | None = None
    """true: it has also reclaimed the pod's memory since, in every step of `pod.freezer.reclaim`."""
    revision: Name | None = None
    """Look at the pods of this revision alone. Default: at all of the service. For what is no count of requests."""

    @model_validator(mode="after")
    def _waits_for_something(self) -> Self:
        given = [name for name in _EVENTS if getattr(self, name) is not None]
        if not given:
            raise SpecError(
                "it has no condition",
                why="without one a phase ends by its duration alone",
                fix=f"give one of {', '.join(to_camel(name) for name in _EVENTS)}",
            )
        if self.container is not None and not set(given) & set(_OF_CONTAINERS):
            raise SpecError(
                "no condition here counts per container",
                why=f"`container` goes with {', '.join(f'`{to_camel(name)}`' for name in _OF_CONTAINERS)}",
                fix="remove `container`",
                at=("container",),
            )
        return self


class ResizeModel(Model):
    """An in-place resize of a running container, as `kubectl patch --subresource resize` asks for it."""

    container: Name
    """The container to resize."""
    resources: Resources
    """Its new requests and limits; what is not given stays as it was."""
    ignore_usage: bool = False
    """Write a lower limit although more is used, as if the memory had been taken between the kubelet's check and the
    write: the kernel reclaims what it can, then kills.
    """


class PhaseModel(Model):
    """Requests of one kind, for a period."""

    name: Name
    """Its name in results: lower-case letters, digits and `-`."""
    type: PhaseType
    """constant, poisson, ramp, steps, poisson-steps and burst send at fixed times, regardless of earlier requests (an
    open loop, like independent clients on the internet); closed keeps a number of clients busy, each waiting for its
    answer; pause sends no request. With poisson and poisson-steps the gaps are random, determined by `seed`.
    """
    to: Name | None = None
    """The pod to send to, where a scenario has several. Default: the first one. `until` looks at this pod too."""
    service: Name | None = None
    """The service to ask, where a scenario has `services`. Default: the first one. `until` looks at its pods."""
    tag: Name | None = None
    """Ask the revision that has this tag in the service's `traffic`. Default: all that get a part of it."""
    rollout: RolloutSpec | None = None
    """Change the traffic of the service when the phase begins. Default: do not."""
    duration: Annotated[Seconds, Field(gt=0)]
    """How long it sends; with `until`, the maximum."""
    until: UntilModel | None = None
    """End as soon as this condition is met, however long that takes on this machine. After `duration` the phase ends
    in any case; it sends no further request then, and the report names the condition that was not met.
    """
    start: Seconds | None = None
    """Seconds after the beginning of the load. Default: the end of the previous phase."""
    rate: Rate = 0.0
    """Requests per second; for a burst, bursts per second (0: one burst); for a ramp, its first rate."""
    rate_to: Rate = 0.0
    """The last rate of a ramp, reached linearly."""
    rates: tuple[Rate, ...] = ()
    """The rates of `steps` or `poisson-steps`, each for an equal share of the duration; 0 is a pause."""
    size: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    """Requests that a burst sends at the same moment."""
    clients: Annotated[Whole, Field(ge=0, le=20_000)] = 0
    """Clients of a closed loop."""
    think: Seconds = 0.0
    """Pause of a closed-loop client between an answer and its next request."""
    count: Annotated[Whole, Field(ge=1, le=MOST_REQUESTS)] | None = None
    """Send no more than this many requests."""
    keep_alive: bool = True
    """Reuse connections; false opens one for each request."""
    after_answers: bool = False
    """Begin once every request of the previous phases has ended, instead of at a fixed time."""
    resize: ResizeModel | None = None
    """Resize a container of the pod when the phase begins, as the kubelet does: checked, and refused where the memory
    limit would not be above what is used. A resize that is refused is tried again every 10 s.
    """
    warm_up: bool = False
    """It only prepares the pod: `load` in summary.json, which variants are compared by, excludes it."""
    request: RequestModel = RequestModel()
    """The request to send."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        need, takes = _NEEDS.get(self.type), _TAKES[self.type]
        given = need is None or need in self.model_fields_set
        sends = need is None or getattr(self, need) or (self.type == "ramp" and self.rate)
        if need is not None and not (given and sends):
            raise SpecError(
                f"a phase of type {self.type} needs `{to_camel(need)}`{', above 0' if given else ''}",
                why=f"its shape is given by {listed(takes)}",
                fix="raise it" if given else f"add `{to_camel(need)}:`",
                at=(to_camel(need) if given else "type",),
            )
        for key in _SHAPE:
            if getattr(self, key) and key not in takes:
                raise SpecError(
                    f"a phase of type {self.type} has no `{to_camel(key)}`",
                    why=f"its shape is given by {listed(takes)}" if takes else "it sends no request",
                    fix=f"remove `{to_camel(key)}`, or change the type",
                    at=(to_camel(key),),
                )
        return self

    @model_validator(mode="after")
    def _does_what_its_type_can(self) -> Self:
        if self.think and self.type != "closed":
            raise SpecError(
                f"a phase of type {self.type} has no `think`",
                why="its requests do not wait for answers; the clients of a closed loop do",
                fix="remove `think`, or use type closed",
                at=("think",),
            )
        if self.type == "pause":
            for key in ("count", "request"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise SpecError(
                        f"a phase of type pause has no `{key}`",
                        why="it sends no request",
                        fix=f"remove `{key}`, or change the type",
                        at=(key,),
                    )
        if self.after_answers and self.start is not None:
            raise SpecError(
                "a phase has either `start` or `afterAnswers`, not both",
                why="`start` is a fixed time, and `afterAnswers` waits for the phases before",
                fix="remove one of them",
                at=("start",),
            )
        return self

    @model_validator(mode="after")
    def _can_be_recorded(self) -> Self:
        most = max((self.rate, self.rate_to, *self.rates)) * self.duration
        most *= self.size if self.type == "burst" else 1
        if most > MOST_REQUESTS and self.count is None:
            raise SpecError(
                f"{most:.0f} requests are more than the {MOST_REQUESTS} that one run records",
                why="each request has its lines in requests.jsonl",
                fix="lower the rate or the duration, or stop it with `count`",
            )
        return self


class LoadModel(Model):
    """The traffic."""

    phases: tuple[PhaseModel, ...] = ()
    """They run one after another, unless `start` says otherwise."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """The same seed gives the same times."""
    drain: Seconds = 5.0
    """How long to wait for answers after the last phase; the wait ends once every request has ended."""
    settle: Seconds = 2.0
    """How long to keep recording after that: what requests left behind, a restart."""

    @property
    def planned_s(self) -> float:
        """Seconds from the load's beginning to the last end of a phase by plan; `after_answers` can make it later."""
        end = last = 0.0
        for phase in self.phases:
            begin = end if phase.start is None else phase.start
            end = begin + phase.duration
            last = max(last, end)
        return last

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        distinct((phase.name for phase in self.phases), "two phases have the name", ("phases",))
        return self
