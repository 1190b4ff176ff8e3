"""What a scenario may say: frozen models, checked when made. `emu.scenario` reads them from YAML.

Names are Kubernetes' and Knative's where they have one (containerConcurrency, timeoutSeconds, resources,
restartPolicy) and the kernel's where the kernel has one (memory.high is `memory: {high: …}`). Sizes are bytes,
durations seconds once read; no limit ("max") is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.messages import FOREVER, USER_PORT, Work
from emu.units import format_bytes, parse_bytes, parse_seconds

MIB = 2**20
DOCKER_MINIMUM_BYTES = 6 * MIB
"""Docker refuses a smaller memory limit (moby daemon: "Minimum memory limit allowed is 6MB")."""
LARGEST_BYTES = 2**46
"""64 TiB: a size above this is taken for a slip."""
LONGEST_S = 24 * 3600.0
MOST_REQUESTS = 5_000_000

_SIZE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["64Mi", "1.5Gi", 4096]}
_DURATION = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["250ms", "10s", "1m30s"]}


def _limit(value: Any) -> Any:
    return None if value is None or value == "max" else parse_bytes(value)


def _hold_for(value: Any) -> Any:
    return None if value is None or value == FOREVER else parse_seconds(value)


def _millicores(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not an amount of CPU; write cores (0.5) or millicores (500m)")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is not an amount of CPU; write cores (0.5) or millicores (500m)")
    return round(float(match[1]) * (1 if match[2] else 1000))


def _unique(names: Iterable[str], complaint: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{complaint} {name!r}; names must differ")
        seen.add(name)


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0, le=LARGEST_BYTES), WithJsonSchema(_SIZE)]
Limit = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST_BYTES)] | None,
    BeforeValidator(_limit),
    WithJsonSchema({**_SIZE, "description": "bytes, or max for no limit"}),
]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0, le=LONGEST_S), WithJsonSchema(_DURATION)]
HoldFor = Annotated[
    Annotated[float, Field(ge=0, le=LONGEST_S)] | None,
    BeforeValidator(_hold_for),
    WithJsonSchema({**_DURATION, "description": "a duration, or forever"}),
]
Millicores = Annotated[
    int,
    BeforeValidator(_millicores),
    Field(ge=1, le=1_000_000),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "examples": ["500m", 1]}),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=128)]
Rate = Annotated[float, Field(ge=0, le=100_000)]


class Model(BaseModel):
    """Frozen, in camelCase outside, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_default=True)


class ResourceList(Model):
    """As in Kubernetes' `resources.requests` and `.limits`."""

    memory: Bytes | None = None
    cpu: Millicores | None = None


class Resources(Model):
    """As in Kubernetes. The memory limit becomes memory.max, the cpu limit cpu.max; the requests decide the QoS
    class and with it oom_score_adj.
    """

    requests: ResourceList = ResourceList()
    limits: ResourceList = ResourceList()

    @field_validator("limits")
    @classmethod
    def _startable(cls, limits: ResourceList) -> ResourceList:
        if limits.memory is not None and limits.memory < DOCKER_MINIMUM_BYTES:
            raise ValueError(
                f"a memory limit of {format_bytes(limits.memory)} is below the 6 MiB that Docker needs to start a "
                "container; raise it"
            )
        return limits

    @model_validator(mode="after")
    def _requests_fit(self) -> Self:
        for what in ("memory", "cpu"):
            request, limit = getattr(self.requests, what), getattr(self.limits, what)
            if request is not None and limit is not None and request > limit:
                raise ValueError(f"the {what} request is above the {what} limit; Kubernetes refuses that too")
        return self


class MemoryControls(Model):
    """The cgroup v2 memory files that Kubernetes' resources have no word for."""

    high: Limit = None
    low: Bytes = 0
    min: Bytes = 0
    swap_max: Limit = 0
    """0 is no swap, Kubernetes' default; `max` is as much as there is."""
    oom_group: bool = True
    """Kill the whole container at an OOM, as the kubelet asks for since 1.28 on cgroup v2."""


class ContainerSpec(Model):
    """What every container of the pod has."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """Any image that the engine has already; ours if not given."""
    command: tuple[str, ...] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    resources: Resources = Resources()
    memory: MemoryControls = MemoryControls()


class QueueProxySpec(ContainerSpec):
    """The queue-proxy container."""


class FileSpec(Model):
    """A file in the app's volume, made before the run and not in the page cache when it begins."""

    name: FileName
    size: Bytes


class AppSpec(ContainerSpec):
    """The app container (Knative: user-container)."""

    port: Annotated[int, Field(ge=1, le=65535)] = USER_PORT
    files: tuple[FileSpec, ...] = ()


class BackOff(Model):
    """The kubelet's back-off between restarts: doubling, capped, reset after a container ran long enough."""

    initial: Seconds = 10.0
    max: Seconds = 300.0
    reset_after: Seconds = 600.0
    scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """All three times this: 0.1 shows in a minute what takes ten."""


class PodMemory(Model):
    """The pod cgroup's own limits, above those of its containers."""

    max: Limit = None
    swap_max: Limit = None


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class PodSpec(Model):
    """One pod: a queue-proxy and an app in a pod cgroup."""

    container_concurrency: Annotated[int, Field(ge=0, le=1000)] = 0
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    response_start_timeout_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    idle_timeout_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    restart_policy: RestartPolicy = "Always"
    back_off: BackOff = BackOff()
    memory: PodMemory = PodMemory()
    queue_proxy: QueueProxySpec = QueueProxySpec()
    app: AppSpec = AppSpec()
    ready_timeout: Seconds = 60.0
    """How long to wait for the pod to be ready before the load begins all the same."""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 2

    @model_validator(mode="after")
    def _files_once(self) -> Self:
        _unique((entry.name for entry in self.app.files), "pod.app.files has two files named")
        return self


