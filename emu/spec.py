"""What a scenario may say: frozen models, checked when made. `emu.scenario` reads them from YAML.

Names are Kubernetes' and Knative's where they have one (containerConcurrency, timeoutSeconds, resources,
restartPolicy) and the kernel's where the kernel has one (memory.high is `memory: {high: …}`). Sizes are bytes,
durations seconds once read; no limit ("max") is None. The docstring below a field is its text in
docs/scenario-file.md and in editors; `model_dump(mode="json", by_alias=True)` gives what may be read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.messages import FOREVER, USER_PORT, Work
from emu.policy.footprint import Profile, ProfileError
from emu.policy.prefetching import NEEDS_RECLAIM, NONE, TOUCHED, read_prefetch
from emu.policy.probing import KINDS, Kind, ProbeRule
from emu.policy.reclaiming import ALL, read_amount
from emu.policy.starts import FROZEN, TEMPERATURES, WARM_SWAP, Temperature
from emu.units import format_bytes, parse_bytes, parse_seconds

MIB = 2**20
DOCKER_MINIMUM_BYTES = 6 * MIB
"""Docker refuses a smaller memory limit (moby daemon: "Minimum memory limit allowed is 6MB")."""
QUEUE_PROXY_PORTS = (8008, 8012, 8013, 8022, 8112, 9090, 9091)
"""What queue-proxy opens, or may (pkg/networking/constants.go)."""
OWN_FOOTPRINT = "own"
"""The footprint of our queue-proxy as it is."""
NO_LIMIT = "max"
"""The kernel's word in memory.max and its kin."""
LARGEST_BYTES = 2**46
"""64 TiB: a size above this is taken for a slip."""
LONGEST_S = 24 * 3600.0
MOST_REQUESTS = 5_000_000

LEAST_MILLICORES = 10
"""The kernel's shortest cpu.max quota is 1 ms in each 100 ms."""

_HEADER_NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
_HEADER_VALUE = r"^[\t -~]*$"
_SIZE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["64Mi", "1.5Gi", 4096]}
_DURATION = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}], "examples": ["250ms", "10s", "1m30s"]}

_SHARE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": [ALL, "50%", "64Mi"]}

_PREFETCH = {**_SHARE, "examples": [TOUCHED, ALL, "25%", "16Mi", NONE]}

_EXPECT = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
    "examples": [{"containers.queue-proxy.oom_kills": ">= 1"}],
}


_VARIANTS = {
    "type": "object",
    "additionalProperties": {"type": ["object", "null"]},
    "examples": [{"small": {"pod.app.resources.limits.memory": "64Mi"}, "large": None}],
}
LONGEST_NAME = 63
"""As of a Kubernetes object's label."""


