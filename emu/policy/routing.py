"""How a service's requests are split among its revisions. Pure.

Source: Knative's pkg/reconciler/route: traffic moves only when every revision that gets any is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

ALL = 100


class Share(NamedTuple):
    """What one revision gets of a service's requests."""

    revision: str
    percent: int = 0
    tag: str = ""
    """By the Host with this tag it is asked alone."""
    latest: bool = False
    """It is named as the latest revision: another one that becomes it takes its place, by and by if rolled out."""


Traffic = tuple[Share, ...]


def whole(revision: str, *, latest: bool = False) -> Traffic:
    """One revision gets everything."""
    return (Share(revision, ALL, latest=latest),)


def revisions_of(traffic: Iterable[Share]) -> frozenset[str]:
    """Those that a route leads to, by a tag alone too."""
    return frozenset(one.revision for one in traffic)


def not_ready(traffic: Iterable[Share], ready: Collection[str]) -> list[str]:
    """The revisions for which this traffic has to wait."""
    return sorted(revisions_of(traffic) - frozenset(ready))


def named(traffic: Iterable[Share], tag: str = "") -> list[Share]:
    """What a Host leads to, each revision once: the service's own to all of them, that of a tag to one."""
    found: dict[str, Share] = {}
    for one in traffic:
        if tag in ("", one.tag):
            first = found.get(one.revision)
            percent = ALL if tag else one.percent + (first.percent if first else 0)
            found[one.revision] = (first or one)._replace(percent=percent)
    return list(found.values())


def weights(traffic: Iterable[Share], tag: str = "") -> dict[str, int]:
    """Percent of each revision that gets any; by a tag, that one gets all."""
    return {one.revision: one.percent for one in named(traffic, tag) if one.percent}


def draw(shares: dict[str, int], dice: Callable[[int], int]) -> str:
    """The revision that the next request goes to; `dice` gives a number below the one that it gets."""
    number = dice(sum(shares.values()))
    for revision, percent in shares.items():
        number -= percent
        if number < 0:
            return revision
    raise ValueError("there is nothing to draw from")


def in_words(traffic: Iterable[Share]) -> str:
    """`90 % to hello-00001, 10 % to hello-00002 (tag canary)`."""
    return ", ".join(f"{one.percent} % to {one.revision}{f' (tag {one.tag})' if one.tag else ''}" for one in traffic)
