"""What a kubelet makes of a scenario's requests and limits, as a tree, before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emu.kubelet.template import PodTemplate
from emu.policy.effective import MEMORY
from emu.policy.kubelet.derived import (
    GIVEN,
    OOM_SCORE_ADJ,
    NodeRules,
    Value,
    as_files,
    class_reason,
    class_values,
    node_values,
    reaching,
)
from emu.policy.kubelet.memory import Levels, levels
from emu.policy.kubelet.thresholds import MEMORY_AVAILABLE, Threshold
from emu.policy.kubelet.version import RESERVATION_POLICY, shown
from emu.policy.oom_victims import head_start
from emu.policy.qos import QosClass, qos_class
from emu.serving.template import pod_template
from emu.spec import IoControls, NodeIo, ScenarioSpec
from emu.units import format_bytes, format_seconds


@dataclass(frozen=True)
class Victim:
    """A container as the kernel compares it with the others when the node runs out of memory."""

    pod: str
    container: str
    oom_score_adj: int
    head_start_bytes: int
    """What oom_score_adj adds to the points of each of its processes; the memory that one holds is added to it."""
    request_bytes: int | None
    """At its memory request it has so much more."""

    @property
    def points_at_request_bytes(self) -> int | None:
        """Its points when one process holds all that it requested; None without a request."""
        return None if self.request_bytes is None else self.request_bytes + self.head_start_bytes


_SWAP = {"zram": "on zram, in this machine's memory", "file": "a file on the disk that has the pods' files"}
CLASSES: tuple[QosClass, ...] = ("Guaranteed", "Burstable", "BestEffort")


@dataclass(frozen=True)
class Level:
    """One cgroup, what is set in it, and those below."""

    kind: str
    """`node`, `class`, `pod` or `container`."""
    name: str
    note: str = ""
    values: list[Value] = field(default_factory=list)
    below: list[Level] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        return asdict(self)


def explained(spec: ScenarioSpec, node: NodeRules) -> Level:
    """Every pod of a scenario (of a revision that scales, one) on a node like that."""
    templates = {name or "app": pod_template(one) for name, one in spec.each_pod.items()}
    pods = {name: one.stored(node.version) for name, one in templates.items()}
    above = levels(pods.values(), node.memory_qos, node.version)
    classes = []
    for qos in CLASSES:
        own = {name: templates[name] for name, pod in pods.items() if qos_class(pod) == qos}
        if own:
            classes.append(_class(qos, own, above, node))
    values = [
        *_machine(node, swap_device=spec.node.swap_device),
        *node_values(above, node),
        *_io_max(spec.node.io),
        *_io_cost(spec.node.io),
    ]
    return Level("node", "node", _settings(node), values, classes)


def victims(spec: ScenarioSpec, node: NodeRules) -> list[Victim]:
    """Every container, in the order in which the kernel kills those that hold the same when the node is full."""
    whole = (node.memory_bytes if node.kubepods_max is None else node.kubepods_max) + node.swap_bytes
    found = []
    for name, one in spec.each_pod.items():
        template = pod_template(one)
        for container in template.containers:
            adj = int(as_files(template.container_values(container.name, node))[OOM_SCORE_ADJ])
            request = container.asked.request(MEMORY)
            found.append(Victim(name or "app", container.name, adj, head_start(adj, whole), request or None))
    return sorted(found, key=lambda one: -one.oom_score_adj)


def _settings(node: NodeRules) -> str:
    said = [f"Kubernetes {shown(node.version)}", node.swap_behavior]
    if node.memory_qos is None:
        said.append("Memory QoS off (no memory.min, memory.low, memory.high)")
    else:
        factor = node.memory_qos.throttling_factor
        said.append(f"Memory QoS on: memoryThrottlingFactor {'not set' if factor is None else f'{factor:g}'}")
        if node.version >= RESERVATION_POLICY:
            said.append(f"memoryReservationPolicy {node.memory_qos.policy}")
    said += [_evicts(one, node.memory_bytes) for one in node.eviction if one.signal == MEMORY_AVAILABLE]
    return ", ".join(said)


def _evicts(one: Threshold, memory_bytes: int) -> str:
    after = "" if one.hard else f" for {format_seconds(one.grace_s)}"
    return f"evicts at {one.signal}<{one.value.text_of(memory_bytes)}{after}"


def _io_max(wanted: IoControls) -> list[Value]:
    """A line for each kind of device; which number it has is known where it runs."""
    kinds = {"the disk": wanted.max.disk.given, "each swap device": wanted.max.swap.given}
    return [
        Value("io.max", " ".join(f"{name}={rate}" for name, rate in rates.items()), f"{GIVEN}, of {kind}", given=True)
        for kind, rates in kinds.items()
        if rates
    ]


def _io_cost(node: NodeIo) -> list[Value]:
    if node.cost is None:
        return []
    rates = f"rbps={node.cost.rbps} wbps={node.cost.wbps or node.cost.rbps}"
    return [Value("io.cost.model", rates, f"{GIVEN}, of the disk: shared by io.weight", given=True)]


def _machine(node: NodeRules, *, swap_device: str) -> list[Value]:
    what = "MemTotal" if node.kubepods_max is None else "node.memory"
    reserved = 0 if node.kubepods_max is None else node.memory_bytes - node.kubepods_max
    kept = node.memory_bytes - reserved - node.allocatable
    how = what
    if reserved:
        how += f" - kubeReserved and systemReserved of {format_bytes(reserved)}"
    if kept:
        how += f" - evictionHard of {format_bytes(kept)}"
    return [
        Value(what, str(node.memory_bytes)),
        Value("SwapTotal", str(node.swap_bytes), _SWAP.get(swap_device, ""), given=swap_device in _SWAP),
        Value("allocatable", str(node.allocatable), how),
    ]


def _class(qos: QosClass, templates: Mapping[str, PodTemplate], above: Levels, node: NodeRules) -> Level:
    note = "its pods are in the node's cgroup" if qos == "Guaranteed" else ""
    pods = [_pod(name, one, node) for name, one in templates.items()]
    values = reaching(class_values(qos, above, node), (as_files(one.values) for one in pods))
    return Level("class", qos, note, [] if qos == "Guaranteed" else values, pods)


def _pod(name: str, template: PodTemplate, node: NodeRules) -> Level:
    reason = class_reason(template.stored(node.version))
    containers = [
        Level("container", one.name, _role(one.role), [*template.container_values(one.name, node), *_io_max(one.io)])
        for one in template.containers
    ]
    return Level("pod", name, reason, template.values(node), containers)


def _role(role: str) -> str:
    return {"init": "init container", "sidecar": "sidecar"}.get(role, "")
