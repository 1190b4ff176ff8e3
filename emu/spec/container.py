"""A container: its resources and memory, what it runs, and what queue-proxy, the app and sidecars have besides."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from emu.messages import APP, QUEUE_PROXY, USER_PORT
from emu.messages.work import Work
from emu.policy.footprint import Profile, ProfileError
from emu.policy.probing import KINDS, Kind
from emu.spec.environment import Env, EnvFromSpec, wrong_names
from emu.spec.io import IoControls
from emu.spec.memory import MemoryControls
from emu.spec.probes import LifecycleSpec, ProbeSpec
from emu.spec.program import ProgramSpec, WorkingDir
from emu.spec.security import SecurityContextSpec
from emu.spec.values import (
    RESERVED,
    Bytes,
    FileName,
    FileRef,
    Millicores,
    Model,
    Name,
    Seconds,
    SpecError,
    Whole,
    masks,
    raise_each,
    startable,
    without,
)
from emu.spec.volumes import VolumeMountSpec
from emu.units import format_bytes

LEAST_MILLICORES = 10
"""The kernel's shortest cpu.max quota is 1 ms in each 100 ms."""
OWN_FOOTPRINT = "own"
"""The footprint of emu's queue-proxy as it is."""


def _footprint(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict):
        raise SpecError(
            f"{value!r} is not a footprint", fix="write own, knative-1.23, or the path of an existing file"
        )
    try:
        return Profile.from_data(value).to_data()
    except ProfileError as error:
        raise SpecError(str(error), fix="see profiles/knative-1.23.yaml") from None


Footprint = Annotated[
    str | dict[str, Any],
    BeforeValidator(_footprint),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}], "examples": ["own", "knative-1.23"]}),
]


class ResourceList(Model):
    """As in Kubernetes' `resources.requests` and `.limits`."""

    memory: Bytes | None = None
    """As a limit: memory.max, at least 6Mi. As a request: oom_score_adj follows from it."""
    cpu: Millicores | None = None
    """As a limit: cpu.max, at least 10m. As a request: cpu.weight, the container's own and its part of the pod's; the
    limit counts where no request is given.
    """


class Resources(Model):
    """As in Kubernetes: the limits become memory.max and cpu.max; the requests decide the QoS class and with it
    oom_score_adj.
    """

    requests: ResourceList = ResourceList()
    """The resources that the container reserves."""
    limits: ResourceList = ResourceList()
    """The resources that it may not exceed."""

    @model_validator(mode="after")
    def _limits_start(self) -> Self:
        startable(self.limits.memory, "limits", "memory")
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


