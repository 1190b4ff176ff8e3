"""Events of Knative's parts: pods that are scaled, starts that are measured, requests that wait or are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from emu.messages import REQUESTS_ENDED, REQUESTS_WAITED
from emu.record.events.base import Event, OfPod


@dataclass(frozen=True, kw_only=True)
class StartMeasured(OfPod):
    """One trial of a start: a request that came to a pod of a known temperature was answered, or was not. `t` is the
    end of its answer; all times are CLOCK_MONOTONIC seconds.
    """

    kind: ClassVar[str] = "start-measured"
    trial: int
    wanted: str
    """The temperature that was prepared."""
    temperature: str
    """What was found when the request came; the answer's `X-Emu-Start` header says so."""
    attempt: int
    """Of the pod's containers in this trial."""
    arrived: float
    """The activator had read the request."""
    stamps: list[tuple[str, float]]
    """What the activator did, in order, with when each was done; `forward`: the request was sent to queue-proxy."""
    first_byte: float | None
    status: int | None
    error: str | None
    before: dict[str, int | None]
    """Counters of the app's cgroup when the request came; 0 where it had none: `pgfault`, `pgmajfault`,
    `swap_in_pages`, `io_read_bytes`, `io_write_bytes`.
    """
    after: dict[str, int | None]
    """The same at `t`."""
    held_bytes: int
    """memory.current of all the pod's containers together while it waited for the request."""
    held_swap_bytes: int
    """memory.swap.current of them."""
    image_cached_bytes: int | None = None
    """Of the image's files, how much was in the page cache; None where the app's container was there already."""
    image_bytes: int | None = None
    """The size of its files."""
    image_cached_after_bytes: int | None = None
    """How much of them was in the page cache at `t`, where the image was loaded in this trial; else None."""


@dataclass(frozen=True, kw_only=True)
class PodScaled(OfPod):
    """There are to be pods from now on where there were none, or none; or that has come about."""

    kind: ClassVar[str] = "pod-scaled"
    revision: str = ""
    """Whose pods; empty in runs from before there could be several."""
    pods: int
    """How many; 0: scaled to zero."""
    reached: bool
    """False: decided. True: the pods are gone with their cgroups, or one is ready and took the requests that waited.
    """
    why: str = ""
    concurrency: float | None = None
    """Requests under way, averaged over the stable window, when it was decided; None where nothing was reported."""
    waiting: int = 0
    """Requests that waited in the activator then."""
    to_zero: bool | None = None
    """In the first one: whether an idle service is scaled to zero at all (minScale 0, enable-scale-to-zero)."""


@dataclass(frozen=True, kw_only=True)
class ScaleDecided(Event):
    """The autoscaler decided how many pods there are to be, or time or readiness changed what it makes of that. The
    fields from `metric` to `excess_burst_capacity` are the decision's; None where none was made then. Those from
    `stable` on are of Knative's own autoscaler, those from `autoscaler` on of a HorizontalPodAutoscaler.
    """

    kind: ClassVar[str] = "scale-decided"
    service: str = ""
    """The service that the revision is of; empty in runs from before there could be several."""
    revision: str = ""
    before: int = 0
    pods: int = 0
    """How many pods there were to be before, and are to be from now on."""
    ready: int = 0
    """Pods that were ready when it was decided, without those that were ending."""
    mode: str = "Proxy"
    """`Proxy`: the activator is to be in the path; `Serve`: it may leave."""
    active: str = ""
    """The PodAutoscaler's condition Active: `activating`, `active`, `inactive`."""
    activators: int = 0
    """How many of them Knative would put in the path."""
    why: str = ""
    """The decision in a sentence; times in it count from the run's beginning."""
    metric: str = ""
    """`concurrency`, `rps`, `cpu`, `memory` or a trigger's; empty where no decision was made then. Of several metrics
    the one that decided.
    """
    stable: float | None = None
    panic: float | None = None
    """The metric over the stable and the panic window."""
    target: float | None = None
    """What one pod is to have of it."""
    stable_pods: float | None = None
    panic_pods: float | None = None
    """The two averages over the target, rounded up."""
    least: float | None = None
    most: float | None = None
    """What max-scale-down-rate and max-scale-up-rate allowed."""
    panicking: bool = False
    panic_until: float | None = None
    """CLOCK_MONOTONIC seconds; None while calm."""
    desired: int | None = None
    """Before min-scale and max-scale."""
    excess_burst_capacity: int | None = None
    waiting: int = 0
    """Requests that waited in the activator then."""
    progress_deadline_s: float | None = None
    """How long the first pods may take to become ready, as the run has it (by `time_scale`); None: no such limit."""
    given_up: bool = False
    """Its pods did not become ready in time, and there are to be none."""
    autoscaler: str = "kpa"
    """`kpa`, `hpa` or `keda`."""
    unit: str = ""
    """Of `value` and `target`: `%` of the requests, `cores` or `bytes` in a pod, or of a trigger's metric `a pod`;
    empty: in all.
    """
    value: float | None = None
    """The metric; None where it could not be read."""
    able: str = ""
    """The reason of the condition AbleToScale: `ReadyForNewScale`, or how it was stabilized."""
    limit: str = ""
    """The reason of the condition ScalingLimited, where a bound or a policy cut the number."""
    proposals: list[tuple[float, int]] = field(default_factory=list)
    """What stabilization went by: CLOCK_MONOTONIC second and number of pods of each."""


