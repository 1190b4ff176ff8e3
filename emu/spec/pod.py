"""A pod: its containers and files, restarts, freezing, scaling."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.messages import APP, QUEUE_PROXY
from emu.policy.prefetching import NEEDS_RECLAIM, NONE, TOUCHED, read_prefetch
from emu.policy.reclaiming import ALL, read_amount
from emu.spec import volumes
from emu.spec.container import (
    AppSpec,
    ContainerSpec,
    FileSpec,
    InitContainerSpec,
    QueueProxySpec,
    SidecarSpec,
    TaskSpec,
)
from emu.spec.probes import ExecSpec
from emu.spec.values import MIB, Bytes, Limit, Model, Seconds, SpecError, Whole, distinct, number, startable
from emu.spec.volumes import Place, VolumeSpec

QUEUE_PROXY_PORTS = (8008, 8012, 8013, 8022, 8112, 9090, 9091)
"""What queue-proxy opens, or may (pkg/networking/constants.go)."""
_SHARE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": [ALL, "50%", "64Mi"]}
_PREFETCH = {**_SHARE, "examples": [TOUCHED, ALL, "25%", "16Mi", NONE]}


def _whole(value: float) -> float:
    if value != round(value):
        raise SpecError(
            f"{value:g} s is not a whole number of seconds", why="Knative takes whole seconds here", fix="round it"
        )
    return value


class BackOff(Model):
    """The kubelet's back-off between restarts: doubled each time, capped, and reset after a container ran long
    enough.
    """

    initial: Seconds = 10.0
    """The delay before the second restart; the first is immediate."""
    max: Seconds = 300.0
    """The maximum delay."""
    reset_after: Seconds = 600.0
    """A container that ran this long starts again without back-off."""
    scale: Annotated[float, BeforeValidator(number), Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """A factor for all three times: 0.1 shows in one minute what normally takes ten."""


class PodMemory(Model):
    """The limits of the pod's cgroup, above those of its containers."""

    max: Limit = None
    """memory.max of the pod, at least 6Mi. `max`: the sum of the containers' limits if each has one, as in
    Kubernetes, else no limit.
    """
    swap_max: Limit = None
    """memory.swap.max of the pod. Default: no limit."""

    @field_validator("max")
    @classmethod
    def _max_starts(cls, value: int | None) -> int | None:
        return startable(value)


class ReclaimSpec(Model):
    """Memory to reclaim from a frozen container, through memory.reclaim: the kernel drops page cache, and moves
    anonymous memory to swap as far as `memory.swapMax` and the machine have room.
    """

    amount: Annotated[str, BeforeValidator(read_amount), WithJsonSchema(_SHARE)] = ALL
    """`all`, a size, or a share of each container's memory at that time (`50%`)."""
    after: Seconds = 0.0
    """How long after the freeze."""


class FreezerSpec(Model):
    """A freezer daemon beside the pod: it pauses all containers except queue-proxy when no request is in flight, and
    resumes them when one arrives, as Knative's container-freezer did.
    """

    method: Literal["docker", "cgroup"] = "docker"
    """docker: the engine's pause, so `docker ps` shows Paused; cgroup: writes cgroup.freeze directly, which is
    faster.
    """
    mode: Literal["own", "knative"] = "own"
    """own: pauses only an app that was ready, after `grace`, and reports failures; knative: as in Serving 1.1 to 1.9:
    the app is frozen from the start, no grace period, readiness is not checked, and a failed pause is answered 200.
    """
    grace: Seconds | None = None
    """The time from the last response to the pause. Default: 1 s, or 0 with `mode: knative`."""
    patience: Seconds = 10.0
    """How long a request waits for the app to be resumed before it gets 503."""
    reclaim: tuple[ReclaimSpec, ...] = ()
    """The steps in which frozen memory is reclaimed. Default: none."""
    prefetch: Annotated[str, BeforeValidator(read_prefetch), WithJsonSchema(_PREFETCH)] = NONE
    """Memory to read back from swap before a resume: `touched`, what the last wake touched; `all`, a size or a share
    (`25%`): that first, then more; or `none`.
    """

    @model_validator(mode="after")
    def _prefetches_what_was_reclaimed(self) -> Self:
        if self.prefetch != NONE and not self.reclaim:
            raise SpecError(
                "there is no reclaimed memory to prefetch",
                why=NEEDS_RECLAIM,
                fix="add `reclaim: [{amount: all, after: 5s}]`, or remove `prefetch`",
                at=("prefetch",),
            )
        return self


WholeSeconds = Annotated[Seconds, AfterValidator(_whole)]