class SpecError(ValueError):
    """A value that a model refuses. `at` leads from that model to it, by the names in the file; `why` and `fix`
    are as in EmuError.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__("; ".join(part for part in (what, why, fix) if part))
        self.what = what
        self.why = why
        self.fix = fix
        self.at = at


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise SpecError(f"{str(value).lower()} is not a number", fix="write a number")
    return value


def _limit(value: Any) -> Any:
    return None if value is None or value == NO_LIMIT else parse_bytes(value)


def _hold_for(value: Any) -> Any:
    return None if value is None or value == FOREVER else parse_seconds(value)


def _millicores(value: Any) -> int:
    match = (
        None if isinstance(value, bool) else re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(m?)", str(value).strip())
    )
    if match is None:
        raise SpecError(f"{value!r} is not an amount of CPU", fix="write cores (0.5) or millicores (500m)")
    return round(float(match[1]) * (1 if match[2] else 1000))


def _whole(value: float) -> float:
    if value != round(value):
        raise SpecError(f"{value:g} s are no whole seconds", why="Knative takes whole seconds here", fix="round it")
    return value


def _footprint(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict):
        raise SpecError(f"{value!r} is not a footprint", fix="write own, knative-1.23, or a file that there is")
    try:
        return Profile.from_data(value).to_data()
    except ProfileError as error:
        raise SpecError(str(error), fix="see profiles/knative-1.23.yaml") from None


def _startable(value: int | None, *at: str) -> int | None:
    if value is not None and value < DOCKER_MINIMUM_BYTES:
        raise SpecError(
            f"a memory limit of {format_bytes(value)} is too small to start a container in",
            why="Docker refuses a limit below 6 MiB",
            fix="raise it to 6Mi or more",
            at=at,
        )
    return value


def _unique(names: Iterable[str], complaint: str, where: tuple[str, ...]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise SpecError(
                f"{complaint} {name!r}",
                why=f"{where[-1]}.{seen[name]} and {where[-1]}.{index} could not be told apart",
                fix="give one of them another name",
                at=(*where, index, "name"),
            )
        seen[name] = index


def _and(names: Iterable[str]) -> str:
    return " and ".join(f"`{to_camel(name)}`" for name in names)


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0, le=LARGEST_BYTES), WithJsonSchema(_SIZE)]
Limit = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST_BYTES)] | None,
    BeforeValidator(_limit),
    PlainSerializer(lambda value: NO_LIMIT if value is None else value, when_used="json"),
    WithJsonSchema({**_SIZE, "examples": ["64Mi", NO_LIMIT]}),
]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0, le=LONGEST_S), WithJsonSchema(_DURATION)]
HoldFor = Annotated[
    Annotated[float, Field(ge=0, le=LONGEST_S)] | None,
    BeforeValidator(_hold_for),
    PlainSerializer(lambda value: FOREVER if value is None else value, when_used="json"),
    WithJsonSchema({**_DURATION, "examples": ["10s", FOREVER]}),
]
Millicores = Annotated[
    int,
    BeforeValidator(_millicores),
    Field(ge=1, le=1_000_000),
    PlainSerializer(lambda value: f"{value}m", when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "examples": ["500m", 1]}),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=LONGEST_NAME)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=128)]
Footprint = Annotated[
    str | dict[str, Any],
    BeforeValidator(_footprint),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}], "examples": ["own", "knative-1.23"]}),
]
Whole = Annotated[int, BeforeValidator(_number)]
Rate = Annotated[float, BeforeValidator(_number), Field(ge=0, le=100_000, allow_inf_nan=False)]


class Model(BaseModel):
    """Frozen, in camelCase outside, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class ResourceList(Model):
    """As in Kubernetes' `resources.requests` and `.limits`."""

    memory: Bytes | None = None
    """As a limit: memory.max, at least 6Mi. As a request: oom_score_adj follows from it."""
    cpu: Millicores | None = None
    """As a limit: cpu.max, at least 10m. As a request: cpu.weight."""


class Resources(Model):
    """As in Kubernetes: the limits become memory.max and cpu.max; the requests decide the QoS class and with it
    oom_score_adj.
    """

    requests: ResourceList = ResourceList()
    """What the container asks for."""
    limits: ResourceList = ResourceList()
    """What it may not exceed."""

    @model_validator(mode="after")
    def _limits_start(self) -> Self:
        _startable(self.limits.memory, "limits", "memory")
        if self.limits.cpu is not None and self.limits.cpu < LEAST_MILLICORES:
            raise SpecError(
                f"a cpu limit of {self.limits.cpu}m is too small",
                why="the kernel's shortest quota is 1 ms in each 100 ms",
                fix=f"raise it to {LEAST_MILLICORES}m or more",
                at=("limits", "cpu"),
            )
        return self

    @model_validator(mode="after")
    def _requests_fit(self) -> Self:
        for what in ("memory", "cpu"):
            request, limit = getattr(self.requests, what), getattr(self.limits, what)
            if request is not None and limit is not None and request > limit:
                raise SpecError(
                    f"the {what} request is above the {what} limit",
                    why="Kubernetes refuses that too",
                    fix="lower the request or raise the limit",
                    at=("requests", what),
                )
        return self


class MemoryControls(Model):
    """The cgroup v2 memory files that Kubernetes' resources have no word for."""

    high: Limit = None
    """memory.high: above it the container is throttled and its memory reclaimed, but nothing is killed."""
    low: Bytes = 0
    """memory.low: below it the container's memory is reclaimed only when there is nothing else to take."""
    min: Bytes = 0
    """memory.min: below it the container's memory is never reclaimed."""
    swap_max: Limit = 0
    """memory.swap.max: 0 is no swap, Kubernetes' default; `max` is as much as there is."""
    oom_group: bool = True
    """memory.oom.group: kill the whole container at an OOM, as the kubelet asks for since 1.28 on cgroup v2."""


