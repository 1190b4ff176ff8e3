"""What is asked of a pod: requests in phases."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.messages import Work
from emu.spec.values import (
    HEADER_NAME,
    HEADER_VALUE,
    MIB,
    Bytes,
    FileName,
    HoldFor,
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


class WorkSpec(Model):
    """What a request asks of our app. Everything combines, in this order: read the request's body, read a file,
    write a file, hold memory, burn CPU, sleep, answer, exit.
    """

    body: Literal["read", "slow", "ignore"] = "read"
    """What it does with the request's body: read all of it, read it slowly (`bodyRate`), or never read it."""
    body_rate: Bytes = 64 * 1024
    """Bytes per second of a `slow` reader."""
    read_file: FileName | None = None
    """Read this whole file, through the page cache."""
    write_file: FileName | None = None
    """Write `writeBytes` to this file, through the page cache, without fsync."""
    write_bytes: Bytes = 0
    """How much to write."""
    hold: Bytes = 0
    """Anonymous memory to take, each page touched."""
    hold_for: HoldFor = 0.0
    """How long after the answer the memory is given back; `forever` is a leak."""
    child: bool = False
    """Hold the memory in a child process, so that an OOM kill can hit the child and spare the app."""
    cpu: Seconds = 0.0
    """CPU time to burn."""
    sleep: Seconds = 0.0
    """Time to wait before the answer, at no cost."""
    answer: Bytes = 2
    """Bytes in the answer's body."""
    status: Annotated[Whole, Field(ge=200, le=599)] = 200
    """The answer's status."""
    exit: Annotated[Whole, Field(ge=0, le=255)] | None = None
    """End the app's process with this code once the answer is out."""
    unhealthy_for: HoldFor = 0.0
    """How long `GET /healthz` answers 503 from now on, for probes to see; `forever` is until it is restarted."""

    def to_work(self) -> Work:
        """The same, as it travels."""
        return Work(**self.model_dump())


class WebSocketModel(Model):
    """A conversation: messages sent one by one, each awaited back before the next, then a close."""

    messages: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    """How many."""
    every: Seconds = 0.0
    """From one to the next."""
    size: Annotated[Bytes, Field(le=MIB)] = 64
    """Bytes of each."""


class RequestModel(Model):
    """One kind of request."""

    method: Literal["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"] | None = None
    """GET without a body, POST with one, unless said."""
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=4096)] | None = None
    """For an app of your own; ours takes `do`."""
    do: WorkSpec | None = None
    """What our app shall do; nothing but answer if not given."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More HTTP headers. Text: quote numbers."""
    body: Bytes = 0
    """Bytes of request body."""
    send_rate: Bytes | None = None
    """A slow sender: bytes of body per second; as fast as it goes if not given."""
    timeout: Seconds | None = None
    """The client gives up so long after the request was due; never if not given."""
    websocket: WebSocketModel | None = None
    """Switch to a websocket, which our app echoes. A conversation that came to its end counts as answered 101."""

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.path is not None and self.do is not None:
            raise SpecError(
                "a request has either `path` (an app of your own) or `do` (ours), not both",
                fix="remove one of them",
                at=("path",),
            )
        for name, value in self.headers.items():
            if not re.fullmatch(HEADER_NAME, name) or not re.fullmatch(HEADER_VALUE, value):
                raise SpecError(
                    f"{name!r} with {value!r} is not a valid HTTP header",
                    why="a name is letters, digits and a few signs without spaces; a value is one line of ASCII",
                    fix="correct it",
                    at=("headers", name),
                )
        if self.websocket is not None and (self.body or self.do is not None or self.method not in (None, "GET")):
            raise SpecError(
                "a websocket is asked for with a plain GET",
                why="what follows is messages, not a body or work",
                fix="remove `body`, `do` and `method`",
                at=("websocket",),
            )
        if self.send_rate == 0:
            raise SpecError("a sender of 0 bytes per second never ends", fix="give a rate", at=("sendRate",))
        return self


PhaseType = Literal["constant", "poisson", "ramp", "steps", "poisson-steps", "burst", "closed"]
_NEEDS = {
    "constant": "rate",
    "poisson": "rate",
    "ramp": "rate_to",
    "steps": "rates",
    "poisson-steps": "rates",
    "burst": "size",
    "closed": "clients",
}
_TAKES = {kind: (need,) for kind, need in _NEEDS.items()} | {"ramp": ("rate", "rate_to"), "burst": ("size", "rate")}
_SHAPE = ("rate", "rate_to", "rates", "size", "clients")


class PhaseModel(Model):
    """Requests of one kind, for a while."""

    name: Name
    """What results call it: lower-case letters, digits and `-`."""
    type: PhaseType
    """constant, poisson, ramp, steps, poisson-steps and burst send at set times, whatever happens to earlier requests
    (an open loop, as strangers on the internet do); closed keeps a number of clients busy, each waiting for its
    answer. With poisson and poisson-steps chance decides on the gaps, by `seed`.
    """
    duration: Annotated[Seconds, Field(gt=0)]
    """How long it sends."""
    start: Seconds | None = None
    """Seconds after the load began; when the phase before it ends, unless said."""
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
    """Begin 0.2 s after every request of the phases before has ended, instead of at a set time."""
    warm_up: bool = False
    """It prepares the pod: left out of `load` in summary.json, which is what variants are compared by."""
    request: RequestModel = RequestModel()
    """What is sent."""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        need, takes = _NEEDS[self.type], _TAKES[self.type]
        given = need in self.model_fields_set
        sends = getattr(self, need) or (self.type == "ramp" and self.rate)
        if not given or not sends:
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
                    why=f"its shape is given by {listed(takes)}",
                    fix=f"remove `{to_camel(key)}`, or change the type",
                    at=(to_camel(key),),
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
    """One after the other, unless `start` says otherwise."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """The same seed gives the same times."""
    drain: Seconds = 5.0
    """How long after the last phase answers are waited for; not at all once every request has ended."""
    settle: Seconds = 2.0
    """How long the pod is still watched after that: what a request left behind, a restart."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        distinct((phase.name for phase in self.phases), "two phases have the name", ("phases",))
        return self
