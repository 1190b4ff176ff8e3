"""What Knative's controller makes of a revision: the template of its pods (pkg/reconciler/revision/resources).

Pure: a specification goes in, a template comes out. Here is all that emu knows of how a revision becomes a pod:
queue-proxy's container and environment, whose the readiness probe is, the hook that waits for queue-proxy's drain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from emu.files.profiles import profile_of
from emu.helpers.freezer_access import MOUNT, Access
from emu.kubelet.environment import fields_of
from emu.kubelet.template import (
    ContainerTemplate,
    EmptyDir,
    Hook,
    Mount,
    PodProbe,
    PodTemplate,
    Volume,
)
from emu.messages import (
    APP,
    DATA_DIR,
    FREEZER_TOKEN_VARIABLE,
    HOLD_VARIABLE,
    HOST,
    NETWORK_PROBE_HEADER,
    QUEUE_ADMIN_PORT,
    QUEUE_PORT,
    QUEUE_PROXY,
    REPORT_VARIABLE,
    START_VARIABLE,
    VOLUMES_VARIABLE,
    WORK_VARIABLE,
)
from emu.policy.kubelet.environment import NAMESPACE, FieldRef, Known, Value, variables
from emu.policy.kubelet.security import PLAIN
from emu.policy.lifecycle import BackOffRule
from emu.policy.probing import Kind, ProbeRule
from emu.policy.stats import REPORT_PERIOD_S
from emu.runtime import images
from emu.spec import (
    AppSpec,
    ContainerSpec,
    ExecSpec,
    HttpGetSpec,
    InitContainerSpec,
    NamedPodSpec,
    PlainContainerSpec,
    PodSpec,
    ProbeSpec,
    QueueProxySpec,
    SidecarSpec,
    TaskSpec,
    TcpSocketSpec,
    VolumeSpec,
    revision_name,
)
from emu.spec.environment import objects, values_of
from emu.spec.pod_resources import asked
from emu.spec.services import SHORT_FORM
from emu.spec.volumes import EmptyDirSpec

_GROUP = "serving.knative.dev"
REVISION = revision_name(SHORT_FORM)


class Serving(NamedTuple):
    """Whose pods they are."""

    service: str = SHORT_FORM
    revision: str = REVISION


_OF_SHORT_FORM = Serving()
_TLS_PORT = 8112
_DRAIN_PATH = "/wait-for-drain"
_DATA = "data"
_STAND_IN = ("/usr/bin/python3", "-S", "-m", "emu.daemon.app.sidecar")
"""What emu's app image runs as a sidecar."""
_TASK = ("/usr/bin/python3", "-S", "-m", "emu.daemon.app.task")
"""What it runs as an init container."""
_OWN_LOOK = ProbeRule(eager_s=0.1)
_OWN_LOOK_ONCE = replace(_OWN_LOOK, once=True)
_OWN_TIMEOUT_S = 1.0


def pod_template(
    spec: PodSpec,
    *,
    freezer: Access | None = None,
    app_image: str | None = None,
    of: Serving = _OF_SHORT_FORM,
    time_scale: float = 1.0,
) -> PodTemplate:
    """The template of a revision's pods, or of a plain pod. `freezer`: how queue-proxy reaches a freezer daemon.
    `app_image`: in place of the app's image. `of`: whose pods they are. `time_scale` shortens the time between two of
    queue-proxy's reports.
    """
    if isinstance(spec, NamedPodSpec) and spec.plain:
        return _plain(spec)
    return replace(
        _of_pod(spec, has_volume=_has_volume(spec.app)),
        containers=(
            *(_init(one) for one in spec.init_containers),
            *((_queue_proxy(spec, freezer, of, time_scale),) if spec.has_queue_proxy else ()),
            _app(spec, app_image, of),
            *(_sidecar(one, _of_revision(of) if spec.has_queue_proxy else None) for one in spec.sidecars),
        ),
        port=QUEUE_PORT if spec.has_queue_proxy else spec.app.port,
        labels=_labels(of) if spec.has_queue_proxy else {},
    )