class WorkSpec(Model):
    """What a request asks of our app; everything combines (`emu.messages.Work`)."""

    body: Literal["read", "slow", "ignore"] = "read"
    body_rate: Bytes = 64 * 1024
    read_file: FileName | None = None
    write_file: FileName | None = None
    write_bytes: Bytes = 0
    hold: Bytes = 0
    hold_for: HoldFor = 0.0
    child: bool = False
    cpu: Seconds = 0.0
    sleep: Seconds = 0.0
    answer: Bytes = 2
    status: Annotated[int, Field(ge=200, le=599)] = 200
    exit: Annotated[int, Field(ge=0, le=255)] | None = None

    def to_work(self) -> Work:
        """The same, as it travels."""
        return Work(**self.model_dump())


class RequestModel(Model):
    """One kind of request."""

    method: Literal["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"] | None = None
    """GET without a body, POST with one, unless said."""
    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=4096)] | None = None
    """For an app of your own; ours takes `do`."""
    do: WorkSpec | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: Bytes = 0
    send_rate: Bytes | None = None
    """A slow sender: bytes of body per second."""
    timeout: Seconds | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.path is not None and self.do is not None:
            raise ValueError("a request has either `path` (your own app) or `do` (ours), not both")
        for name, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
                raise ValueError(f"header {name!r} is not a valid HTTP header")
        return self


PhaseType = Literal["constant", "poisson", "ramp", "steps", "burst", "closed"]
_NEEDS: dict[str, tuple[str, ...]] = {
    "constant": ("rate",),
    "poisson": ("rate",),
    "ramp": ("rate_to",),
    "steps": ("rates",),
    "burst": ("size",),
    "closed": ("clients",),
}
_TAKES: dict[str, tuple[str, ...]] = {**_NEEDS, "ramp": ("rate", "rate_to"), "burst": ("size", "rate")}
_SHAPE = ("rate", "rate_to", "rates", "size", "clients")


class PhaseModel(Model):
    """Requests of one kind, for a while."""

    name: Name
    type: PhaseType
    duration: Annotated[Seconds, Field(gt=0)]
    start: Seconds | None = None
    """Seconds after the load began; when the phase before it ends, unless said."""
    rate: Rate = 0.0
    """Requests per second; for a burst, bursts per second (0: one burst); for a ramp, its first rate."""
    rate_to: Rate = 0.0
    rates: tuple[Rate, ...] = ()
    size: Annotated[int, Field(ge=0, le=100_000)] = 0
    clients: Annotated[int, Field(ge=0, le=20_000)] = 0
    think: Seconds = 0.0
    count: Annotated[int, Field(ge=1, le=MOST_REQUESTS)] | None = None
    keep_alive: bool = True
    request: RequestModel = RequestModel()

    @model_validator(mode="after")
    def _shape(self) -> Self:
        for key in _NEEDS[self.type]:
            if not getattr(self, key):
                raise ValueError(f"a phase of type {self.type} needs `{to_camel(key)}`, above 0")
        for key in _SHAPE:
            if getattr(self, key) and key not in _TAKES[self.type]:
                raise ValueError(f"a phase of type {self.type} has no `{to_camel(key)}`")
        most = max((self.rate, self.rate_to, *self.rates)) * self.duration * max(self.size, 1)
        if most > MOST_REQUESTS and self.count is None:
            raise ValueError(f"{most:.0f} requests are more than the {MOST_REQUESTS} that one run records")
        return self


class LoadModel(Model):
    """The traffic."""

    phases: tuple[PhaseModel, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 1
    drain: Seconds = 5.0
    """How long after the last phase answers are waited for."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _unique((phase.name for phase in self.phases), "two phases are named")
        return self


class NodeSpec(Model):
    """The machine under the pod."""

    image_cache: Literal["warm", "cold"] = "warm"
    """warm: the images' files are in the page cache, charged to nobody's limit, as on a node where the same image
    ran before; cold: the containers read their executables from the disk and pay for the pages themselves.
    """


class SandboxSpec(Model):
    """The size of our own kernel, where the run is in the sandbox; on a host the host is as it is."""

    memory: Annotated[Bytes, Field(ge=512 * MIB)] = 3 * 1024 * MIB
    swap: Bytes = 2 * 1024 * MIB


class RecorderSpec(Model):
    """How closely to look."""

    interval: Annotated[Seconds, Field(ge=0.001, le=10)] = 0.01


class ScenarioSpec(Model):
    """One question, asked of a real kernel, with the answer that is expected."""

    name: Name
    question: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    pod: PodSpec = PodSpec()
    load: LoadModel = LoadModel()
    node: NodeSpec = NodeSpec()
    sandbox: SandboxSpec = SandboxSpec()
    recorder: RecorderSpec = RecorderSpec()
    expect: dict[str, str] = Field(default_factory=dict)

    @field_validator("expect", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _expected(text) for key, text in value.items()}
        return value

    @model_validator(mode="after")
    def _files_are_made(self) -> Self:
        if self.pod.app.image is not None:
            return self
        known = {entry.name for entry in self.pod.app.files}
        work = [(phase.name, phase.request.do) for phase in self.load.phases if phase.request.do is not None]
        known |= {do.write_file for _, do in work if do.write_file is not None}
        for phase, do in work:
            if do.read_file is not None and do.read_file not in known:
                raise ValueError(
                    f"phase {phase} reads the file {do.read_file!r}, which nothing makes; add it to pod.app.files"
                )
        return self


def _expected(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
