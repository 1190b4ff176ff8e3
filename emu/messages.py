"""All that crosses between processes, so that each name is spelt once. Standard library only: containers import it.

Among it is what a request asks of the app (`Work`, as a query string), and what became of each request (`SENT` and
`DONE` lines in requests.jsonl). What the load generator is to send is in `emu.policy.loadplan`.
Times in records are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

QUEUE_PORT = 8012
"""Knative's port for HTTP/1.1 traffic into queue-proxy (pkg/networking/constants.go)."""
QUEUE_ADMIN_PORT = 8022
"""Knative's admin port; only /wait-for-drain."""
QUEUE_STATS_PORT = 9090
"""Knative's port for the autoscaler's questions to queue-proxy."""
USER_PORT = 8080
"""Knative's default container port."""
METRICS_PATH = b"/metrics"
"""Where Prometheus asks emu's app, and any other."""
REPORT_VARIABLE = "EMU_REPORT_SECONDS"
"""How often queue-proxy reports to the autoscaler; Knative's does each second."""
HOLD_VARIABLE, START_VARIABLE = "EMU_HOLD_BYTES", "EMU_START_SECONDS"
"""What a sidecar's stand-in is to hold, and how long it takes to be ready."""
WORK_VARIABLE = "EMU_WORK"
"""What an init container's stand-in does: a `Work` as a query string."""
VOLUMES_VARIABLE = "EMU_VOLUMES"
"""Where the pod's volumes are mounted in the app: paths with a colon between them."""
_DOMAIN = "default.example.com"
HOST = f"app.{_DOMAIN}"
"""The Host of the service that a run is of."""
DATA_DIR = "/data"
"""Where the app's volume on a real block device is mounted; `readFile` and `writeFile` name files in it."""

QUEUE_PROXY, APP = "queue-proxy", "app"
"""The containers of a Knative pod, as emu's runs name them; also who it is in the logs of these two programs."""
SANDBOX = "sandbox"
"""The pause container, which holds the pod's network: part of the pod, of no interest to most readers."""
USER_CONTAINER = "user-container"
"""Knative's name of the app's container, where a manifest gives none."""
STARTED, LISTENING, DRAINS = "start", "listening", "drain"
PAUSED, MAYBE_PAUSED, RESUMED, NO_MORE_FREEZES = "paused", "maybe-paused", "resumed", "freezes-no-more"
"""Words of the logs of emu's own programs that are read again; those on freezes are queue-proxy's."""


def host_of(service: str, tag: str = "") -> str:
    """The Host of a service in the namespace default; with a tag that of the revision which has it."""
    return f"{f'{tag}-' if tag else ''}{service}.{_DOMAIN}"


BodyHandling = Literal["read", "slow", "ignore"]
FOREVER = "forever"