Port = Annotated[Whole, Field(ge=1, le=65535)]
Command = Annotated[tuple[str, ...], Field(min_length=1)]


class HeaderSpec(Model):
    """A header of a probe."""

    name: Annotated[str, StringConstraints(pattern=_HEADER_NAME)]
    """Its name; Host stands in for the pod's address."""
    value: Annotated[str, StringConstraints(pattern=_HEADER_VALUE)]
    """Its value."""


class HttpGetSpec(Model):
    """An HTTP GET, as a kubelet sends it."""

    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=4096)] = "/"
    """What to ask for."""
    port: Port | None = None
    """Where; the container's own port if not given."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Whom to connect to; the pod's address if not given."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS does not check the certificate."""
    http_headers: tuple[HeaderSpec, ...] = ()
    """Headers of your own."""


class TcpSocketSpec(Model):
    """A TCP connection, opened and closed."""

    port: Port | None = None
    """Where; the container's own port if not given."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Whom to connect to; the pod's address if not given."""


class ExecSpec(Model):
    """A command in the container: 0 is success. Its memory is charged to the container."""

    command: Command
    """The program and its arguments; no shell unless it is one."""


class SleepSpec(Model):
    """A pause."""

    seconds: Annotated[Whole, Field(ge=1, le=3600)]
    """How long."""


def _one_of(model: Model, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise SpecError(
            f"{'no handler' if not given else 'more than one handler'}",
            why=f"there must be exactly one of {_and(names)}" + (f"; given: {_and(given)}" if given else ""),
            fix="keep one of them" if given else "add one",
            at=(to_camel(given[1]),) if given else (),
        )


class ProbeSpec(Model):
    """A probe in Kubernetes' shape, with its defaults. One of httpGet, tcpSocket and exec says how to ask."""

    http_get: HttpGetSpec | None = None
    """A status from 200 to 399 is success."""
    tcp_socket: TcpSocketSpec | None = None
    """A connection is success."""
    exec: ExecSpec | None = None
    """Exit code 0 is success."""
    initial_delay_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """From the container's start to the first probe."""
    period_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 10
    """From one to the next."""
    timeout_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 1
    """No answer by then is a failure."""
    success_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Successes in a row that count; 1 for liveness and startup."""
    failure_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Failures in a row that count."""
    termination_grace_period_seconds: Annotated[Whole, Field(ge=1, le=3600)] | None = None
    """From SIGTERM to SIGKILL when the container is killed for this probe; the pod's if not given."""

    @model_validator(mode="after")
    def _asks_in_one_way(self) -> Self:
        _one_of(self, ("http_get", "tcp_socket", "exec"))
        return self

    @property
    def handler(self) -> HttpGetSpec | TcpSocketSpec | ExecSpec:
        """How it asks."""
        found = self.http_get or self.tcp_socket or self.exec
        assert found is not None
        return found

    @property
    def rule(self) -> ProbeRule:
        """When it asks and what counts."""
        return ProbeRule(
            self.initial_delay_seconds, self.period_seconds, self.success_threshold, self.failure_threshold
        )


class PreStopSpec(Model):
    """What a container does before it gets SIGTERM; the grace period runs meanwhile. One of exec, httpGet, sleep."""

    exec: ExecSpec | None = None
    """A command in the container."""
    http_get: HttpGetSpec | None = None
    """A GET; whatever status it gets will do."""
    sleep: SleepSpec | None = None
    """Only wait."""

    @model_validator(mode="after")
    def _acts_in_one_way(self) -> Self:
        _one_of(self, ("exec", "http_get", "sleep"))
        return self

    @property
    def handler(self) -> ExecSpec | HttpGetSpec | SleepSpec:
        """What it does."""
        found = self.exec or self.http_get or self.sleep
        assert found is not None
        return found


class LifecycleSpec(Model):
    """What happens at turns of a container's life. Not run when it ends by itself or the run is over."""

    pre_stop: PreStopSpec | None = None
    """Before SIGTERM. The app's waits for queue-proxy's drain, as Knative has it, if not given."""


class ContainerSpec(Model):
    """What every container of the pod has."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """Any image that the engine has already; ours if not given."""
    command: tuple[str, ...] | None = None
    """The program and its arguments; the image's own if not given."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables. Text: quote numbers."""
    resources: Resources = Resources()
    """Requests and limits, as in Kubernetes."""
    memory: MemoryControls = MemoryControls()
    """The kernel's other memory files."""
    startup_probe: ProbeSpec | None = None
    """Until it succeeds the other two are not asked; if it fails the container is killed."""
    liveness_probe: ProbeSpec | None = None
    """If it fails the container is killed, and restarted by restartPolicy."""
    readiness_probe: ProbeSpec | None = None
    """If it fails the container is not READY. Nothing else follows: requests are sent to it all the same."""
    lifecycle: LifecycleSpec = LifecycleSpec()
    """Hooks."""

    @property
    def probes(self) -> dict[Kind, ProbeSpec]:
        """The probes that it has, by kind."""
        found = zip(KINDS, (self.startup_probe, self.liveness_probe, self.readiness_probe), strict=True)
        return {kind: probe for kind, probe in found if probe is not None}

    @model_validator(mode="after")
    def _probes_fit(self) -> Self:
        for kind, probe in self.probes.items():
            if kind != "readiness" and probe.success_threshold != 1:
                raise SpecError(
                    f"a {kind} probe succeeds with the first success",
                    why="Kubernetes allows no other successThreshold than 1 there",
                    fix="remove successThreshold",
                    at=(f"{kind}Probe", "successThreshold"),
                )
            if kind == "readiness" and probe.termination_grace_period_seconds is not None:
                raise SpecError(
                    "a readiness probe ends nothing",
                    why="Kubernetes allows terminationGracePeriodSeconds in liveness and startup probes only",
                    fix="remove it",
                    at=("readinessProbe", "terminationGracePeriodSeconds"),
                )
        return self

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if self.command is not None and not (self.command and self.command[0]):
            raise SpecError("`command` names no program", fix="remove it, or give a program", at=("command",))
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_][-A-Za-z0-9_.]*", name):
                raise SpecError(
                    f"{name!r} cannot be the name of an environment variable",
                    why="a name is letters, digits and _, and begins with no digit",
                    fix="rename it",
                    at=("env", name),
                )
        return self


