"""PodSpec → a pod's cgroup and containers, as a context manager that undoes just what it made.

What a Knative pod is to the kernel: a pod cgroup; in it the pause container, which holds the pod's network so that a
restarted container finds the same loopback and address; beside it queue-proxy and the app, each with its own limits.
What Docker has no option for (memory.high, memory.low, memory.min, memory.oom.group) is written into the container's
cgroup as soon as that exists, which is before its process runs.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cgroups import files
from cgroups.errors import CgroupError
from emu.errors import EmuError
from emu.files.profiles import profile_of
from emu.kubelet.freezer_access import MOUNT, Access
from emu.messages import DATA_DIR, HOLD_VARIABLE, QUEUE_ADMIN_PORT, QUEUE_PORT, START_VARIABLE
from emu.policy import qos
from emu.policy.probing import Kind, ProbeRule
from emu.record.events import (
    SCALE_DOWN,
    ContainerCreated,
    ContainerExited,
    ContainerStarted,
    ContainerStopping,
    EventLog,
    Note,
    now,
)
from emu.runtime import images
from emu.runtime.api import LABEL_CONTAINER, LABEL_OWNER, LABEL_RUN, ContainerRequest, EngineGone, Runtime
from emu.runtime.podcgroup import PodCgroup
from emu.spec import (
    AppSpec,
    ContainerSpec,
    ExecSpec,
    HttpGetSpec,
    PodSpec,
    ProbeSpec,
    SidecarSpec,
    SleepSpec,
    TcpSocketSpec,
)

QUEUE_PROXY, APP, SANDBOX = "queue-proxy", "app", "sandbox"
_NAMESPACE, _CONFIGURATION, _REVISION = "default", "app", "app-00001"
_TLS_PORT = 8112
_STAND_IN = ("/usr/bin/python3", "-m", "emu.daemon.app.sidecar")
"""What our app image runs as a sidecar."""
_KILLED = 128 + signal.SIGKILL
"""The exit code of a container that was removed while it ran."""
_BORN_DEADLINE_S = 60.0
_BIRTH_LOOK_S = 0.003
"""Well below what a runtime takes from the cgroup to the process, and long enough not to take its processor."""
_FILE_DEADLINE_S = 900.0
_BACK_S = 30.0
"""An engine that is started anew is waited for so long, so that it can be told what to remove."""
_LOOK_S = 0.1
_OWN_LOOK = ProbeRule(period_s=1.0, failure_threshold=1, eager_s=0.1)
_OWN_TIMEOUT_S = 1.0
_DRAIN_PATH = "/wait-for-drain"
_HOST = "app.default.example.com"


@dataclass(frozen=True)
class PodProbe:
    """A probe as the kubelet runs it."""

    handler: HttpGetSpec | TcpSocketSpec | ExecSpec
    rule: ProbeRule
    timeout_s: float
    grace_s: float | None = None
    """From SIGTERM to SIGKILL when it kills; None is the pod's."""
    ours: bool = False
    """Not of the scenario's: only how we learn when a container listens."""

    @classmethod
    def of(cls, spec: ProbeSpec) -> Self:
        """As the scenario has it."""
        return cls(spec.handler, spec.rule, spec.timeout_seconds, spec.termination_grace_period_seconds)


@dataclass(frozen=True)
class Instance:
    """One instance of a container; a restart makes a new one, as the kubelet does."""

    container: str
    attempt: int
    id: str
    name: str