class AutoscalingSpec(Model):
    """As many pods as Knative's autoscaler wants: by default one or none (min-scale 0, max-scale 1). An activator in
    front of the pods holds requests that arrive while there is no pod, and spreads them over the pods there are. The
    key enables it, even as `{}`; without it the pod stays for the whole run.
    """

    enable_scale_to_zero: bool = True
    """Knative's enable-scale-to-zero. With false the activator is in front of the pod, and the pod stays."""
    window: Annotated[WholeSeconds, Field(ge=6, le=3600)] = 60.0
    """Knative's stable window, from 6s to 1h: a pod without a request in flight for this long is idle."""
    scale_down_delay: Annotated[WholeSeconds, Field(le=3600)] = 0.0
    """Knative: additional idle time before that counts, up to 1h."""
    scale_to_zero_pod_retention_period: Annotated[Seconds, Field(le=3600)] = 0.0
    """Knative: additional time for which an idle pod is kept, up to 1h."""
    scale_to_zero_grace_period: Annotated[Seconds, Field(gt=0)] = 30.0
    """Knative: how long the activator must have been in the path. It is from the pod's first start, so this matters
    only at the beginning of a run.
    """
    min_scale: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """Knative's min-scale: never fewer pods."""
    max_scale: Annotated[Whole, Field(ge=0, le=1000)] = 1
    """Knative's max-scale: never more pods; 0 means no limit. Knative's own default is 0; one machine has to run them
    all, so here more than one pod is asked for.
    """
    initial_scale: Annotated[Whole, Field(ge=0, le=1000)] = 1
    """Knative's initial-scale: pods at the start. The revision counts as ready once that many are."""
    activation_scale: Annotated[Whole, Field(ge=2, le=1000)] | None = None
    """Knative's activation-scale: at least so many pods as soon as there is traffic. Default: none."""
    metric: Literal["concurrency", "rps"] = "concurrency"
    """What is averaged and compared with the target: requests in flight, or requests per second."""
    target: Annotated[float, BeforeValidator(number), Field(ge=0.01, allow_inf_nan=False)] | None = None
    """Knative's target: what one pod should have of the metric, before `targetUtilizationPercentage`. Default:
    `containerConcurrency`, or 100 where that is 0; 200 with `metric: rps`.
    """
    target_utilization_percentage: Annotated[float, BeforeValidator(number), Field(ge=1, le=100)] = 70.0
    """Knative's target-utilization-percentage: how much of the target is aimed at."""
    target_burst_capacity: Annotated[float, BeforeValidator(number), Field(allow_inf_nan=False)] | None = None
    """Knative's target-burst-capacity: the activator may leave the path while the pods have room for so many more
    requests; -1: never, 0: as soon as there is a pod. Clients then send each request to a ready pod, at random.
    Default: 211, but with `maxScale: 1` the activator stays.
    """
    panic_window_percentage: Annotated[float, BeforeValidator(number), Field(ge=1, le=100)] = 10.0
    """Knative's panic-window-percentage: the panic window as a share of `window`, at least one second."""
    panic_threshold_percentage: Annotated[float, BeforeValidator(number), Field(ge=110, le=1000)] = 200.0
    """Knative's panic-threshold-percentage: it panics where the panic window wants so much of the ready pods."""
    max_scale_up_rate: Annotated[float, BeforeValidator(number), Field(gt=1, allow_inf_nan=False)] = 1000.0
    """Knative's max-scale-up-rate: at most so many times the ready pods, in one decision."""
    max_scale_down_rate: Annotated[float, BeforeValidator(number), Field(gt=1, allow_inf_nan=False)] = 2.0
    """Knative's max-scale-down-rate: at least the ready pods divided by that, in one decision."""

    @model_validator(mode="after")
    def _scales_fit(self) -> Self:
        least, most = self.min_scale, self.max_scale
        if most and least > most:
            raise SpecError(
                f"minScale {least} is above maxScale {most}",
                why=f"Knative's webhook refuses it: max-scale={most} is less than min-scale={least}",
                fix=f"set maxScale to {least} or more; it is 1 unless it is given",
                at=("minScale",),
            )
        activation = self.activation_scale
        if activation is not None and (least > activation or (most and most < activation)):
            words = (
                f"min-scale={least} is greater than activation-scale={activation}"
                if least > activation
                else f"max-scale={most} is less than activation-scale={activation}"
            )
            raise SpecError(
                f"activationScale {activation} is outside of minScale {least} to maxScale {most}",
                why=f"Knative's webhook refuses it: {words}",
                fix="put it between the two; maxScale is 1 unless it is given",
                at=("activationScale",),
            )
        return self

    @field_validator("target_burst_capacity")
    @classmethod
    def _burst_counts(cls, value: float | None) -> float | None:
        if value is not None and value < 0 and value != -1:
            raise SpecError(
                f"{value:g} is negative",
                why="Knative takes -1, 0 and more here",
                fix="use -1 for an activator that stays",
            )
        return value


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class PodSpec(Model):
    """One pod: a queue-proxy and an app in a pod cgroup."""

    runtime: Literal["docker", "process"] = "docker"
    """What runs its containers. docker: a Docker engine. process: the same programs as plain processes in the same
    cgroups, with their own network, mounts and limits; needs no Docker, and supports no custom images.
    """
    container_concurrency: Annotated[Whole, Field(ge=0, le=1000)] = 0
    """Knative: maximum concurrent requests per pod. Up to ten times as many queue; the rest get 503. 0 means no
    limit.
    """
    timeout_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 300
    """Knative: a request not answered within this many seconds gets 504."""
    response_start_timeout_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """Knative: the app must begin its answer within this many seconds; 0 disables it."""
    idle_timeout_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """Knative: maximum seconds without data from the app; 0 disables it."""
    restart_policy: RestartPolicy = "Always"
    """Kubernetes: whether a container that exited is restarted. Knative pods always have Always."""
    back_off: BackOff = BackOff()
    """How long the kubelet waits between restarts."""
    memory: PodMemory = PodMemory()
    """The limits of the pod's cgroup."""
    queue_proxy: QueueProxySpec = QueueProxySpec()
    """The queue-proxy container: every request passes through it."""
    app: AppSpec = AppSpec()
    """The app container."""
    init_containers: tuple[InitContainerSpec, ...] = ()
    """Containers that run before the others, one after another, and sidecars that start before them."""
    sidecars: tuple[SidecarSpec, ...] = ()
    """Additional containers, each with its own limits. They start after the app; one that must start before it is an
    init container with `restartPolicy: Always`.
    """
    volumes: tuple[VolumeSpec, ...] = ()
    """Volumes that its containers share."""
    shm_size: Annotated[Bytes, Field(ge=MIB)] = 64 * MIB
    """The size of /dev/shm, a tmpfs that the pod's containers share, as containerd and CRI-O give it to a pod. It
    lives as long as the pod.
    """
    freezer: FreezerSpec | None = None
    """Freeze the pod while no request is in flight. Default: never."""
    autoscaling: AutoscalingSpec | None = None
    """Remove the pod when it is idle, and recreate it on the next request. Default: never."""
    ready_timeout: Seconds = 60.0
    """How long to wait for the pod to be ready; then the load begins anyway."""
    termination_grace_period_seconds: Annotated[Whole, Field(ge=0, le=3600)] | None = None
    """Seconds from SIGTERM to SIGKILL, preStop hook included, at least 2. Default: `timeoutSeconds`, as Knative sets
    it, and none once the run is over, when no answer is outstanding.
    """
    stop_after: Seconds | None = None
    """Stop the pod this long after the load began, as the kubelet does: each container's preStop hook, SIGTERM, and
    SIGKILL after the grace period. The app's hook waits for queue-proxy's drain. Default: at the end of the run, and
    without hooks.
    """

    @property
    def own_files(self) -> tuple[FileSpec, ...]:
        """The files that are made for it."""
        return self.app.files

    @model_validator(mode="after")
    def _files_once(self) -> Self:
        distinct((entry.name for entry in self.app.files), "two files have the name", ("app", "files"))
        return self

    @model_validator(mode="after")
    def _sidecars_fit(self) -> Self:
        distinct((entry.name for entry in self.sidecars), "two sidecars have the name", ("sidecars",))
        distinct((one.name for one in self.init_containers), "two init containers have the name", ("initContainers",))
        inits = {one.name for one in self.init_containers}
        for index, entry in enumerate(self.sidecars):
            if entry.name in inits:
                raise SpecError(
                    f"an init container and a sidecar have the name {entry.name!r}",
                    why="the names of a pod's containers are distinct, init containers included",
                    fix="give one of them another name",
                    at=("sidecars", index, "name"),
                )
        taken = {self.app.port: "the app"} | dict.fromkeys(QUEUE_PROXY_PORTS, QUEUE_PROXY)
        for at, entry in self._additional:
            if entry.port is None:
                continue
            if entry.port in taken:
                raise SpecError(
                    f"port {entry.port} is taken",
                    why=f"{taken[entry.port]} listens there, and a pod's containers share one network",
                    fix="give it another port",
                    at=(*at, "port"),
                )
            taken[entry.port] = entry.name
        return self

    @model_validator(mode="after")
    def _app_has_a_port(self) -> Self:
        if self.app.port in QUEUE_PROXY_PORTS:
            raise SpecError(
                f"port {self.app.port} belongs to queue-proxy",
                why="a pod's containers share one network; Knative refuses such a container port too",
                fix=f"give the app a port other than {', '.join(map(str, QUEUE_PROXY_PORTS))}",
                at=("app", "port"),
            )
        return self

    @model_validator(mode="after")
    def _timeouts_fit(self) -> Self:
        for name in ("response_start_timeout_seconds", "idle_timeout_seconds"):
            value = getattr(self, name)
            if value > self.timeout_seconds:
                raise SpecError(
                    f"{value} s is above timeoutSeconds, {self.timeout_seconds} s",
                    why=f"Knative's webhook refuses it: expected 0 <= {value} <= {self.timeout_seconds}",
                    fix="lower it, or raise timeoutSeconds",
                    at=(to_camel(name),),
                )
        return self

    @model_validator(mode="after")
    def _sleeps_within_the_grace(self) -> Self:
        for at, container in self.placed:
            hook = container.lifecycle.pre_stop
            if hook is not None and hook.sleep is not None and hook.sleep.seconds > self.grace_s:
                raise SpecError(
                    f"a sleep of {hook.sleep.seconds} s exceeds the pod's grace period of {self.grace_s} s",
                    why="Kubernetes refuses it: SIGKILL comes first",
                    fix="shorten it, or raise terminationGracePeriodSeconds",
                    at=(*at, "lifecycle", "preStop", "sleep", "seconds"),
                )
        return self

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.autoscaling is not None and self.stop_after is not None:
            raise SpecError(
                "a pod has either `stopAfter` or `autoscaling`, not both",
                why="`stopAfter` stops it for good, and `autoscaling` would recreate it on the next request",
                fix="remove one of them",
                at=("stopAfter",),
            )
        return self

    @model_validator(mode="after")
    def _runtime_can(self) -> Self:
        if self.runtime == "docker":
            return self
        for at, container in self.placed:
            if container.image is not None:
                raise SpecError(
                    f"the image {container.image!r} needs Docker",
                    why="with `runtime: process` a container runs a program of emu's own images",
                    fix="remove `image`, or use `runtime: docker`",
                    at=(*at, "image"),
                )
        if self.freezer is not None and self.freezer.method == "docker":
            raise SpecError(
                "Docker can pause only the containers that it runs",
                why="with `runtime: process` there is no engine, and the freezer's default method is docker",
                fix="add `method: cgroup` to pod.freezer, or use `runtime: docker`",
                at=("freezer", "method"),
            )
        return self

    @model_validator(mode="after")
    def _probes_have_ports(self) -> Self:
        for at, entry in self._additional:
            for kind, probe in entry.probes.items():
                way = "httpGet" if probe.http_get else "tcpSocket"
                if entry.port is None and not isinstance(probe.handler, ExecSpec) and probe.handler.port is None:
                    raise SpecError(
                        f"the {kind} probe has no port",
                        why=f"the sidecar {entry.name} has none either",
                        fix="give it one",
                        at=(*at, f"{kind}Probe", way),
                    )
        return self

    @model_validator(mode="after")
    def _volumes_fit(self) -> Self:
        volumes.check(self.volumes, [(at, container.volume_mounts) for at, container in self.placed])
        for index, entry in enumerate(self.init_containers):
            do = entry.do or TaskSpec()
            for name, path in (("readFile", do.read_file), ("writeFile", do.write_file)):
                if path is not None and volumes.located(path, entry.volume_mounts) is None:
                    raise SpecError(
                        f"{entry.name} has no volume at {path}",
                        why="an init container finds files in the volumes that it mounts, and in no others",
                        fix="mount one there (volumeMounts), or give a path in one that it mounts",
                        at=("initContainers", index, "do", name),
                    )
        return self

    @property
    def _additional(self) -> list[tuple[Place, SidecarSpec]]:
        """Init containers and sidecars, each with its place below `pod`."""
        found: list[tuple[Place, SidecarSpec]]
        found = [(("initContainers", index), entry) for index, entry in enumerate(self.init_containers)]
        return [*found, *((("sidecars", index), entry) for index, entry in enumerate(self.sidecars))]

    @property
    def placed(self) -> list[tuple[Place, ContainerSpec]]:
        """Every container with its place below `pod`."""
        return [(("queueProxy",), self.queue_proxy), (("app",), self.app), *self._additional]

    @property
    def grace_s(self) -> int:
        """Seconds from SIGTERM to SIGKILL during the run."""
        given = self.termination_grace_period_seconds
        return self.timeout_seconds if given is None else given

    @property
    def containers(self) -> dict[str, ContainerSpec]:
        """Every container by its name, in the order in which they are started."""
        return {
            **{one.name: one for one in self.init_containers},
            QUEUE_PROXY: self.queue_proxy,
            APP: self.app,
            **{one.name: one for one in self.sidecars},
        }