class ContainerSpec(Model):
    """What every container of the pod has."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """Any image that the engine already has; default: emu's image."""
    command: tuple[str, ...] | None = None
    """The program and its arguments, as in Kubernetes: it replaces the image's entrypoint and drops the image's
    arguments. Default: the image's entrypoint.
    """
    args: tuple[str, ...] | None = None
    """Arguments, as in Kubernetes: they replace the image's arguments, and follow `command` if given."""
    env: Env = Field(default_factory=dict)
    """Environment variables. Values are text, so quote numbers, with `$(NAME)` filled in as Kubernetes does; or say
    where the value is: `secretKeyRef` or `configMapKeyRef: {name: …, key: …}`, `fieldRef: {fieldPath: …}`,
    `resourceFieldRef: {resource: …}`.
    """
    env_from: tuple[EnvFromSpec, ...] = ()
    """ConfigMaps and Secrets of the pod whose keys all become variables; `env` wins over them."""
    working_dir: WorkingDir | None = None
    """The folder that it starts in. Default: the image's. With Docker only."""
    security_context: SecurityContextSpec | None = None
    """Whom it runs as, and what it may do. Default: as the image and Docker have it."""
    resources: Resources = Resources()
    """Requests and limits, as in Kubernetes."""
    memory: MemoryControls = MemoryControls()
    """The kernel's other memory files."""
    io: IoControls = IoControls()
    """The kernel's io files."""
    startup_probe: ProbeSpec | None = None
    """The other two probes do not run until it succeeds; if it fails, the container is killed."""
    liveness_probe: ProbeSpec | None = None
    """If it fails, the container is killed, and restarted according to restartPolicy."""
    readiness_probe: ProbeSpec | None = None
    """If it fails, the container is not READY. It has no other effect: requests are still sent to it."""
    lifecycle: LifecycleSpec = LifecycleSpec()
    """Lifecycle hooks."""
    volume_mounts: tuple[VolumeMountSpec, ...] = ()
    """Volumes of the pod that it mounts."""

    @property
    def probes(self) -> dict[Kind, ProbeSpec]:
        """Its probes, by kind."""
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
    def _controls_fit(self) -> Self:
        limit = self.resources.limits.memory
        for name in ("high", "low", "min"):
            value = getattr(self.memory, name)
            if limit is not None and isinstance(value, int) and value > limit:
                raise SpecError(
                    f"memory.{name} of {format_bytes(value)} is above the memory limit of {format_bytes(limit)}",
                    why="the container can never hold that much: its limit is hit first",
                    fix="lower it, or raise resources.limits.memory",
                    at=("memory", name),
                )
        return self

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if self.command is not None and not (self.command and self.command[0]):
            raise SpecError("`command` names no program", fix="remove it, or give a program", at=("command",))
        if self.args is not None and self.command is None and self.image is None:
            raise SpecError(
                "`args` without a program",
                why="emu's images have no entrypoint, so the first argument would become the program",
                fix="add `command` or `image`",
                at=("args",),
            )
        raise_each([*masks(self.env, "env"), *wrong_names(self.env)])
        return self


class QueueProxySpec(ContainerSpec):
    """The queue-proxy container. With `image` or `command` you can run another one, for example Knative's; it gets
    the environment that the controller would set.
    """

    footprint: Footprint = OWN_FOOTPRINT
    """The memory use of emu's queue-proxy: `own`, that of its Python process; `knative-1.23`, that of Knative's, as
    real anonymous memory and executable pages; or a file written by `emu calibrate`.
    """

    @model_validator(mode="after")
    def _weighs_what_it_can(self) -> Self:
        if self.footprint != OWN_FOOTPRINT and (self.image is not None or self.command is not None):
            raise SpecError(
                "a footprint does not apply to your own queue-proxy",
                why="a footprint makes emu's queue-proxy use as much memory as another one",
                fix="remove `footprint`, or `image` and `command`",
                at=("footprint",),
            )
        return self


class SidecarSpec(ContainerSpec):
    """An additional container, such as a service mesh's proxy; without `image` and `command` it is emu's stand-in."""

    name: Name
    """Its name in results."""
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    """The port on which it listens once it is ready; without it, it is ready as soon as it runs. emu's image gets it
    as PORT.
    """
    hold: Bytes = 0
    """Anonymous memory that the stand-in holds, on top of its own 11 MiB. Not with `image` or `command`."""
    start: Seconds = 0.0
    """How long the stand-in takes until it holds that memory and listens. Not with `image` or `command`."""
    program: ProgramSpec | None = None
    """What a manifest has it run; `images` of the pod decides whether the stand-in does instead. Default: nothing."""

    @property
    def is_stand_in(self) -> bool:
        """Whether it is emu's stand-in, which only holds memory and listens."""
        return self.image is None and self.command is None

    @model_validator(mode="after")
    def _holds_if_ours(self) -> Self:
        for name in ("hold", "start"):
            if getattr(self, name) and not self.is_stand_in:
                raise SpecError(
                    f"`{name}` applies only to the stand-in",
                    why="with `image` or `command` the sidecar is your own program",
                    fix=f"remove `{name}`, or `image` and `command`",
                    at=(name,),
                )
        return self

    @model_validator(mode="after")
    def _is_none_of_ours(self) -> Self:
        if self.name in (QUEUE_PROXY, APP, *RESERVED):
            raise SpecError(
                f"this container cannot be called {self.name!r}",
                why="results use that name for something else",
                fix="give it another name",
                at=("name",),
            )
        return self