class Pod:
    """One pod of a run. Entering makes the cgroup, the volume with its files, and the pause container; containers are
    made one by one by `create` and `start`.
    """

    def __init__(
        self,
        spec: PodSpec,
        run_id: str,
        engine: Runtime,
        cgroup: PodCgroup,
        log: EventLog,
        *,
        machine_memory_bytes: int,
        owner: str,
        log_driver: str | None = None,
        freezer: Access | None = None,
        app_image: str | None = None,
    ) -> None:
        self.spec = spec
        self.run_id = run_id
        self.cgroup = cgroup
        self._engine = engine
        self._log = log
        self._machine_memory_bytes = machine_memory_bytes
        self._log_driver = log_driver
        self._freezer = freezer
        self._app_image = app_image
        self._labels = {LABEL_RUN: run_id, LABEL_OWNER: owner}
        self._stack = ExitStack()
        self._sandbox_id: str | None = None
        self.on_create: Callable[[Instance], None] = lambda _: None
        """Called with each new instance before it is started; the recorder wants to know whose a cgroup will be."""
        self.instances: list[Instance] = []
        """Every instance made so far."""
        self._retired = 0
        """How many of them are gone with a pod that was scaled to zero."""
        self.address = ""
        """The pod's IP address, once it is open."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # undoing is noted before doing: an interrupt may come between the two
            stack.callback(self.cgroup.remove)
            self._make_cgroup()
            if self.has_volume:
                stack.callback(self._engine.remove_volume, self._volume)
                self._engine.create_volume(self._volume, self._labels)
            stack.callback(self._remove_containers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_volume(self) -> bool:
        """Our own app has a volume on the engine's disk; another image only if the scenario makes files for it."""
        return self.spec.app.image is None or bool(self.spec.app.files)

    @property
    def _volume(self) -> str:
        return f"{self.run_id}-data"

    def image(self, container: str) -> str:
        """The image of a container."""
        if container == SANDBOX:
            return images.BASE
        if container == APP and self._app_image is not None:
            return self._app_image
        ours = images.QUEUE_PROXY if container == QUEUE_PROXY else images.APP
        return self._container_spec(container).image or ours

    @property
    def containers(self) -> tuple[str, ...]:
        """The containers' names in the order in which the kubelet starts them, queue-proxy before the app."""
        return tuple(self.spec.containers)

    def _container_spec(self, container: str) -> ContainerSpec:
        return self.spec.containers[container]

    def port(self, container: str) -> int | None:
        """Where the kubelet's probes connect unless they say otherwise; None where it has no port."""
        if container == QUEUE_PROXY:
            return QUEUE_PORT
        spec = self._container_spec(container)
        return spec.port if isinstance(spec, AppSpec | SidecarSpec) else None

    def probes(self, container: str) -> dict[Kind, PodProbe]:
        """What the kubelet asks of a container. Readiness as Knative has it: the app's by HTTP or TCP is
        queue-proxy's affair, and queue-proxy is asked in its rhythm; an exec probe stays with the app.
        """
        spec = self._container_spec(container)
        probes = {kind: PodProbe.of(probe) for kind, probe in spec.probes.items()}
        if container == APP and "readiness" in probes and not isinstance(probes["readiness"].handler, ExecSpec):
            del probes["readiness"]
        if "readiness" not in probes and container == QUEUE_PROXY:
            probes["readiness"] = _queue_proxy_readiness(self.spec.app.readiness_probe)
        elif "readiness" not in probes and self.port(container) is not None:
            probes["readiness"] = PodProbe(TcpSocketSpec(), _OWN_LOOK, _OWN_TIMEOUT_S, ours=True)
        return probes

    def pre_stop(self, container: str) -> ExecSpec | HttpGetSpec | SleepSpec | None:
        """A container's preStop hook; the app's is Knative's unless the scenario has another."""
        hook = self._container_spec(container).lifecycle.pre_stop
        if hook is not None:
            return hook.handler
        return HttpGetSpec(port=QUEUE_ADMIN_PORT, path=_DRAIN_PATH) if container == APP else None

    def make_files(self, check: Callable[[], None]) -> None:
        """Make the app's files with a container outside the pod, so that their page cache is not the pod's; it is
        dropped besides. `check` is called while that takes its time, and may raise.
        """
        for entry in self.spec.app.files:
            made = self._engine.create(
                ContainerRequest(
                    name=f"{self.run_id}.make-{entry.name}"[:120],
                    image=images.APP,
                    labels={**self._labels, LABEL_CONTAINER: "make-file"},
                    command=[
                        "/usr/bin/python3",
                        "-m",
                        "emu.daemon.app",
                        "make-file",
                        f"{DATA_DIR}/{entry.name}",
                        str(entry.size),
                    ],
                    volume=(self._volume, DATA_DIR),
                )
            )
            self._engine.start(made)
            code = self._wait(made, check)
            said = b"".join(self._engine.logs(made)).decode(errors="replace").strip()
            self._engine.remove(made)
            if code != 0:
                raise EmuError(
                    f"cannot make the app's file {entry.name!r} of {entry.size} bytes",
                    said or f"its maker ended with status {code}",
                    "make room on the engine's disk, or ask for a smaller file (pod.app.files)",
                )

    def _wait(self, container_id: str, check: Callable[[], None]) -> int:
        deadline = now() + _FILE_DEADLINE_S
        while (state := self._engine.state(container_id))["Status"] in ("created", "running") and now() < deadline:
            check()
            time.sleep(_LOOK_S)
        return int(state["ExitCode"]) if state["Status"] == "exited" else -1

    def open(self, attempt: int = 0) -> Instance:
        """Start the pause container: from here on the pod has an address, and containers share its network."""
        instance = self.create(SANDBOX, attempt)
        self.start(instance)
        self._sandbox_id = instance.id
        self.address = self._engine.address(instance.id)
        return instance

    def retire(self) -> None:
        """Remove the containers, which have ended, the pause container and the cgroup, as of a pod that is deleted;
        the app's files stay. `renew`, then `open`, make the next one.
        """
        for instance in reversed(self.instances[self._retired :]):
            if instance.container == SANDBOX:  # made first, and gone last
                self._log.append(
                    ContainerStopping(
                        t=now(), container=SANDBOX, attempt=instance.attempt, why=SCALE_DOWN, grace_s=0.0
                    )
                )
                self.remove(instance)
            else:
                self._engine.remove(instance.id)
        self._retired = len(self.instances)
        self.cgroup.remove()

    def renew(self) -> Mapping[str, int]:
        """Make a cgroup for the next pod. Returns the numbers that its containers' first instances bear."""
        self._make_cgroup()
        return {one.container: one.attempt + 1 for one in self.instances}

    def remove(self, instance: Instance) -> None:
        """Kill an instance if it runs, and remove it, before the pod itself goes."""
        state = self._engine.state(instance.id)
        flag = state.get("OOMKilled")
        self._engine.remove(instance.id)
        if state["Status"] != "created":
            self._log.append(
                ContainerExited(
                    t=now(),
                    container=instance.container,
                    attempt=instance.attempt,
                    id=instance.id,
                    exit_code=_KILLED,
                    docker_oom_killed=flag,
                    asked=True,
                )
            )

    def asked(self, container: str) -> qos.Asked:
        """What a container asks for, in the kubelet's terms."""
        resources = self._container_spec(container).resources
        return qos.Asked(
            resources.requests.memory, resources.limits.memory, resources.requests.cpu, resources.limits.cpu
        )

    def oom_score_adj(self, container: str) -> int:
        """As the kubelet sets it."""
        if container == SANDBOX:
            return qos.SANDBOX_ADJ
        all_asked = tuple(self.asked(name) for name in self.containers)
        return qos.oom_score_adj(qos.qos_class(all_asked), self.asked(container), self._machine_memory_bytes)

    def create(self, container: str, attempt: int) -> Instance:
        """Make the next instance of a container; not started, and without a cgroup yet."""
        name = f"{self.run_id}.{container}.{attempt}"
        request = self._request(container, name)
        made = self._engine.create(request)
        memory = self._container_spec(container).memory if container != SANDBOX else None
        self._log.append(
            ContainerCreated(
                t=now(),
                container=container,
                attempt=attempt,
                id=made,
                name=name,
                image=request.image,
                memory_max=request.memory_max,
                memory_high=memory.high if memory else None,
                swap_max=request.swap_max,
                oom_score_adj=request.oom_score_adj,
                probes=sorted(self._container_spec(container).probes) if container != SANDBOX else [],
            )
        )
        instance = Instance(container, attempt, made, name)
        self.instances.append(instance)
        self.on_create(instance)
        return instance

    def _request(self, container: str, name: str) -> ContainerRequest:
        labels = {**self._labels, LABEL_CONTAINER: container}
        if container == SANDBOX:
            return ContainerRequest(
                name,
                images.BASE,
                labels,
                command=["sleep", "infinity"],
                oom_score_adj=qos.SANDBOX_ADJ,
                cgroup_parent=self.cgroup.docker_parent,
                user="65532:65532",
            )
        spec = self._container_spec(container)
        return ContainerRequest(
            name=name,
            image=self.image(container),
            labels=labels,
            entrypoint=spec.command,
            command=_STAND_IN if isinstance(spec, SidecarSpec) and spec.is_stand_in else spec.args,
            env={**self._environment(container), **spec.env},
            memory_max=spec.resources.limits.memory,
            swap_max=spec.memory.swap_max,
            millicores=spec.resources.limits.cpu,
            oom_score_adj=self.oom_score_adj(container),
            cgroup_parent=self.cgroup.docker_parent,
            network_of=self._sandbox_id,
            volume=(self._volume, DATA_DIR) if container == APP and self.has_volume else None,
            bind=(str(self._freezer.folder), MOUNT)
            if container == QUEUE_PROXY and self._freezer is not None
            else None,
            log_driver=self._log_driver,
        )

    def _environment(self, container: str) -> Mapping[str, str]:
        if container == APP:
            return {"PORT": str(self.spec.app.port), "K_SERVICE": "app", "K_REVISION": _REVISION}
        if container != QUEUE_PROXY:
            sidecar = self.spec.containers[container]
            assert isinstance(sidecar, SidecarSpec)
            return sidecar_environment(sidecar)
        spec = self.spec
        return {
            **queue_proxy_environment(spec.container_concurrency, spec.app.port, self.address, self.run_id),
            "REVISION_TIMEOUT_SECONDS": str(spec.timeout_seconds),
            "REVISION_RESPONSE_START_TIMEOUT_SECONDS": str(spec.response_start_timeout_seconds),
            "REVISION_IDLE_TIMEOUT_SECONDS": str(spec.idle_timeout_seconds),
            **_serving_readiness(spec.app),
            **self._footprint(),
            **(self._freezer.environment if self._freezer is not None else {}),
        }

    def _footprint(self) -> Mapping[str, str]:
        profile = profile_of(self.spec.queue_proxy.footprint)
        if profile is None:
            return {}
        return {"EMU_FOOTPRINT": json.dumps(profile.to_data(), separators=(",", ":"))}

    def start(self, instance: Instance) -> None:
        """Start an instance; when this returns, the kernel's limits are set and Docker says that it runs (or ran)."""
        failure: list[BaseException] = []

        def start() -> None:
            try:
                self._engine.start(instance.id)
            except BaseException as error:
                failure.append(error)

        starter = threading.Thread(target=start, name=f"start-{instance.container}", daemon=True)
        starter.start()
        wanted = _controls(self._container_spec(instance.container)) if instance.container != SANDBOX else {}
        path = self.cgroup.container_path(instance.id)
        if wanted:
            self._await_birth(path, starter)
            self._control(instance, wanted)
        starter.join()
        if failure:
            raise failure[0]
        if wanted and self.cgroup.manager_writes_controls:
            self._settle_controls(instance, wanted)
        state = self._engine.state(instance.id)
        self._log.append(
            ContainerStarted(
                t=now(),
                container=instance.container,
                attempt=instance.attempt,
                id=instance.id,
                pid=int(state.get("Pid") or 0),
                cgroup=str(path),
            )
        )

    def _await_birth(self, path: Path, starter: threading.Thread) -> None:
        deadline = time.monotonic() + _BORN_DEADLINE_S
        while not path.exists() and starter.is_alive() and time.monotonic() < deadline:
            time.sleep(_BIRTH_LOOK_S)

    def _control(self, instance: Instance, wanted: Mapping[str, str]) -> None:
        path = self.cgroup.container_path(instance.id)
        for name, value in wanted.items():
            try:
                files.write(path / name, value)
            except CgroupError as error:
                self._log.append(
                    Note(t=now(), what=f"{instance.container}: {name} could not be set to {value}", why=error.why)
                )

    def _settle_controls(self, instance: Instance, wanted: Mapping[str, str]) -> None:
        """Systemd writes a scope's files as it starts, over ours: have it know our values, then write again."""
        try:
            self.cgroup.manage_controls(instance.id, wanted)
            self._control(instance, wanted)
        except EmuError as error:
            self._log.append(Note(t=now(), what=f"{instance.container}: {error.what}", why=error.why))

    def _make_cgroup(self) -> None:
        self.cgroup.create()
        self.cgroup.own(self._labels[LABEL_OWNER])
        self._limit_pod()

    def _limit_pod(self) -> None:
        limit = qos.pod_memory_max(tuple(self.asked(name) for name in self.containers), self.spec.memory.max)
        self.cgroup.limit(limit, self.spec.memory.swap_max)

    def _remove_containers(self) -> None:
        """All of them. Without the engine their processes are ended all the same; what it knows of them is removed if
        it comes back soon, else it stays for `emu clean`. EngineGone.
        """
        try:
            self._remove_all()
        except EngineGone:
            self.cgroup.kill()
            if not self._engine.await_back(_BACK_S):
                raise
            self._remove_all()

    def _remove_all(self) -> None:
        for found in self._engine.labelled(f"{LABEL_RUN}={self.run_id}"):
            self._engine.remove(str(found["Id"]))


