"""The ingress of a service: each request goes to one of its revisions, drawn by their parts of the traffic."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from emu.daemon.load.connections import Connections, Place
from emu.policy.loadplan import Split
from emu.policy.routing import draw


class Ingress:
    """As a gateway does it: for each request by itself, whatever connection its client has."""

    def __init__(self, split: Split, seed: int, to: Callable[[str, int], Connections]) -> None:
        """`seed` makes the draws; `to` gives the connections to a place."""
        self._dice = Random(f"{seed}/{split.host}").randrange
        self._to = to
        self._known: dict[str, Connections] = {}
        self._weights: dict[str, int] = {}
        self.split(split)

    def split(self, split: Split) -> None:
        """Requests are split like this from now on; those in flight stay where they are."""
        self._known |= {part.revision: self._to(part.host, part.port) for part in split.parts}
        self._weights = {part.revision: part.weight for part in split.parts}

    def choose(self) -> Place:
        """Where the next request goes."""
        revision = draw(self._weights, self._dice)
        return self._known[revision].choose()._replace(revision=revision)

    def of(self, place: Place) -> Connections:
        """The connections of the revision."""
        return self._known[place.revision]
