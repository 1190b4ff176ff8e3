"""What stands in front of a revision's pods: an activator, or in Standard mode a Service alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints


class Front(Protocol):
    """As `emu.serving.revision` uses it."""

    @property
    def port(self) -> int:
        """Where clients reach it on loopback, while they reach no pod."""

    def update(self, endpoints: Endpoints) -> None:
        """Say where the pods are."""

    def reaches(self, pod: Endpoint) -> bool:
        """Whether a request that comes here now may go to this pod, which is ready."""

    def reports(self) -> Iterator[ActivatorReport]:
        """What it reported since the last call."""


class BareService:
    """A Service of Kubernetes, which only leads to ready pods: without one a connection to it is refused. A context
    manager that holds a port on which nothing listens.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self.port = 0

    def __enter__(self) -> Self:
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def update(self, endpoints: Endpoints) -> None:
        """Clients are led to the pods by the revision itself."""

    def reaches(self, pod: Endpoint) -> bool:
        """A ready pod is reached at once: nothing probes it in between."""
        return True

    def reports(self) -> Iterator[ActivatorReport]:
        """It knows of no request."""
        return iter(())