def _plain(spec: NamedPodSpec) -> PodTemplate:
    """A pod without a queue-proxy: what its user asks for and nothing else, as Kubernetes runs it."""
    return replace(
        _of_pod(spec, has_volume=any(one.is_app for one in spec.plain)),
        containers=(
            *(_init(one) for one in spec.init_containers),
            *(_plain_container(one) for one in spec.plain),
        ),
        port=next((one.port for one in spec.plain if one.port is not None), None),
        resources=None if spec.resources is None else asked(spec.resources),
    )


def _of_pod(spec: PodSpec, *, has_volume: bool) -> PodTemplate:
    """What is the pod's, with a queue-proxy or without. `has_volume`: for the files that are made for it."""
    return PodTemplate(
        containers=(),
        memory=spec.memory,
        io_weight=spec.io.weight,
        volumes=(Volume(_DATA, spec.own_files),) if has_volume else (),
        empty_dirs=tuple(_empty_dir(one) for one in spec.volumes),
        shm_bytes=spec.shm_size,
        grace_s=spec.grace_s,
        last_grace_s=spec.termination_grace_period_seconds or 0,
        priority=spec.effective_priority,
        priority_class=spec.priority_class_name or "",
        preempts=spec.preemption_policy != "Never",
        restart_policy=spec.restart_policy,
        back_off=_back_off(spec),
        objects=objects(spec.config_maps, spec.secrets),
    )


def _labels(of: Serving) -> dict[str, str]:
    """Knative's own of a pod (pkg/reconciler/revision/resources/meta.go)."""
    return {
        "app": of.revision,
        f"{_GROUP}/configuration": of.service,
        f"{_GROUP}/revision": of.revision,
        f"{_GROUP}/service": of.service,
    }


def _plain_container(spec: PlainContainerSpec) -> ContainerTemplate:
    probes = _probes(spec)
    if spec.port is not None:
        probes.setdefault("readiness", _LISTENS)
    env = {} if spec.port is None else {"PORT": str(spec.port)}
    if spec.is_app and spec.volume_mounts:
        env[VOLUMES_VARIABLE] = ":".join(one.mount_path for one in spec.volume_mounts)
    made = _container(spec.name, spec, images.APP, env, probes, port=spec.port)
    return replace(made, volume=(_DATA, DATA_DIR)) if spec.is_app else made


def _back_off(spec: PodSpec) -> BackOffRule:
    asked = spec.back_off
    return BackOffRule(asked.initial, asked.max, asked.reset_after).scaled(asked.scale)


def _has_volume(app: AppSpec) -> bool:
    """emu's own app has a volume on the engine's disk; another image only if the scenario makes files for it."""
    return app.image is None or bool(app.files)


def _queue_proxy(spec: PodSpec, freezer: Access | None, of: Serving, time_scale: float) -> ContainerTemplate:
    own = spec.queue_proxy
    probes = _probes(own)
    probes.setdefault("readiness", _queue_proxy_readiness(spec.app.readiness_probe))
    env = {
        **_controllers_environment(spec.container_concurrency, spec.app.port, of),
        "REVISION_TIMEOUT_SECONDS": str(spec.timeout_seconds),
        "REVISION_RESPONSE_START_TIMEOUT_SECONDS": str(spec.response_start_timeout_seconds),
        "REVISION_IDLE_TIMEOUT_SECONDS": str(spec.idle_timeout_seconds),
        **_serving_readiness(spec.app),
        **_footprint(own),
        **({REPORT_VARIABLE: f"{REPORT_PERIOD_S / time_scale:g}"} if time_scale != 1 else {}),
        **(_freezer_access(freezer) if freezer is not None else {}),
    }
    made = _container(QUEUE_PROXY, own, images.QUEUE_PROXY, env, probes, port=QUEUE_PORT)
    return made if freezer is None else replace(made, bind=(str(freezer.folder), MOUNT))