@dataclass(frozen=True, kw_only=True)
class MetricRead(Event):
    """A HorizontalPodAutoscaler read one of its metrics in a sync; its `scale-decided` has the same `t`."""

    kind: ClassVar[str] = "metric-read"
    revision: str
    name: str
    """`cpu`, `memory`, or a trigger's metric as KEDA calls it: `s0-prometheus`."""
    container: str = ""
    """The only one that counts."""
    query: str = ""
    """Of a trigger."""
    unit: str = ""
    """As in `scale-decided`."""
    target: float | None = None
    value: float | None = None
    """None: it could not be read."""
    proposed: int | None = None
    """How many pods it asks for."""
    why: str = ""
    samples: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """By pod: its usage in cores or bytes, the CLOCK_MONOTONIC second of the sample, over how many seconds it is."""


@dataclass(frozen=True, kw_only=True)
class TrafficSplit(Event):
    """A service's requests are to be split like this among its revisions, or are from now on."""

    kind: ClassVar[str] = "traffic-split"
    service: str
    traffic: list[tuple[str, int, str]]
    """Each revision with its percent of the requests and its tag; the tag may be empty."""
    reached: bool
    """False: it was asked for. True: requests are split like this."""
    waits_for: list[str] = field(default_factory=list)
    """The revisions that were not ready when it was asked for."""
    toward: list[tuple[str, int, str]] = field(default_factory=list)
    """In a gradual rollout, what it is to be in the end; empty once it is."""
    why: str = ""
    """Of a step of a gradual rollout: how much moved, and when more does."""


@dataclass(frozen=True, kw_only=True)
class PodLoad(OfPod):
    """The activator had more requests under way in a pod than ever before."""

    kind: ClassVar[str] = "pod-load"
    most: int
    """How many at once, since the pod was made."""


@dataclass(frozen=True, kw_only=True)
class RequestsForwarded(OfPod):
    """The activator sent requests on to a pod. A client's port and the activator's name a connection, and with when
    it was sent on the request: a connection has one at a time.
    """

    kind: ClassVar[str] = "requests-forwarded"
    port: int
    """The activator's own."""
    since: float
    """The CLOCK_MONOTONIC second from which `at` counts."""
    at: list[int]
    """When each was sent on, in microseconds."""
    clients: list[int]
    """The port of each one's client."""
    cold: list[int]
    """Which of them, counted from 0, had to wait because there was no pod."""

    @property
    def each(self) -> list[tuple[float, int, bool]]:
        """When each was sent on, as a CLOCK_MONOTONIC second, its client's port, and whether it waited for a pod."""
        cold = set(self.cold)
        rows = enumerate(zip(self.at, self.clients, strict=False))
        return [(self.since + at / 1e6, client, number in cold) for number, (at, client) in rows]


@dataclass(frozen=True, kw_only=True)
class RequestsHeld(Event):
    """Requests that had waited in the activator for a pod do so no more."""

    kind: ClassVar[str] = "requests-held"
    revision: str = ""
    """Whose pod; empty where there is only one revision."""
    outcome: str
    """`forwarded` to the pod, in this order; `timeout`: answered 504; `abandoned`: the client went away."""
    waited_s: list[float]
    """Each, from its arrival."""


@dataclass(frozen=True, kw_only=True)
class RequestsEnded(Event):
    """Requests that queue-proxy or the activator answered itself or broke, or whose clients left, of one kind.
    queue-proxy's are in its log, in the same words.
    """

    kind: ClassVar[str] = REQUESTS_ENDED
    who: str
    """`queue-proxy` or `activator`."""
    revision: str = ""
    """Of the activator's: whose requests; empty where there is only one revision."""
    status: int
    """Of the answer; 0 where there was none."""
    reason: str
    """`queue-full`, `not-resumed` (the freezer could not resume the app), `dial-failed` (no connection to the app),
    `app-broke` (the connection ended without an answer), `answer-cut` (in the middle of one), `response-timeout`,
    `response-start-timeout`, `idle-timeout`, `protocol` (an upgrade that cannot be), `client-left`.
    """
    each: list[list[float | None]]
    """For each: its CLOCK_MONOTONIC second, how long it had waited for a place, how long for the app to be resumed,
    and how long it had been in the app; None where it never was. Seconds.
    """
    why: str = ""
    """The first one's, in the words of Go's network library where it is a connection's."""
    inside: int = 0
    """Requests that had a place, when the first one ended."""
    waiting: int = 0
    """Requests that waited for one then."""
    period_s: float | None = None
    """Of the timer that ran out."""


@dataclass(frozen=True, kw_only=True)
class RequestsWaited(Event):
    """Requests that had waited for a place in the app have one now. queue-proxy's are in its log."""

    kind: ClassVar[str] = REQUESTS_WAITED
    who: str
    revision: str = ""
    """As in requests-ended."""
    since: float
    """The CLOCK_MONOTONIC second from which `at` counts."""
    at: list[int]
    """When each had its place, in microseconds."""
    waited: list[int]
    """How long each had waited, in microseconds."""

    @property
    def each(self) -> list[tuple[float, float]]:
        """When each had its place, as a CLOCK_MONOTONIC second, and how many seconds it had waited."""
        return [(self.since + at / 1e6, waited / 1e6) for at, waited in zip(self.at, self.waited, strict=False)]