@dataclass(frozen=True)
class Work:
    """What one request asks of the app. Everything combines, in this order: read the request's body, read a file,
    write a file, hold memory, have the kernel hold memory, burn CPU, sleep, answer (then let the memory go), exit.
    """

    body: BodyHandling = "read"
    """read all of the request's body; `slow`: at `body_rate` bytes/s; `ignore`: never read it."""
    body_rate: int = 64 * 1024
    read_file: str | None = None
    """Read this whole file in DATA_DIR, or by its path in a volume, through the page cache."""
    write_file: str | None = None
    """Write `write_bytes` to this file, named likewise, through the page cache, without fsync."""
    write_bytes: int = 0
    hold: int = 0
    """Bytes of anonymous memory, each page touched."""
    hold_zeros: float = 0.0
    """The share of each of its pages that is zero bytes; the rest is random, and does not compress."""
    child: bool = False
    """Hold the memory in a child process, so that an OOM kill hits the child and the container lives; the
    answer is then 500 with the child's fate."""
    hold_for: float | None = 0.0
    """Seconds after the answer until the memory is given back, the kernel's too; None is for ever."""
    dentries: int = 0
    """Names of files to look up that do not exist: the kernel keeps each for as long as it has room."""
    threads: int = 0
    """Threads to start, which only wait."""
    page_tables: int = 0
    """Bytes of page tables."""
    sockets: int = 0
    """TCP connections to itself, with full buffers."""
    pipes: int = 0
    """Pipes, each with a full buffer."""
    cpu: float = 0.0
    """Seconds of CPU time to burn."""
    sleep: float = 0.0
    answer: int = 2
    """Bytes in the answer's body."""
    status: int = 200
    exit: int | None = None
    """End the app's process with this code once the answer is out."""
    unhealthy_for: float | None = 0.0
    """Seconds for which GET /healthz answers 503 from now on; None is for ever."""
    detached: bool = False
    """Work on after the client left; otherwise the app stops at the next step."""

    @property
    def is_of_the_kernel(self) -> bool:
        """Whether it has the kernel hold memory."""
        return bool(self.dentries or self.threads or self.page_tables or self.sockets or self.pipes)

    def to_query(self) -> str:
        """The query string that carries this; fields at their defaults are left out."""
        pairs: list[tuple[str, str]] = []
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value == entry.default:
                continue
            pairs.append((entry.name, _query_text(value)))
        return urlencode(pairs)

    @classmethod
    def from_query(cls, query: str) -> Work:
        """The inverse of `to_query`. ValueError, in one line, for an unknown name or a bad or negative number."""
        kinds = {entry.name: str(entry.type) for entry in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name not in kinds:
                raise ValueError(f"unknown work {name!r}; known: {', '.join(kinds)}")
            values[name] = _work_value(name, kinds[name], text)
        return cls(**values)


def _query_text(value: Any) -> str:
    if value is None:
        return FOREVER
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _work_value(name: str, kind: str, text: str) -> Any:
    if name in ("hold_for", "unhealthy_for") and text == FOREVER:
        return None
    if name == "body" and text not in ("read", "slow", "ignore"):
        raise ValueError(f"body={text!r}: must be read, slow or ignore")
    if kind == "bool":
        if text not in ("true", "false"):
            raise ValueError(f"{name}={text!r}: must be true or false")
        return text == "true"
    if kind.startswith(("int", "float")):
        try:
            number = int(text) if kind.startswith("int") else float(text)
        except ValueError:
            raise ValueError(f"{name}={text!r}: must be a number") from None
        if not 0 <= number < float("inf"):
            raise ValueError(f"{name}={text!r}: must be 0 or more, and finite")
        return number
    return text


SENT = "sent"
DONE = "done"


@dataclass(frozen=True)
class RequestSent:
    """A line of requests.jsonl, written when a request's first byte goes out (or was tried to)."""

    id: int
    phase: str
    due: float
    """When it was to be sent by the plan."""
    sent: float
    """When its first byte went out: the connection was open then."""
    begun: float | None = None
    """When the load generator took it up: it opened a connection for it, or wrote it to a kept one. Latency counts
    from here; what lies between `due` and this is the load generator's own lateness. None in records that have no
    such stamp: `due` stands for it there.
    """
    pod: str = ""
    """The name of the pod that it was sent to; empty where it was sent to an activator, and in older records."""
    container: str = ""
    """The container of that pod that it was sent to."""
    revision: str = ""
    """The revision that it was sent to, where a service may have several."""
    ports: list[int] | None = None
    """Of one that was sent to an activator: the client's own port and the activator's, by which the activator knows
    it (`RequestsForwarded`); empty where no connection could be made. None for the others, and in older records.
    """
    e: str = SENT


REQUESTS_ENDED, REQUESTS_WAITED = "requests-ended", "requests-waited"
"""Lines of queue-proxy's log, and events of the activator: requests that they answered themselves or broke, and how
long requests waited for a place (`emu.record.events.RequestsEnded`, `RequestsWaited`).
"""

RequestError = Literal[
    "refused",
    "reset",
    "closed",
    "short-body",
    "timeout",
    "unanswered",
    "bad-response",
    "unreachable",
    "no-descriptors",
    "no-ports",
]
"""refused: no listener. reset: RST. closed: FIN before any byte of the answer. short-body: cut in the middle.
timeout: the client gave up. unanswered: the run ended first. bad-response: not HTTP. unreachable: no route or
the connection attempt timed out. no-descriptors: the load generator had no file descriptor left. no-ports: it had no
local port left.
"""


@dataclass(frozen=True)
class RequestDone:
    """A line of requests.jsonl, written when a request has ended; with `status` or `error`, or both (short-body)."""

    id: int
    done: float
    first_byte: float | None
    status: int | None
    error: RequestError | None
    bytes: int
    """Bytes of the answer's body that arrived."""
    e: str = DONE


def to_line(record: RequestSent | RequestDone) -> str:
    """One JSON line with its newline."""
    return json.dumps(asdict(record), separators=(",", ":")) + "\n"


PAUSE, RESUME = "pause", "resume"
FREEZER_ACTIONS = (PAUSE, RESUME)
"""The requests that the freezer daemon takes: `{"action": "pause"}` (container-freezer, pkg/daemon/handler.go)."""
START_HEADER = "X-Emu-Start"
"""In an answer: how warm the start was that the request waited for."""
NETWORK_PROBE_HEADER = "K-Network-Probe"
"""In a probe of Knative's own: for whom it is (knative.dev/networking, pkg/http/header)."""
KUBE_PROBE_AGENT, ACTIVATOR_PROBE_AGENT = "kube-probe/", "Knative-Activator-Probe"  # how a prober's User-Agent begins
FREEZER_TOKEN_HEADER = "Token"  # noqa: S105  a header's name
FREEZER_PORT = 9696
"""container-freezer's port on the node (config/containerd/300-daemon-containerd.yaml)."""
FREEZER_ENDPOINT_VARIABLE = "CONCURRENCY_STATE_ENDPOINT"
"""Where queue-proxy finds the daemon: `http://HOST:PORT`, or `unix:PATH`, which is ours. Empty: there is none."""
FREEZER_TOKEN_VARIABLE = "CONCURRENCY_STATE_TOKEN_PATH"  # noqa: S105  a variable's name
"""The file with the pod's token (Knative Serving 1.9, pkg/reconciler/revision/resources/queue.go)."""
FREEZER_MODE_VARIABLE = "EMU_FREEZER_MODE"
FREEZER_GRACE_VARIABLE = "EMU_FREEZER_GRACE_SECONDS"
FREEZER_PATIENCE_VARIABLE = "EMU_FREEZER_PATIENCE_SECONDS"
OWN_MODE, KNATIVE_MODE = "own", "knative"
FREEZER_MODES = (OWN_MODE, KNATIVE_MODE)
FREEZER_METHODS = ("docker", "cgroup")


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
