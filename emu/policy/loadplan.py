"""The load generator's plan: what it is to send, when and where; one JSON document, and lines that change where
requests go. Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from emu.messages import HOST
from emu.messages.endpoints import Endpoint

PhaseKind = Literal["constant", "poisson", "ramp", "steps", "poisson-steps", "burst", "closed", "pause"]


@dataclass(frozen=True)
class WebSocketSpec:
    """A conversation over a websocket: messages sent one by one, each awaited back before the next."""

    messages: int
    every_s: float
    size: int


@dataclass(frozen=True)
class RequestSpec:
    """A request ready to send, as the load generator gets it."""

    method: str = "GET"
    path: str = "/"
    """Path with its query string, ready to send (for our app: `/?` + `Work.to_query()`)."""
    headers: dict[str, str] = field(default_factory=dict)
    body_bytes: int = 0
    content: str | None = None
    """The body itself, in base64; None is `body_bytes` of filler."""
    send_rate: float | None = None
    """Bytes of body per second that the sender lets out; None is as fast as it goes."""
    read_rate: float | None = None
    """Bytes of the answer per second that the client reads; None is as fast as they come."""
    timeout_s: float | None = None
    """The client gives up this long after it began with the request; None never."""
    websocket: WebSocketSpec | None = None
    """Switch to a websocket and talk; ended well, the request's status is 101."""


@dataclass(frozen=True)
class Until:
    """What ends a phase before its duration is over: whichever of these comes first. `container` goes with the counts
    of what happens to containers, which are those of the whole run.
    """

    in_flight: int | None = None
    """So many requests are under way, of whatever phase."""
    answered: int | None = None
    """So many of the phase's own requests have a whole answer."""
    oom_kills: int | None = None
    restarts: int | None = None
    exits: int | None = None
    container: str | None = None
    ready: str | None = None
    """The pod's READY column: `2/2`."""
    status: str | None = None
    """The pod's STATUS column: `CrashLoopBackOff`."""
    ready_pods: int | None = None
    """So many pods are ready."""
    resizes: int | None = None
    """So many resizes were carried out or refused."""
    frozen: bool | None = None
    """Whether the freezer has frozen the pod."""
    reclaimed: bool | None = None
    """Whether it has also reclaimed its memory."""
    revision: str | None = None
    """The revision whose pods they are; None: any of the service's."""


@dataclass(frozen=True)
class Phase:
    """Requests of one kind, for a while. Open loop kinds send at times set beforehand, whatever happens;
    `closed` keeps `clients` busy, each sending its next request when the last was answered; `pause` sends nothing.
    """

    name: str
    kind: PhaseKind
    start_s: float
    """Seconds after the load's begin."""
    duration_s: float
    request: RequestSpec
    rate: float = 0.0
    """Requests per second (constant, poisson, burst: 0 there means once); the first rate of a ramp."""
    rate_to: float = 0.0
    """The last rate of a ramp, reached linearly."""
    rates: tuple[float, ...] = ()
    """The rates of `steps`, each for an equal share of the duration."""
    size: int = 0
    """Requests sent at the same moment by a burst; `rate` bursts come per second."""
    clients: int = 0
    """Clients of a closed loop."""
    think_s: float = 0.0
    """Pause of a closed-loop client between an answer and its next request."""
    count: int | None = None
    """Stop the phase after this many requests; None sends until the duration ends."""
    keep_alive: bool = True
    """Reuse connections; False opens one for each request."""
    after_answers: bool = False
    """Begin once every request of the phases before has ended, whatever `start_s` says."""
    until: Until | None = None
    """Ends it before its duration is over."""
    host: str = ""
    """Where it sends to; empty: where the plan does."""
    port: int = 0
    pod: str = ""
    """The pod that listens there, by name; empty where that is not known yet: an activator chooses one."""
    container: str = ""
    """The container of that pod that listens there."""
    host_header: str = ""
    """The service's Host; empty: the plan's."""
    follows: bool = False
    """Begin when the phase before it ends, whatever `start_s` says: when that will be is not known yet."""


@dataclass(frozen=True)
class Part:
    """A revision, where it is asked, and its weight among the parts of a service's requests."""

    revision: str
    host: str
    port: int
    weight: int


@dataclass(frozen=True)
class Split:
    """To the load generator: requests for a place, which is a service's Host, are split among revisions at random."""

    host: str
    port: int
    parts: tuple[Part, ...]

    def to_line(self) -> str:
        """One JSON line with its newline."""
        return json.dumps({"split": asdict(self)}, separators=(",", ":")) + "\n"

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Split:
        """What the line has under `split`."""
        return cls(**{**data, "parts": tuple(Part(**part) for part in data["parts"])})


@dataclass(frozen=True)
class LoadPlan:
    """Everything the load generator needs; with the same seed it asks for the same times."""

    host: str
    port: int
    phases: tuple[Phase, ...]
    seed: int = 0
    drain_s: float = 5.0
    """How long after the last phase to wait for answers still due."""
    host_header: str = HOST
    splits: tuple[Split, ...] = ()
    """Of places that stand for several: until it is said otherwise."""

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoadPlan:
        """The inverse of `to_json`."""
        data = json.loads(text)
        data["phases"] = tuple(
            Phase(
                **{
                    **phase,
                    "request": _request_spec(phase["request"]),
                    "rates": tuple(phase["rates"]),
                    "until": None if phase["until"] is None else Until(**phase["until"]),
                }
            )
            for phase in data["phases"]
        )
        data["splits"] = tuple(Split.from_data(split) for split in data["splits"])
        return cls(**data)


def _request_spec(data: dict[str, Any]) -> RequestSpec:
    talk = data.get("websocket")
    return RequestSpec(**{**data, "websocket": None if talk is None else WebSocketSpec(**talk)})


@dataclass(frozen=True)
class Route:
    """To the load generator: requests for a place go to these pods, whose `ready` and `start` say nothing here."""

    host: str
    port: int
    pods: tuple[Endpoint, ...] = ()
    """Empty: requests go to the place itself."""

    def to_line(self) -> str:
        """One JSON line with its newline."""
        return json.dumps({"route": asdict(self)}, separators=(",", ":")) + "\n"

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Route:
        """What the line has under `route`."""
        return cls(**{**data, "pods": tuple(Endpoint(**pod) for pod in data["pods"])})
