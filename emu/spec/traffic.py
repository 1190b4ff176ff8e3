"""`traffic` of a service, as in a Knative Service or Route: which revision gets which part of the requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from emu.policy.routing import ALL, Share, Traffic, whole
from emu.spec.values import Model, Name, SpecError, Whole


class TrafficSpec(Model):
    """A part of the requests."""

    revision_name: Name | None = None
    """The revision that gets it. Default: the last one of `revisions`."""
    latest_revision: bool | None = None
    """true: the last one of `revisions`."""
    percent: Annotated[Whole, Field(ge=0, le=ALL)] = 0
    """How much of the requests; all together are 100. 0: it is asked by its tag alone."""
    tag: Name | None = None
    """A phase with this `tag` asks this revision alone, by the Host `TAG-SERVICE.default.example.com`."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        latest = self.latest_revision
        if latest is not None and (self.revision_name is not None) == latest:
            named = f'"{self.revision_name or ""}"'
            raise SpecError(
                f"may not set revisionName {named} when latestRevision is {str(latest).lower()}",
                why="Knative's webhook refuses it in these words",
                fix="give either revisionName, or `latestRevision: true`",
                at=("latestRevision",),
            )
        return self


class RolloutSpec(Model):
    """Other traffic for the service that the phase asks, from the phase's beginning on. A revision that gets traffic
    for the first time is made then, and requests go to it when it is ready. A revision that gets no traffic any more
    is scaled to zero.
    """

    to: Name | None = None
    """All requests go to this revision."""
    traffic: tuple[TrafficSpec, ...] = ()
    """Or the requests are split like this."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.to is None) != bool(self.traffic):
            raise SpecError(
                "a rollout has either `to` or `traffic`",
                why="`to` is the short form of 100 percent for one revision",
                fix="remove one of them" if self.traffic else "add `to: REVISION`",
                at=("to",) if self.traffic else (),
            )
        return self

    def traffic_of(self, revisions: Sequence[str]) -> Traffic:
        """What each revision gets."""
        return traffic_of(self.traffic, revisions) if self.to is None else whole(self.to, latest=True)


def traffic_of(targets: Sequence[TrafficSpec], revisions: Sequence[str]) -> Traffic:
    """What each revision gets; without any targets the first one gets all, being the latest then."""
    if not targets:
        return whole(revisions[0], latest=True)
    return tuple(
        Share(one.revision_name or revisions[-1], one.percent, one.tag or "", latest=one.revision_name is None)
        for one in targets
    )


def check(targets: Sequence[TrafficSpec], revisions: Sequence[str], at: tuple[str | int, ...]) -> None:
    """SpecError where Knative refuses it, or a revision is not there; `at` leads to the list."""
    tags: set[str] = set()
    for index, one in enumerate(targets):
        if one.revision_name is not None:
            known(one.revision_name, revisions, (*at, index, "revisionName"))
        if one.tag is not None and one.tag in tags:
            raise SpecError(
                f'Multiple definitions for "{one.tag}"',
                why="Knative's webhook refuses it in these words: a tag is one revision's",
                fix="give one of them another tag",
                at=(*at, index, "tag"),
            )
        tags |= {one.tag} if one.tag is not None else set()
    total = sum(one.percent for one in targets)
    if targets and total != ALL:
        raise SpecError(
            f"Traffic targets sum to {total}, want {ALL}",
            why="Knative's webhook refuses it in these words",
            fix="make the percentages 100 together",
            at=at,
        )


def known(revision: str, revisions: Sequence[str], at: tuple[str | int, ...]) -> None:
    """SpecError for a revision that the service does not have."""
    if revision not in revisions:
        raise SpecError(
            f"the service has no revision {revision!r}",
            why=f"its revisions are: {', '.join(revisions)}",
            fix="name one of them, or add it to `revisions`",
            at=at,
        )
