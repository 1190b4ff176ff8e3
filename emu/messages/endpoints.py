"""What a run and its activator send each other: a JSON line each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from emu.messages import QUEUE_PORT


@dataclass(frozen=True)
class Endpoint:
    """Where a pod's queue-proxy listens."""

    address: str
    port: int = QUEUE_PORT
    start: str = ""
    """How warm the start was; the answers to requests that waited for it say so. Empty: it was none from zero."""
    ready: bool = False
    """The kubelet reports it ready. One that is not ready any more is probed again."""
    pod: str = ""
    """Its name, for the record."""

    @property
    def host_port(self) -> str:
        """As ADDRESS:PORT."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Endpoints:
    """To the activator: where the pods are from now on. Each is probed until it says that it is ready."""

    pods: tuple[Endpoint, ...] = ()
    """Empty: there is none, and requests are to wait."""
    service: str = ""
    index: int = -1
    """This activator's among the service's; -1: it is not among them yet, and sends to all pods."""
    activators: int = 1

    def to_line(self) -> str:
        """One JSON line with its newline."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_line(cls, line: bytes) -> Endpoints:
        """The inverse of `to_line`."""
        data = json.loads(line)
        return cls(**{**data, "pods": tuple(Endpoint(**pod) for pod in data["pods"])})


@dataclass(frozen=True)
class ActivatorReport:
    """What the activator reports to the run, each on a line of its own."""

    what: str
    """`listening`; `report`: requests under way in the second before; `ready`: a pod is, and took those that
    waited; `closed`: there is no pod any more. Of a run that
    traces each request also `arrived`, `forwarded` and `updated`: requests find the endpoints that were sent.
    """
    t: float
    """CLOCK_MONOTONIC seconds."""
    concurrency: float = 0.0
    waiting: int = 0
    """Requests that wait for a pod; with `ready`, that waited."""
    forwarded: int = 0
    """Requests that went to a pod and are not over."""
    port: int = 0
    pod: str = ""
    """With `ready`: which, as ADDRESS:PORT."""
    loads: dict[str, int] = field(default_factory=dict)
    """Requests that went to each pod and are not over."""
    rps: float = 0.0
    """With `report`: requests that came in that second."""

    def to_line(self) -> str:
        """One JSON line with its newline."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_line(cls, line: bytes) -> ActivatorReport:
        """The inverse of `to_line`."""
        return cls(**json.loads(line))