class QueueProxySpec(ContainerSpec):
    """The queue-proxy container. With `image` or `command` it is one of your own, Knative's for instance, with the
    environment that the controller would give it.
    """

    footprint: Footprint = OWN_FOOTPRINT
    """What our queue-proxy weighs: `own` is what our process needs; `knative-1.23` is what Knative's needs, as real
    anonymous memory and executable pages; or a file that `emu calibrate` wrote.
    """

    @model_validator(mode="after")
    def _weighs_what_it_can(self) -> Self:
        if self.footprint != OWN_FOOTPRINT and (self.image is not None or self.command is not None):
            raise SpecError(
                "a queue-proxy of your own weighs what it weighs",
                why="a footprint makes our own queue-proxy weigh as much as another",
                fix="remove `footprint`, or `image` and `command`",
                at=("footprint",),
            )
        return self


class SidecarSpec(ContainerSpec):
    """A further container, such as a service mesh's proxy; with neither `image` nor `command` a stand-in of ours."""

    name: Name
    """What results call it."""
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    """Where it listens once it is ready; ready as soon as it runs if not given. Our image gets it as PORT."""
    hold: Bytes = 0
    """Anonymous memory that our stand-in holds beside its own 11 MiB. Not with `image` or `command`."""
    start: Seconds = 0.0
    """How long our stand-in takes until it holds it and listens. Not with `image` or `command`."""

    @property
    def is_stand_in(self) -> bool:
        """Whether it is ours, which only holds memory and listens."""
        return self.image is None and self.command is None

    @model_validator(mode="after")
    def _holds_if_ours(self) -> Self:
        for name in ("hold", "start"):
            if getattr(self, name) and not self.is_stand_in:
                raise SpecError(
                    f"`{name}` is what our stand-in does",
                    why="with `image` or `command` the sidecar is a program of yours",
                    fix=f"remove `{name}`, or `image` and `command`",
                    at=(name,),
                )
        return self

    @model_validator(mode="after")
    def _is_none_of_ours(self) -> Self:
        if self.name in ("queue-proxy", "app", "sandbox", "pod", "host"):
            raise SpecError(
                f"a sidecar cannot be called {self.name!r}",
                why="results call something else that",
                fix="give it another name",
                at=("name",),
            )
        return self