def _app(pod: PodSpec, image: str | None, of: Serving) -> ContainerTemplate:
    """Behind a queue-proxy, its readiness by HTTP or TCP is queue-proxy's affair, and an exec probe stays with the
    app; its end waits for queue-proxy's drain.
    """
    spec = pod.app
    probes = _probes(spec)
    env = {"PORT": str(spec.port)}
    hook = _hook(spec)
    if pod.has_queue_proxy:
        if "readiness" in probes and not isinstance(probes["readiness"].handler, ExecSpec):
            del probes["readiness"]
        env |= _of_revision(of)
        hook = hook or HttpGetSpec(port=QUEUE_ADMIN_PORT, path=_DRAIN_PATH)
    probes.setdefault("readiness", _LISTENS)
    if spec.volume_mounts:
        env[VOLUMES_VARIABLE] = ":".join(one.mount_path for one in spec.volume_mounts)
    made = _container(APP, spec, images.APP, env, probes, port=spec.port)
    return replace(
        made,
        image=image or made.image,
        pre_stop=hook,
        volume=(_DATA, DATA_DIR) if _has_volume(spec) else None,
    )


def _of_revision(of: Serving) -> dict[str, str]:
    """What Knative's controller gives each container of a revision but queue-proxy and the init containers."""
    return {"K_REVISION": of.revision, "K_CONFIGURATION": of.service, "K_SERVICE": of.service}


def _sidecar(spec: SidecarSpec, platform: Mapping[str, str] | None = None) -> ContainerTemplate:
    """`platform`: what variables it gets besides its own."""
    probes = _probes(spec)
    if spec.port is not None:
        probes.setdefault("readiness", _LISTENS)
    made = _container(
        spec.name, spec, images.APP, {**sidecar_environment(spec), **(platform or {})}, probes, port=spec.port
    )
    return replace(made, args=_STAND_IN) if spec.is_stand_in else made


def _init(spec: InitContainerSpec) -> ContainerTemplate:
    if spec.is_sidecar:
        return replace(_sidecar(spec), role="sidecar")
    env = {}
    if spec.is_stand_in:
        env = {WORK_VARIABLE: (spec.do or TaskSpec()).to_work().to_query()}
    made = _container(spec.name, spec, images.APP, env, {}, port=None)
    return replace(made, role="init", args=_TASK if spec.is_stand_in else made.args)


def _empty_dir(spec: VolumeSpec) -> EmptyDir:
    kind = spec.empty_dir or EmptyDirSpec()
    return EmptyDir(spec.name, files=spec.files, in_memory=kind.in_memory, size_limit=kind.size_limit)


def _container(
    name: str,
    spec: ContainerSpec,
    image: str,
    env: Mapping[str, Value],
    probes: Mapping[Kind, PodProbe],
    port: int | None,
) -> ContainerTemplate:
    """What all have in common; `image` where the scenario names none."""
    return ContainerTemplate(
        name=name,
        image=spec.image or image,
        command=spec.command,
        args=spec.args,
        env=_declared(spec, env),
        env_from=tuple(one.source for one in spec.env_from),
        working_dir=spec.working_dir,
        security=PLAIN if spec.security_context is None else spec.security_context.security,
        resources=spec.resources,
        memory=spec.memory,
        io=spec.io,
        port=port,
        probes=probes,
        declared_probes=tuple(sorted(spec.probes)),
        pre_stop=_hook(spec),
        mounts=tuple(Mount(one.name, one.mount_path, one.read_only) for one in spec.volume_mounts),
        confined=spec.image is None or name == QUEUE_PROXY,
        stands_in_for=_stands_in_for(spec),
    )


def _declared(spec: ContainerSpec, env: Mapping[str, Value]) -> dict[str, Value]:
    """The user's variables and after them those of the platform, as Knative has it; the user's win."""
    own = values_of(spec.env)
    return {**own, **{name: value for name, value in env.items() if name not in own}}


def _stands_in_for(spec: ContainerSpec) -> str:
    program = spec.program if isinstance(spec, AppSpec | SidecarSpec) and spec.image is None else None
    return "" if program is None else program.image


_LISTENS = PodProbe(TcpSocketSpec(), _OWN_LOOK_ONCE, _OWN_TIMEOUT_S, ours=True)
"""A container without a readiness probe is ready as long as it runs; emu calls it so from when it listens."""


def _probes(spec: ContainerSpec) -> dict[Kind, PodProbe]:
    return {kind: PodProbe.of(probe) for kind, probe in spec.probes.items()}


