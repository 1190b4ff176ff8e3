"""A pod: its containers and files, restarts, freezing, scaling."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.messages import APP, QUEUE_PROXY
from emu.policy.image_names import ImageChoice
from emu.spec import environment, running, scaled, volumes
from emu.spec.autoscaling import AutoscalingSpec
from emu.spec.container import (
    AppSpec,
    ContainerSpec,
    FileSpec,
    InitContainerSpec,
    QueueProxySpec,
    SidecarSpec,
    TaskSpec,
)
from emu.spec.environment import ObjectSpec
from emu.spec.freezer import FreezerSpec
from emu.spec.io import PodIo
from emu.spec.keda import ScaledObjectSpec
from emu.spec.priority import Prioritized
from emu.spec.probes import ExecSpec
from emu.spec.values import MIB, Bytes, Limit, Model, Seconds, SpecError, Whole, distinct, number, startable
from emu.spec.volumes import Place, VolumeSpec
from emu.units import format_bytes, format_seconds

QUEUE_PROXY_PORTS = (8008, 8012, 8013, 8022, 8112, 9090, 9091)
"""What queue-proxy opens, or may (pkg/networking/constants.go)."""
KUBERNETES_GRACE_S = 30
"""terminationGracePeriodSeconds, where neither its user nor Knative sets it."""
OF_KNATIVE = (
    "queue_proxy",
    "container_concurrency",
    "timeout_seconds",
    "response_start_timeout_seconds",
    "idle_timeout_seconds",
    "freezer",
)
"""What takes a queue-proxy."""


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

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.initial > self.max:
            raise SpecError(
                f"the initial back-off of {format_seconds(self.initial)} is above the maximum of "
                f"{format_seconds(self.max)}",
                why="it is doubled with each restart, up to the maximum",
                fix="lower `initial`, or raise `max`",
                at=("initial",),
            )
        return self


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


RestartPolicy = Literal["Always", "OnFailure", "Never"]


class PodSpec(Prioritized):
    """One pod: a queue-proxy and an app in a pod cgroup."""

    deployment_mode: Literal["Knative", "Standard"] = "Knative"
    """KServe's word for what makes the pods. Knative: a revision, so each has a queue-proxy, and requests come
    through it. Standard: a Deployment, so there is no queue-proxy, and a Service spreads requests over the apps.
    """
    runtime: Literal["docker", "process"] = "docker"
    """What runs its containers. docker: a Docker engine. process: the same programs as plain processes in the same
    cgroups, with their own network, mounts and limits; needs no Docker, and supports no custom images.
    """
    images: ImageChoice = "auto"
    """For containers of a manifest (`program`). auto: an image that the engine has is run, else emu's stand-in;
    engine: the image is run, and a run where it is missing is refused; stand-in: no image of the manifest is run.
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
    io: PodIo = PodIo()
    """The pod's share of the disk."""
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
    config_maps: tuple[ObjectSpec, ...] = ()
    """Kubernetes: the ConfigMaps that `env` and `envFrom` of its containers, and its volumes, name."""
    secrets: tuple[ObjectSpec, ...] = ()
    """Kubernetes: the Secrets that they name. Nothing that a run leaves has their values."""
    shm_size: Annotated[Bytes, Field(ge=MIB)] = 64 * MIB
    """The size of /dev/shm, a tmpfs that the pod's containers share, as containerd and CRI-O give it to a pod. It
    lives as long as the pod.
    """
    freezer: FreezerSpec | None = None
    """Freeze the pod while no request is in flight. Default: never."""
    autoscaling: AutoscalingSpec | None = None
    """Remove the pod when it is idle, and recreate it on the next request. Default: never."""
    left_out: tuple[Annotated[str, StringConstraints(min_length=1, max_length=500)], ...] = ()
    """What the manifest that it was made of asks for and this pod does not do. A run only reports it."""
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
    def has_queue_proxy(self) -> bool:
        """Whether requests come through a queue-proxy."""
        return self.deployment_mode == "Knative"

    @property
    def own_files(self) -> tuple[FileSpec, ...]:
        """The files that are made for it."""
        return self.app.files

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        environment.check(self.config_maps, self.secrets)
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
        taken = {self.app.port: "the app"}
        taken |= dict.fromkeys(QUEUE_PROXY_PORTS if self.has_queue_proxy else (), QUEUE_PROXY)
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
        if self.has_queue_proxy and self.app.port in QUEUE_PROXY_PORTS:
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
    def _can_be_scaled(self) -> Self:
        if self.autoscaling is not None:
            scaled.check(
                self.autoscaling,
                self.containers,
                restart_policy=self.restart_policy,
                stops=self.stop_after is not None,
                has_queue_proxy=self.has_queue_proxy,
                has_freezer=self.freezer is not None,
            )
        return self

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        scaling = self.autoscaling
        own = None if scaling is None else scaling.horizontal_pod_autoscaler
        if self.has_queue_proxy:
            if scaling is not None and scaling.scaled_object is not None:
                raise SpecError(
                    "a ScaledObject scales a Deployment",
                    why="Knative's autoscaler would write the number of a revision's pods too",
                    fix="add `deploymentMode: Standard` to the pod, or use `class: kpa`",
                    at=("autoscaling", "scaledObject"),
                )
            if own is not None:
                raise SpecError(
                    "Knative writes a revision's HorizontalPodAutoscaler itself",
                    why="it makes one of `metric`, `target`, `minScale`, `maxScale` and `window`",
                    fix="use those keys, or add `deploymentMode: Standard` to the pod",
                    at=("autoscaling", "horizontalPodAutoscaler"),
                )
            return self
        for name in OF_KNATIVE:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise SpecError(
                    f"`{to_camel(name)}` has no effect with `deploymentMode: Standard`",
                    why="it is queue-proxy's, and these pods have none",
                    fix="remove it, or the mode",
                    at=(to_camel(name),),
                )
        if scaling is not None and scaling.scaled_object is not None:
            self._has_the_metrics(scaling.scaled_object)
        elif scaling is not None and own is None:
            raise SpecError(
                "a Deployment needs a HorizontalPodAutoscaler to be scaled",
                why="Knative's autoscaler scales only revisions, and `deploymentMode: Standard` is none",
                fix="write `class: hpa` and `horizontalPodAutoscaler: {maxReplicas: …}`",
                at=("autoscaling",),
            )
        return self

    def _has_the_metrics(self, scaled: ScaledObjectSpec) -> None:
        app = self.app
        if app.image is None and (app.program is None or self.runtime == "process" or self.images == "stand-in"):
            try:
                scaled.check_metrics()
            except SpecError as wrong:
                wrong.at = ("autoscaling", "scaledObject", *wrong.at)
                raise

    @model_validator(mode="after")
    def _runtime_can(self) -> Self:
        running.check(self.runtime, self.images, self.placed, self.freezer)
        return self

    @model_validator(mode="after")
    def _probes_have_ports(self) -> Self:
        for at, entry in self._additional:
            for kind, probe in entry.probes.items():
                way = probe.way
                if entry.port is None and not isinstance(probe.handler, ExecSpec) and probe.handler.port is None:
                    raise SpecError(
                        f"the {kind} probe has no port",
                        why=f"the sidecar {entry.name} has none either",
                        fix="give it one",
                        at=(*at, f"{kind}Probe", way),
                    )
        return self

    @model_validator(mode="after")
    def _memory_fits(self) -> Self:
        kept = sum(one.memory.min for one in self.containers.values() if isinstance(one.memory.min, int))
        if self.memory.max is not None and kept > self.memory.max:
            raise SpecError(
                f"memory.min of its containers, {format_bytes(kept)}, is above memory.max of the pod, "
                f"{format_bytes(self.memory.max)}",
                why="the kernel could reclaim nothing, and would kill at once",
                fix="lower memory.min, or raise memory.max",
                at=("memory", "max"),
            )
        return self

    @model_validator(mode="after")
    def _volumes_fit(self) -> Self:
        volumes.check(self.volumes, [(at, container.volume_mounts) for at, container in self.placed])
        volumes.check_files(self.volumes, environment.objects(self.config_maps, self.secrets))
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
            if do.write_file is not None:
                at = ("initContainers", index, "do", "writeFile")
                volumes.check_writable(do.write_file, entry.volume_mounts, self.volumes, at)
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
        queue_proxy: list[tuple[Place, ContainerSpec]] = [(("queueProxy",), self.queue_proxy)]
        return [*(queue_proxy if self.has_queue_proxy else []), (("app",), self.app), *self._additional]

    @property
    def grace_s(self) -> int:
        """Seconds from SIGTERM to SIGKILL during the run."""
        given = self.termination_grace_period_seconds
        usual = self.timeout_seconds if self.has_queue_proxy else KUBERNETES_GRACE_S
        return usual if given is None else given

    @property
    def containers(self) -> dict[str, ContainerSpec]:
        """Every container by its name, in the order in which they are started."""
        return {
            **{one.name: one for one in self.init_containers},
            **({QUEUE_PROXY: self.queue_proxy} if self.has_queue_proxy else {}),
            APP: self.app,
            **{one.name: one for one in self.sidecars},
        }