class FileSpec(Model):
    """A file in the app's volume, made before the run and not in the page cache when it begins."""

    name: FileName
    """What `readFile` calls it: letters, digits, `-`, `_` and `.`, no folders."""
    size: Bytes
    """Its size; there must be disk for it."""


class AppSpec(ContainerSpec):
    """The app container (Knative: user-container)."""

    port: Annotated[Whole, Field(ge=1, le=65535)] = USER_PORT
    """Where it listens for HTTP/1.1."""
    files: tuple[FileSpec, ...] = ()
    """Files in its volume on a real block device, made before the run, none of them in the page cache."""


class BackOff(Model):
    """The kubelet's back-off between restarts: doubling, capped, reset after a container ran long enough."""

    initial: Seconds = 10.0
    """The wait before the second restart; the first is at once."""
    max: Seconds = 300.0
    """The longest wait."""
    reset_after: Seconds = 600.0
    """A container that ran this long begins anew."""
    scale: Annotated[float, BeforeValidator(_number), Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """All three times this: 0.1 shows in a minute what takes ten."""


class PodMemory(Model):
    """The pod cgroup's own limits, above those of its containers."""

    max: Limit = None
    """memory.max of the pod, at least 6Mi. `max`: the sum of the containers' limits if each has one, as in
    Kubernetes, else no limit.
    """
    swap_max: Limit = None
    """memory.swap.max of the pod; no limit if not given."""

    @field_validator("max")
    @classmethod
    def _max_starts(cls, value: int | None) -> int | None:
        return _startable(value)


class ReclaimSpec(Model):
    """Memory that a frozen container is asked to give back, through memory.reclaim: page cache is dropped, anonymous
    memory goes to swap as far as `memory.swapMax` and the machine have room.
    """

    amount: Annotated[str, BeforeValidator(read_amount), WithJsonSchema(_SHARE)] = ALL
    """`all`, a size, or a share of what each container holds then (`50%`)."""
    after: Seconds = 0.0
    """How long the pod has been frozen then."""


class FreezerSpec(Model):
    """A freezer daemon beside the pod: it pauses all containers but queue-proxy when no request is under way, and
    resumes them when one comes, as Knative's container-freezer did.
    """

    method: Literal["docker", "cgroup"] = "docker"
    """docker: the engine's pause, so that `docker ps` says Paused; cgroup: cgroup.freeze written directly, faster."""
    mode: Literal["own", "knative"] = "own"
    """own: pauses only an app that was ready, after `grace`, and says what failed; knative: as Serving 1.1 to 1.9,
    the app frozen from the start, no grace, its readiness never asked, and 200 for a pause that failed.
    """
    grace: Seconds | None = None
    """From the last response to the pause; 1 s if not given, 0 with `mode: knative`."""
    patience: Seconds = 10.0
    """A request that waits this long for the app to be resumed is answered 503."""
    reclaim: tuple[ReclaimSpec, ...] = ()
    """Steps in which frozen memory is reclaimed; none if not given."""
    prefetch: Annotated[str, BeforeValidator(read_prefetch), WithJsonSchema(_PREFETCH)] = NONE
    """Read back from swap before a resume: `touched`, what the last wake touched; `all`, a size or a share (`25%`),
    that first and then more; `none`.
    """

    @model_validator(mode="after")
    def _prefetches_what_was_reclaimed(self) -> Self:
        if self.prefetch != NONE and not self.reclaim:
            raise SpecError(
                "there is nothing to read ahead",
                why=NEEDS_RECLAIM,
                fix="add `reclaim: [{amount: all, after: 5s}]`, or leave out `prefetch`",
                at=("prefetch",),
            )
        return self


WholeSeconds = Annotated[Seconds, AfterValidator(_whole)]


class AutoscalingSpec(Model):
    """Scale to zero, by the rules of Knative's autoscaler for one pod (min-scale 0, max-scale 1). An activator stands
    in front of the pod: it holds the requests that come while there is none, and forwards them once there is. Given,
    even as `{}`, this is on; without it the pod stays as long as the run.
    """

    enable_scale_to_zero: bool = True
    """Knative's enable-scale-to-zero. false: the activator is in front of the pod, and the pod stays."""
    window: Annotated[WholeSeconds, Field(ge=6, le=3600)] = 60.0
    """Knative's stable window, from 6s to 1h: the pod is idle when no request was under way for so long."""
    scale_down_delay: Annotated[WholeSeconds, Field(le=3600)] = 0.0
    """Knative: idle for so long besides, up to 1h, before that counts."""
    scale_to_zero_pod_retention_period: Annotated[Seconds, Field(le=3600)] = 0.0
    """Knative: an idle pod is kept for so long besides, up to 1h."""
    scale_to_zero_grace_period: Annotated[Seconds, Field(gt=0)] = 30.0
    """Knative: the activator must have been in the path for so long. It is from the pod's first start on, so that
    this matters at the beginning of a run only.
    """


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class PodSpec(Model):
    """One pod: a queue-proxy and an app in a pod cgroup."""

    runtime: Literal["docker", "process"] = "docker"
    """What runs its containers. docker: a Docker engine. process: the same programs as plain processes in the same
    cgroups, with a network, mounts and limits of their own; needs no Docker, knows no other image than ours.
    """
    container_concurrency: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """Knative: requests in the app at a time. As many times ten wait, the rest get 503. 0 is no limit at all."""
    timeout_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 300
    """Knative: a request not answered by then gets 504."""
    response_start_timeout_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """Knative: the app must have begun its answer by then; 0 is off."""
    idle_timeout_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """Knative: the longest the app may send nothing; 0 is off."""
    restart_policy: RestartPolicy = "Always"
    """Kubernetes: whether a container that ended is started again. Knative pods always have Always."""
    back_off: BackOff = BackOff()
    """How long the kubelet waits between restarts."""
    memory: PodMemory = PodMemory()
    """The pod cgroup's own limits."""
    queue_proxy: QueueProxySpec = QueueProxySpec()
    """The queue-proxy container: every request passes through it."""
    app: AppSpec = AppSpec()
    """The app container."""
    sidecars: tuple[SidecarSpec, ...] = ()
    """Further containers, each with its own limits."""
    freezer: FreezerSpec | None = None
    """Freeze the pod while no request is under way; never if not given."""
    autoscaling: AutoscalingSpec | None = None
    """Remove the pod when nobody asks for anything, and make it anew for the next request; never if not given."""
    ready_timeout: Seconds = 60.0
    """How long to wait for the pod to be ready before the load begins all the same."""
    termination_grace_period_seconds: Annotated[Whole, Field(ge=0, le=3600)] | None = None
    """Seconds from SIGTERM to SIGKILL, preStop hook included, at least 2. If not given: `timeoutSeconds`, as Knative
    sets it, and 2 when the run is over: what was asked has been answered then.
    """
    stop_after: Seconds | None = None
    """Tell the pod to end so long after the load began, as the kubelet does: each container's preStop hook, SIGTERM,
    and SIGKILL after the grace period. The app's hook waits for queue-proxy's drain. At the end of the run if not
    given, and without hooks then.
    """

    @model_validator(mode="after")
    def _files_once(self) -> Self:
        _unique((entry.name for entry in self.app.files), "two files have the name", ("app", "files"))
        return self

    @model_validator(mode="after")
    def _sidecars_fit(self) -> Self:
        _unique((entry.name for entry in self.sidecars), "two sidecars have the name", ("sidecars",))
        taken = {self.app.port: "the app"} | dict.fromkeys(QUEUE_PROXY_PORTS, "queue-proxy")
        for index, entry in enumerate(self.sidecars):
            if entry.port is None:
                continue
            if entry.port in taken:
                raise SpecError(
                    f"port {entry.port} is taken",
                    why=f"{taken[entry.port]} listens there, and a pod's containers share one network",
                    fix="give it another port",
                    at=("sidecars", index, "port"),
                )
            taken[entry.port] = entry.name
        return self

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.autoscaling is not None and self.stop_after is not None:
            raise SpecError(
                "a pod that is told to end for good is not scaled",
                why="`stopAfter` ends it under load, and `autoscaling` would make it anew for the next request",
                fix="remove one of them",
                at=("stopAfter",),
            )
        return self

    @model_validator(mode="after")
    def _runtime_can(self) -> Self:
        if self.runtime == "docker":
            return self
        sidecars = [(("sidecars", index), entry) for index, entry in enumerate(self.sidecars)]
        placed: list[tuple[tuple[str | int, ...], ContainerSpec]]
        placed = [(("queueProxy",), self.queue_proxy), (("app",), self.app), *sidecars]
        for at, container in placed:
            if container.image is not None:
                raise SpecError(
                    f"the image {container.image!r} needs Docker",
                    why="with `runtime: process` a container runs a program of our own images, or none",
                    fix="remove `image`, or take `runtime: docker`",
                    at=(*at, "image"),
                )
        if self.freezer is not None and self.freezer.method == "docker":
            raise SpecError(
                "Docker cannot pause what it does not run",
                why="with `runtime: process` there is no engine, and the freezer's method is docker unless said",
                fix="add `method: cgroup` to pod.freezer, or take `runtime: docker`",
                at=("freezer", "method"),
            )
        return self

    @model_validator(mode="after")
    def _probes_have_ports(self) -> Self:
        for index, entry in enumerate(self.sidecars):
            for kind, probe in entry.probes.items():
                way = "httpGet" if probe.http_get else "tcpSocket"
                if entry.port is None and not isinstance(probe.handler, ExecSpec) and probe.handler.port is None:
                    raise SpecError(
                        f"the {kind} probe has no port",
                        why=f"the sidecar {entry.name} has none either",
                        fix="give it one",
                        at=("sidecars", index, f"{kind}Probe", way),
                    )
        return self

    @property
    def grace_s(self) -> int:
        """Seconds from SIGTERM to SIGKILL while the run goes on."""
        given = self.termination_grace_period_seconds
        return self.timeout_seconds if given is None else given

    @property
    def containers(self) -> dict[str, ContainerSpec]:
        """Every container by its name, in the order in which they are started."""
        return {"queue-proxy": self.queue_proxy, "app": self.app, **{one.name: one for one in self.sidecars}}


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
            if not re.fullmatch(_HEADER_NAME, name) or not re.fullmatch(_HEADER_VALUE, value):
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
                why=f"its shape is given by {_and(takes)}",
                fix="raise it" if given else f"add `{to_camel(need)}:`",
                at=(to_camel(need) if given else "type",),
            )
        for key in _SHAPE:
            if getattr(self, key) and key not in takes:
                raise SpecError(
                    f"a phase of type {self.type} has no `{to_camel(key)}`",
                    why=f"its shape is given by {_and(takes)}",
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
        _unique((phase.name for phase in self.phases), "two phases have the name", ("phases",))
        return self


class StartsSpec(Model):
    """Measure how long a request waits for its answer from each temperature of the pod, instead of a load."""

    temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1)] = TEMPERATURES
    """cold: the app's image is not there, and is loaded from an archive on this machine; warm-disk: it is, none of it
    in the page cache; warm-page-cache: in the page cache too; created: its container is made and not started;
    warm-swap: frozen, its memory reclaimed; warm-memory: frozen; warm-cpu: running.
    """
    trials: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Of each temperature. A round has one of each."""
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] = 1
    """Of the order within each round; the same seed gives the same order."""
    request: RequestModel = RequestModel()
    """What is asked each time, of a pod that starts and of one that runs."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.request.websocket is not None:
            raise SpecError(
                "a start is measured to the first byte of a plain answer",
                fix="remove `websocket`",
                at=("request", "websocket"),
            )
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
    """The memory of the whole machine."""
    swap: Bytes = 2 * 1024 * MIB
    """Its swap device."""


