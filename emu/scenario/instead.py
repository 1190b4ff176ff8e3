"""What a scenario says instead of a word that Kubernetes, other load generators or people have for it."""

from __future__ import annotations

from emu.spec import (
    AppSpec,
    ContainerSpec,
    LoadModel,
    Model,
    PhaseModel,
    PlainContainerSpec,
    PodSpec,
    RequestModel,
    ScenarioSpec,
    SidecarSpec,
    VolumeMountSpec,
    VolumeSpec,
    WorkSpec,
)
from emu.spec.autoscaling import AutoscalingSpec
from emu.spec.container import ResourceList
from emu.spec.load import UntilModel
from emu.spec.node import NodeSpec
from emu.spec.probes import LifecycleSpec

_NOTHING = "remove it: it changes nothing here"
_ONE_NODE = "remove it: there is one node, and every pod is on it"
_ONCE = "remove it: a client sends each request once, so that the results have what became of it"
_HTTP_1 = "remove it: clients speak HTTP/1.1, in plain text"
_STREAM = "remove it: an answer is sent at once; `do: {sleep: …}` delays it, `readRate` of the request makes it last"
_HOLD = "write `hold: 10Mi`; with `holdFor: forever` it is a leak"
_RATE = "write `rate`, in requests per second"
_CLIENTS = "write `clients` in a phase of `type: closed`: so many at once, each waiting for its answer"
_BODY = "write `body`: a size (`64Ki`), or `{text: …}`, `{json: …}`, `{file: …}`"
_RESOURCES = "write it below `resources`, as in `resources: {limits: {memory: 64Mi}}`"
_PORT = "write one number: `port: 8080`"

_SPOKEN = dict.fromkeys(("http2", "h2", "h2c", "grpc", "protocol", "tls", "https", "scheme"), _HTTP_1)
_STREAMED = dict.fromkeys(("stream", "streaming", "sse", "chunked", "chunks"), _STREAM)
_RETRIED = dict.fromkeys(("retries", "retry", "maxretries", "retryon"), _ONCE)