def _queue_proxy_readiness(asked: ProbeSpec | None) -> PodProbe:
    """Knative's controller gives queue-proxy the app's probe with another handler (queue.go); without one, we look
    often, to know when the pod is ready.
    """
    headers = [{"name": "Host", "value": _HOST}, {"name": "K-Network-Probe", "value": "queue"}]
    handler = HttpGetSpec.model_validate({"path": "/healthz", "port": QUEUE_PORT, "httpHeaders": headers})
    if asked is None or asked.exec is not None:
        return PodProbe(handler, _OWN_LOOK, _OWN_TIMEOUT_S, ours=True)
    return replace(PodProbe.of(asked), handler=handler)


def _serving_readiness(app: AppSpec) -> dict[str, str]:
    """The app's readiness probe as the controller passes it to queue-proxy."""
    probe = app.readiness_probe
    if probe is None or probe.exec is not None:
        return {}
    told = probe.model_dump(mode="json", by_alias=True, exclude_none=True)
    way = told["httpGet"] if probe.http_get is not None else told["tcpSocket"]
    way.update(host="127.0.0.1", port=way.get("port", app.port))
    return {"SERVING_READINESS_PROBE": json.dumps(told, separators=(",", ":"))}


def queue_proxy_environment(concurrency: int, user_port: int, address: str, pod: str) -> dict[str, str]:
    """What Knative's controller sets for queue-proxy (pkg/reconciler/revision/resources/queue.go)."""
    return {
        "CONTAINER_CONCURRENCY": str(concurrency),
        "QUEUE_SERVING_PORT": str(QUEUE_PORT),
        "QUEUE_SERVING_TLS_PORT": str(_TLS_PORT),
        "USER_PORT": str(user_port),
        "REVISION_TIMEOUT_SECONDS": "300",
        "REVISION_RESPONSE_START_TIMEOUT_SECONDS": "0",
        "REVISION_IDLE_TIMEOUT_SECONDS": "0",
        "SERVING_LOGGING_CONFIG": "",
        "SERVING_LOGGING_LEVEL": "info",
        "SERVING_NAMESPACE": _NAMESPACE,
        "SERVING_CONFIGURATION": _CONFIGURATION,
        "SERVING_REVISION": _REVISION,
        "SERVING_SERVICE": "app",
        "SERVING_POD": pod,
        "SERVING_POD_IP": address,
        # No periodSeconds: as the controller leaves it for a default probe, which makes queue-proxy ask every 50 ms.
        "SERVING_READINESS_PROBE": f'{{"tcpSocket":{{"port":{user_port},"host":"127.0.0.1"}},"successThreshold":1}}',
        "ENABLE_HTTP_FULL_DUPLEX": "false",
        "ENABLE_HTTP2_AUTO_DETECTION": "false",
        "ENABLE_MULTI_CONTAINER_PROBES": "false",
        "OBSERVABILITY_CONFIG": "",
        "SYSTEM_NAMESPACE": "knative-serving",
        "HOST_IP": address,
        "ROOT_CA": "",
    }


def sidecar_environment(spec: SidecarSpec) -> dict[str, str]:
    """What a sidecar is told: where to listen; and our stand-in, what to be."""
    env = {} if spec.port is None else {"PORT": str(spec.port)}
    if spec.is_stand_in:
        # Its image is the app's, and so is the PORT that the image sets: without one of its own it listens nowhere.
        env = {"PORT": ""} | env
        env |= {HOLD_VARIABLE: str(spec.hold), START_VARIABLE: str(spec.start)}
    return env


def _controls(spec: ContainerSpec) -> dict[str, str]:
    """The control files that Docker does not set, and what to write; only what differs from the kernel's defaults."""
    memory = spec.memory
    wanted: dict[str, str] = {}
    if memory.high is not None:
        wanted["memory.high"] = str(memory.high)
    if memory.low:
        wanted["memory.low"] = str(memory.low)
    if memory.min:
        wanted["memory.min"] = str(memory.min)
    if memory.oom_group:
        wanted["memory.oom.group"] = "1"
    if spec.resources.limits.memory is None and memory.swap_max is not None:
        wanted["memory.swap.max"] = str(memory.swap_max)
    return wanted