class RecorderSpec(Model):
    """How closely to look."""

    interval: Annotated[Seconds, Field(ge=0.001, le=10)] = 0.01
    """Between two samples of every cgroup."""


def _changes(value: Any) -> Any:
    return {} if value is None else value


Changes = Annotated[dict[str, Any], BeforeValidator(_changes)]


class ScenarioSpec(Model):
    """One question, asked of a real kernel, with the answer that is expected."""

    name: Name
    """Lower-case letters, digits and `-`; the run directory is named after it."""
    question: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """What the run shall answer, in a sentence."""
    pod: PodSpec = PodSpec()
    """What runs."""
    load: LoadModel = LoadModel()
    """What is sent to it."""
    starts: StartsSpec | None = None
    """Start it again and again, from each temperature; not at all if not given."""
    node: NodeSpec = NodeSpec()
    """The machine that it runs on."""
    sandbox: SandboxSpec = SandboxSpec()
    """The size of the machine, where it is our own."""
    recorder: RecorderSpec = RecorderSpec()
    """How closely the run is watched."""
    expect: Annotated[dict[str, str], WithJsonSchema(_EXPECT)] = Field(default_factory=dict)
    """The answer: comparisons on names of summary.json. `emu run` exits with 1 if one of them does not hold."""
    variants: Annotated[dict[Name, Changes], WithJsonSchema(_VARIANTS)] = Field(default_factory=dict)
    """The same played several times in one run, to be compared: under each name the keys that it changes, as
    `PATH: VALUE` with the paths of `--set`.
    """

    @field_validator("expect", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: _expected(text) for key, text in value.items()}
        return value

    @model_validator(mode="after")
    def _variants_have_names(self) -> Self:
        for variant in self.variants:
            if len(f"{self.name}-{variant}") > LONGEST_NAME:
                raise SpecError(
                    f"{variant!r} is too long for a variant of {self.name!r}",
                    why=f"its run is called {self.name}-{variant}, and a name has at most {LONGEST_NAME} characters",
                    fix="shorten one of them",
                    at=("variants", variant),
                )
        return self

    @model_validator(mode="after")
    def _starts_have_what_they_need(self) -> Self:
        if self.starts is None:
            return self
        if self.load.phases:
            raise SpecError(
                "a scenario has either `starts` or `load`, not both",
                why="a start is measured on a pod that nothing else is asked of",
                fix="remove one of them",
                at=("load", "phases"),
            )
        if self.pod.autoscaling is not None:
            raise SpecError(
                "a pod whose starts are measured is not scaled",
                why="`starts` makes and removes the pod at its own times",
                fix="remove one of them",
                at=("pod", "autoscaling"),
            )
        for temperature in (one for one in self.starts.temperatures if one in FROZEN):
            self._can_be_frozen(temperature)
        return self

    def _can_be_frozen(self, temperature: str) -> None:
        freezer = self.pod.freezer
        if freezer is None or freezer.mode != "own":
            raise SpecError(
                f"nothing makes the pod {temperature}",
                why="a pod is frozen by the freezer, in its own mode, and this one has none",
                fix="add `pod.freezer: {}`, or leave the temperature out",
                at=("starts", "temperatures"),
            )
        if freezer.reclaim:
            raise SpecError(
                "the freezer reclaims by itself what `starts` reclaims at its own times",
                why="warm-memory and warm-swap could not be told apart",
                fix="remove `reclaim`",
                at=("pod", "freezer", "reclaim"),
            )
        if temperature == WARM_SWAP and self.pod.app.memory.swap_max == 0:
            raise SpecError(
                "the app may not use swap, so it never is warm-swap",
                why="memory.swap.max is 0 unless said",
                fix="add `pod.app.memory: {swapMax: max}`, or leave the temperature out",
                at=("starts", "temperatures"),
            )

    @model_validator(mode="after")
    def _files_are_made(self) -> Self:
        if self.pod.app.image is not None:
            return self
        made = [entry.name for entry in self.pod.app.files]
        asked: list[tuple[tuple[str | int, ...], RequestModel]]
        asked = [(("load", "phases", index), phase.request) for index, phase in enumerate(self.load.phases)]
        asked += [] if self.starts is None else [(("starts",), self.starts.request)]
        work = [request.do or WorkSpec() for _, request in asked]
        made += [do.write_file for do in work if do.write_file is not None]
        for (at, _), do in zip(asked, work, strict=True):
            if do.read_file is not None and do.read_file not in made:
                raise SpecError(
                    f"nothing makes the file {do.read_file!r}",
                    why=f"files that there are: {', '.join(made) or 'none'}",
                    fix=f"add it to pod.app.files: {{name: {do.read_file}, size: …}}",
                    at=(*at, "request", "do", "readFile"),
                )
        return self


def _expected(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