_INSTEAD: tuple[tuple[type[Model], dict[str, str]], ...] = (
    (
        ScenarioSpec,
        {
            **dict.fromkeys(("description", "title"), "write `question`"),
            **dict.fromkeys(("assert", "asserts", "assertions", "checks"), "write `expect`"),
            "containers": "list them below an item of `pods`; a Knative pod has `app` and `sidecars` below `pod`",
            "phases": "write it below `load`",
        },
    ),
    (
        PodSpec,
        {
            "containers": "write `app` and `sidecars`; or list the pod below `pods`, where it may have `containers`",
            **dict.fromkeys(
                ("replicas", "replicacount"),
                "write `autoscaling: {minScale: 2, maxScale: 2}`; or list pods that differ below `pods`",
            ),
            **dict.fromkeys(("hpa", "horizontalpodautoscaler"), "write `autoscaling: {class: hpa, …}`"),
            "resources": "write it in each container; the pod's own limit is `memory: {max: …}`",
            "emptydir": "write `volumes: [{name: …, emptyDir: {}}]`",
            "annotations": "write what they set: `emu init FILE` makes a scenario of a manifest with annotations",
            **dict.fromkeys(
                ("nodeselector", "nodename", "affinity", "tolerations", "topologyspreadconstraints"), _ONE_NODE
            ),
            **dict.fromkeys(
                ("labels", "metadata", "namespace", "serviceaccountname", "imagepullsecrets", "hostnetwork"), _NOTHING
            ),
        },
    ),
    (AppSpec, {"ports": _PORT, "containerport": _PORT}),
    (PlainContainerSpec, {"ports": _PORT, "containerport": _PORT}),
    (SidecarSpec, {"ports": _PORT, "containerport": _PORT}),
    (
        ContainerSpec,
        {
            **dict.fromkeys(("limits", "requests", "cpu", "memorylimit", "cpulimit"), _RESOURCES),
            "oomscoreadj": "remove it: the kubelet derives it from `resources`, as `emu explain` shows",
            **dict.fromkeys(
                ("tty", "stdin", "stdinonce", "terminationmessagepath", "terminationmessagepolicy"), _NOTHING
            ),
        },
    ),
    (
        ResourceList,
        {
            "ephemeralstorage": "remove it: no disk space is limited here, and no pod is evicted for it",
            **dict.fromkeys(("nvidia.com/gpu", "amd.com/gpu", "gpu"), "remove it: there is no GPU here"),
        },
    ),
    (
        VolumeSpec,
        {
            **dict.fromkeys(
                ("hostpath", "persistentvolumeclaim", "pvc", "nfs", "csi", "ephemeral", "local"),
                "write `emptyDir: {}`, empty at the pod's start; `filesOf` of a pod shares another pod's files",
            ),
            "downwardapi": "write `env` with `fieldRef` or `resourceFieldRef`",
            "sizelimit": "write `emptyDir: {medium: Memory, sizeLimit: 64Mi}`",
            "medium": "write `emptyDir: {medium: Memory}`",
        },
    ),
    (VolumeMountSpec, {"subpath": "remove it: the whole volume is mounted"}),
    (LifecycleSpec, {"poststart": "remove it: `command` or an init container can do what it does"}),
    (
        NodeSpec,
        {
            "swap": "write `memorySwap: {swapBehavior: LimitedSwap}`; how much the machine has is `sandbox.swap`",
            **dict.fromkeys(("cgroup", "cgroups", "cgroupversion"), "remove it: every run is on cgroup v2"),
        },
    ),
    (AutoscalingSpec, {"minreplicas": "write `minScale`", "maxreplicas": "write `maxScale`"}),
    (
        UntilModel,
        {
            "requests": "write `answered`",
            "pods": "write `readyPods`",
            **dict.fromkeys(("time", "duration", "seconds"), "write `duration` of the phase, its maximum"),
        },
    ),
    (LoadModel, {"rate": "write it in a phase", "duration": "write it in a phase", **_RETRIED}),
    (
        PhaseModel,
        {
            **dict.fromkeys(("rps", "qps", "requestspersecond", "throughput"), _RATE),
            **dict.fromkeys(("concurrency", "users", "vus", "connections", "workers", "threads"), _CLIENTS),
            **dict.fromkeys(("requests", "number", "total"), "write `count`"),
            "delay": "write `start`, from the beginning of the load; or a phase of `type: pause` before it",
            "repeat": "write a phase for each time",
            **_RETRIED,
            **_SPOKEN,
            **_STREAMED,
        },
    ),
    (
        RequestModel,
        {
            **dict.fromkeys(("url", "uri", "endpoint", "query"), "write `path: /where?x=1`"),
            **dict.fromkeys(("data", "payload", "json", "content"), _BODY),
            **_RETRIED,
            **_SPOKEN,
            **_STREAMED,
        },
    ),
    (
        WorkSpec,
        {
            **dict.fromkeys(("allocate", "alloc", "malloc", "memory", "mem", "heap", "leak"), _HOLD),
            **dict.fromkeys(("delay", "wait", "latency", "duration"), "write `sleep`"),
            **dict.fromkeys(("crash", "kill", "abort"), "write `exit`, with the code"),
            **dict.fromkeys(("error", "fail"), "write `status: 500`"),
            **dict.fromkeys(("fork", "process", "subprocess"), "write `hold` with `child: true`"),
            **dict.fromkeys(("burn", "compute"), "write `cpu`"),
            **dict.fromkeys(("response", "responsesize", "answersize"), "write `answer`, a size"),
            "read": "write `readFile`, and `readBytes` for a piece of it",
            "write": "write `writeFile` and `writeBytes`",
            "mmap": "remove it: emu's app reads and writes files; `command` can run a program that maps them",
            **dict.fromkeys(("shm", "tmpfs"), "write `writeFile: /dev/shm/x` and `writeBytes`"),
            **_STREAMED,
        },
    ),
)
"""Of each mapping the words in lower case, without `-` and `_`. What a class has, those made of it have too."""


def instead_of(word: str, model: type[Model] | None) -> str | None:
    """What to write for a word that a mapping of this model does not have; None where it is not a known one."""
    plain = word.lower().replace("_", "").replace("-", "")
    if model is None:
        return None
    return next((words[plain] for known, words in _INSTEAD if issubclass(model, known) and plain in words), None)