def _hook(spec: ContainerSpec) -> Hook | None:
    hook = spec.lifecycle.pre_stop
    return None if hook is None else hook.handler


def _queue_proxy_readiness(asked: ProbeSpec | None) -> PodProbe:
    """Knative's controller gives queue-proxy the app's probe with another handler (queue.go), and the kubelet asks it
    every 10 s where the app has none; until it succeeds we look more often, to know when the pod is ready.
    """
    headers = [{"name": "Host", "value": HOST}, {"name": NETWORK_PROBE_HEADER, "value": "queue"}]
    handler = HttpGetSpec.model_validate({"path": "/healthz", "port": QUEUE_PORT, "httpHeaders": headers})
    if asked is None or asked.exec is not None:
        return PodProbe(handler, _OWN_LOOK, _OWN_TIMEOUT_S, ours=True)
    return replace(PodProbe.of(asked), handler=handler)


def _serving_readiness(app: AppSpec) -> dict[str, str]:
    """The app's readiness probe as the controller passes it to queue-proxy."""
    probe = app.readiness_probe
    if probe is None or probe.exec is not None:
        return {}
    passed = probe.model_dump(mode="json", by_alias=True, exclude_none=True)
    kind = next(one for one in ("httpGet", "tcpSocket", "grpc") if one in passed)
    host = {} if kind == "grpc" else {"host": "127.0.0.1"}
    passed[kind].update(**host, port=passed[kind].get("port", app.port))
    return {"SERVING_READINESS_PROBE": json.dumps(passed, separators=(",", ":"))}


def _freezer_access(freezer: Access) -> dict[str, Value]:
    """Each pod has a token of its own, in a file that bears its name."""
    return {**freezer.environment, FREEZER_TOKEN_VARIABLE: FieldRef("metadata.name", before=f"{MOUNT}/")}


def _footprint(spec: QueueProxySpec) -> dict[str, str]:
    profile = profile_of(spec.footprint)
    if profile is None:
        return {}
    return {"EMU_FOOTPRINT": json.dumps(profile.to_data(), separators=(",", ":"))}


def _controllers_environment(concurrency: int, user_port: int, of: Serving = _OF_SHORT_FORM) -> dict[str, Value]:
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
        "SERVING_NAMESPACE": NAMESPACE,
        "SERVING_CONFIGURATION": of.service,
        "SERVING_REVISION": of.revision,
        "SERVING_SERVICE": of.service,
        "SERVING_POD": FieldRef("metadata.name"),
        "SERVING_POD_IP": FieldRef("status.podIP"),
        # No periodSeconds: as the controller leaves it for a default probe, which makes queue-proxy ask every 50 ms.
        "SERVING_READINESS_PROBE": f'{{"tcpSocket":{{"port":{user_port},"host":"127.0.0.1"}},"successThreshold":1}}',
        "ENABLE_HTTP_FULL_DUPLEX": "false",
        "ENABLE_HTTP2_AUTO_DETECTION": "false",
        "ENABLE_MULTI_CONTAINER_PROBES": "false",
        "OBSERVABILITY_CONFIG": "",
        "SYSTEM_NAMESPACE": "knative-serving",
        "HOST_IP": FieldRef("status.hostIP"),
        "ROOT_CA": "",
    }


def queue_proxy_environment(concurrency: int, user_port: int, address: str, pod: str) -> dict[str, str]:
    """A queue-proxy's environment outside of a pod that the kubelet runs."""
    known = Known(fields_of(pod, address, {}))
    return variables((), _controllers_environment(concurrency, user_port), QUEUE_PROXY, known)


def sidecar_environment(spec: SidecarSpec) -> dict[str, str]:
    """Where a sidecar is to listen; for emu's stand-in, also what it is to hold and when it is ready."""
    env = {} if spec.port is None else {"PORT": str(spec.port)}
    if spec.is_stand_in:
        # Its image is the app's, and so is the PORT that the image sets: without one of its own it listens nowhere.
        env = {"PORT": ""} | env
        env |= {HOLD_VARIABLE: str(spec.hold), START_VARIABLE: str(spec.start)}
    return env