class TaskSpec(Model):
    """What an init container's stand-in does, in this order: read a file, write a file, hold memory, burn CPU, sleep,
    exit.
    """

    read_file: FileRef | None = None
    """Read this whole file, through the page cache: its path in a mounted volume."""
    write_file: FileRef | None = None
    """Write `writeBytes` to this file, through the page cache, without fsync: its path in a mounted volume."""
    write_bytes: Bytes = 0
    """How much to write."""
    hold: Bytes = 0
    """Anonymous memory to take until it exits, each page touched."""
    cpu: Seconds = 0.0
    """CPU time to burn."""
    sleep: Seconds = 0.0
    """Time to wait, without using CPU."""
    exit: Annotated[Whole, Field(ge=0, le=255)] = 0
    """The exit code; with another than 0 it is run again, by the pod's restartPolicy."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.write_bytes and not self.write_file:
            raise without("writeBytes", "writeFile")
        return self

    def to_work(self) -> Work:
        """The same, as it travels."""
        return Work(**self.model_dump())


class InitContainerSpec(SidecarSpec):
    """A container that runs before the others. Init containers run one after another, in the order of the list, each
    until it has exited with code 0. One with `restartPolicy: Always` is a sidecar: the next one starts as soon as it
    has started (its startup probe succeeded, if it has one), it keeps running, and it is stopped after the others.
    Without `image` and `command` it is emu's stand-in.
    """

    restart_policy: Literal["Always"] | None = None
    """Always: it is a sidecar. Default: it runs until it has exited."""
    do: TaskSpec | None = None
    """What the stand-in does. Not with `image`, `command` or `restartPolicy`. Default: it exits at once."""

    @property
    def is_sidecar(self) -> bool:
        """Whether it keeps running beside the others."""
        return self.restart_policy == "Always"

    @model_validator(mode="after")
    def _does_what_it_can(self) -> Self:
        if self.do is not None and (self.is_sidecar or not self.is_stand_in):
            raise SpecError(
                "`do` applies only to a stand-in that exits",
                why="it is your own program" if not self.is_stand_in else "a sidecar keeps running",
                fix="remove `do`, or " + ("`restartPolicy`" if self.is_sidecar else "`image` and `command`"),
                at=("do",),
            )
        return self

    @model_validator(mode="after")
    def _exits(self) -> Self:
        if self.is_sidecar:
            return self
        probes = [f"{kind}Probe" for kind in self.probes]
        hook = ["lifecycle"] if self.lifecycle.pre_stop is not None else []
        for name in (*probes, *hook):
            raise SpecError(
                f"an init container has no {name}",
                why="Kubernetes refuses it: an init container runs until it exits, unless it is a sidecar",
                fix="remove it, or add `restartPolicy: Always`",
                at=(name,),
            )
        for name in ("port", "hold", "start"):
            if getattr(self, name):
                raise SpecError(
                    f"`{name}` applies only to sidecars",
                    why="an init container runs until it exits",
                    fix=f"remove it, or add `restartPolicy: Always`{', or use `do`' if name != 'port' else ''}",
                    at=(name,),
                )
        return self


class FileSpec(Model):
    """A file in the app's volume, created before the run, and not in the page cache when the run begins."""

    name: FileName
    """Its name for `readFile`: letters, digits, `-`, `_` and `.`, no folders."""
    size: Bytes
    """Its size; the disk must have room for it."""


class AppSpec(ContainerSpec):
    """The app container (Knative: user-container)."""

    port: Annotated[Whole, Field(ge=1, le=65535)] = USER_PORT
    """The port on which it listens for HTTP/1.1."""
    files: tuple[FileSpec, ...] = ()
    """Files in its volume on a real block device, created before the run, and not in the page cache."""
    program: ProgramSpec | None = None
    """What a manifest has it run; `images` of the pod decides whether emu's app stands in. Default: nothing."""
