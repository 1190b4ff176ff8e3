"""The load's connections: where a request goes, and those that are kept for the next one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from emu.daemon.http.client import UpstreamConnection


class Place(NamedTuple):
    """Where a request is sent."""

    host: str
    port: int
    pod: str = ""
    """Its name, where it was chosen among pods."""
    revision: str = ""
    """Whose place it is, where it was chosen among revisions."""

    @property
    def server(self) -> tuple[str, int]:
        """As connections know it."""
        return self.host, self.port


class Choice(Protocol):
    """Where the requests of a phase may go."""

    def choose(self) -> Place:
        """Where the next one goes."""

    def of(self, place: Place) -> Connections:
        """The connections to a place that was chosen."""


class Connections:
    """Connections to one address, or to the pods behind it; the kept ones are reused, the last used first."""

    def __init__(self, host: str, port: int, draw: Callable[[int], int] = random.randrange) -> None:
        self._own: tuple[Place, ...] = (Place(host, port),)
        self._places: tuple[Place, ...] = self._own
        self._draw = draw
        self._idle: dict[tuple[str, int], list[UpstreamConnection]] = {(host, port): []}

    def lead_to(self, pods: Iterable[Place]) -> None:
        """Requests go to these pods from now on; to the address itself where there are none. Kept connections to
        others are closed, those in use when their requests are over.
        """
        self._places = tuple(pods) or self._own
        idle = {place.server: self._idle.pop(place.server, []) for place in self._places}
        self.close()
        self._idle = idle

    def choose(self) -> Place:
        """Where the next request goes: to a pod at random, as kube-proxy and gateways spread them."""
        places = self._places
        return places[0] if len(places) == 1 else places[self._draw(len(places))]

    def of(self, place: Place) -> Connections:
        """Those to a place that was chosen."""
        return self

    def take(self, place: Place) -> UpstreamConnection | None:
        """A kept connection that is still open."""
        idle = self._idle.get(place.server, [])
        while idle:
            connection = idle.pop()
            if not connection.closed:
                return connection
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for a later request."""
        idle = self._idle.get(connection.server)
        if idle is None:
            connection.drop()
        else:
            idle.append(connection)

    def close(self) -> None:
        """Close the idle connections; those in use are closed by the requests that have them."""
        for idle in self._idle.values():
            for connection in idle:
                connection.drop()
            idle.clear()
