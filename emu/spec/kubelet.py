"""What a node's kubelet is: its Kubernetes version, and the settings of its that a scenario may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from emu.policy.kubelet.derived import NodeRules
from emu.policy.kubelet.memory import MemoryQos
from emu.policy.kubelet.node import NodeMemory, node_memory
from emu.policy.kubelet.thresholds import (
    DEFAULT_HARD,
    MEMORY_AVAILABLE,
    Threshold,
    ThresholdError,
    ThresholdSettings,
    thresholds,
)
from emu.policy.kubelet.version import (
    KEP_2570_FLOOR_FORMULA,
    LATEST,
    LIMITED_SWAP,
    NEWEST,
    NO_SWAP,
    OLDEST,
    OOM_GROUP_IS_A_CHOICE,
    RESERVATION_POLICY,
    THROTTLING_IS_A_CHOICE,
    Version,
    parse_version,
    shown,
)
from emu.spec.values import DOCKER_MINIMUM_BYTES, Bytes, Limit, Millicores, Model, SpecError, Whole, number, startable
from emu.units import format_bytes

_QUOTE = 'write it in quotes, as in "1.34"'


def _version(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SpecError("that is not a Kubernetes version", fix=_QUOTE)
    try:
        version = parse_version(str(value))
    except ValueError:
        raise SpecError(f"{value!r} is not a Kubernetes version", fix=_QUOTE) from None
    if not OLDEST <= version <= LATEST:
        why = f"emu knows the rules of {shown(OLDEST)} to {shown(LATEST)}"
        if isinstance(value, float):
            why += "; without quotes, 1.30 is the number 1.3"
        raise SpecError(f"the rules of Kubernetes {value} are not known", why=why, fix=_QUOTE)
    return shown(version)


KubernetesVersion = Annotated[
    str,
    BeforeValidator(_version),
    WithJsonSchema({"type": "string", "examples": [shown(NEWEST)]}),
]


class MemoryQosSpec(Model):
    """Memory QoS (KEP-2570): memory.min, memory.low and memory.high from requests and limits. The key enables it,
    even as `{}`; without it the feature is off, as by default up to Kubernetes 1.36.
    """

    memory_throttling_factor: Annotated[float, BeforeValidator(number), Field(gt=0, le=1)] | None = None
    """The kubelet's memoryThrottlingFactor: where between request and limit memory.high lies. Default: 0.8 up to
    1.26, 0.9 up to 1.36; from 1.37 on, no memory.high.
    """
    memory_reservation_policy: Literal["None", "TieredReservation"] = "None"
    """The kubelet's memoryReservationPolicy, from 1.36 on. None: nothing is protected. TieredReservation: the request
    becomes memory.min in Guaranteed pods and memory.low in Burstable ones. Before, it always becomes memory.min.
    """

    def factor(self, version: Version) -> float | None:
        """The throttling factor in force: the key's, else the default of the kubelet's version."""
        if self.memory_throttling_factor is not None or version >= THROTTLING_IS_A_CHOICE:
            return self.memory_throttling_factor
        return 0.8 if version < KEP_2570_FLOOR_FORMULA else 0.9


class MemorySwapSpec(Model):
    """The kubelet's memorySwap."""

    swap_behavior: Literal["NoSwap", "LimitedSwap", "UnlimitedSwap"] = "NoSwap"
    """NoSwap: containers do not swap. LimitedSwap, from 1.28 on: a container of a Burstable pod may use swap in
    proportion to its memory request. UnlimitedSwap, up to 1.29: no limit.
    """


class ReservedSpec(Model):
    """What the kubelet keeps back for something else than pods."""

    memory: Bytes = 0
    """Of the node's memory."""


class KubeletSpec(Model):
    """The part of the node that its kubelet decides."""

    memory: Limit = None
    """The memory of the node. Less `kubeReserved` and `systemReserved` it is memory.max of the cgroup that all pods
    are in, at least 6Mi. It bounds their requests together and the size of volumes in memory, and oom_score_adj is
    computed with it. A pod of an autoscaler that does not fit is `Pending` until another one is gone. `max`: the
    machine's, without a limit.
    """
    cpu: Millicores | None = None
    """What the pods' CPU requests may be together, and cpu.weight of the cgroup of all pods; it makes no pod slower.
    Default: they always fit, and the weight is that of the machine's CPUs.
    """
    kube_reserved: ReservedSpec = ReservedSpec()
    """The kubelet's kubeReserved: memory of `node.memory` that pods do not get. memory.max of kubepods is less by it,
    and nothing uses it here. Default: none.
    """
    system_reserved: ReservedSpec = ReservedSpec()
    """The kubelet's systemReserved, as `kubeReserved`."""
    kubernetes: KubernetesVersion = shown(NEWEST)
    """The Kubernetes version whose rules turn requests and limits into control files: 1.22 to 1.37, in quotes."""
    memory_qos: Annotated[MemoryQosSpec | None, Field(alias="memoryQoS")] = None
    """Memory QoS. Default: off."""
    memory_swap: MemorySwapSpec = MemorySwapSpec()
    """Whether containers may use swap. A container's `memory.swapMax` overrides it."""
    single_process_oom_kill: Annotated[bool, Field(alias="singleProcessOOMKill")] = False
    """The kubelet's singleProcessOOMKill, from 1.32 on: an OOM kill takes one process instead of the whole container.
    A container's `memory.oomGroup` overrides it.
    """

    eviction_hard: dict[str, str] = Field(default_factory=dict)
    """The kubelet's evictionHard: `memory.available: 100Mi`, or a per cent. Every 10 s a pod is evicted if less than
    that is available, on the node or of what all pods may use. Default: no eviction; with `evictionSoft`, the
    kubelet's 100Mi.
    """
    eviction_soft: dict[str, str] = Field(default_factory=dict)
    """The kubelet's evictionSoft: as `evictionHard`, but a pod is evicted only once less than that has been available
    for `evictionSoftGracePeriod`, and it is given time to end. Default: none.
    """
    eviction_soft_grace_period: dict[str, str] = Field(default_factory=dict)
    """The kubelet's evictionSoftGracePeriod, one for each soft threshold: `memory.available: 30s`."""
    eviction_minimum_reclaim: dict[str, str] = Field(default_factory=dict)
    """The kubelet's evictionMinimumReclaim: how much more than a threshold must be available until no more pods are
    evicted. Default: none.
    """
    eviction_max_pod_grace_period: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """The kubelet's evictionMaxPodGracePeriod: how many seconds at most a pod that is evicted for a soft threshold is
    given to end.
    """

    @field_validator("memory")
    @classmethod
    def _memory_starts(cls, value: int | None) -> int | None:
        return startable(value)

    @property
    def version(self) -> Version:
        """The Kubernetes version."""
        return parse_version(self.kubernetes)

    @property
    def evicts(self) -> bool:
        """Whether it evicts pods."""
        return bool(self.eviction_hard or self.eviction_soft)

    def _thresholds(self) -> list[Threshold]:
        return thresholds(
            ThresholdSettings(
                self.eviction_hard or DEFAULT_HARD,
                self.eviction_soft,
                self.eviction_soft_grace_period,
                self.eviction_minimum_reclaim,
            )
        )

    def rules(self, memory_bytes: int, swap_bytes: int, cpus: int | None = None) -> NodeRules:
        """On a machine of this size. A node with memory of its own sets nothing aside unless it evicts."""
        found = self._thresholds()
        memory_bytes = memory_bytes if self.memory is None else self.memory
        kept = found if self.evicts or self.memory is None else ()
        of_node = self._node_memory(memory_bytes, kept)
        allocatable = of_node.allocatable
        qos = self.memory_qos
        return NodeRules(
            memory_bytes=memory_bytes,
            swap_bytes=swap_bytes,
            version=self.version,
            memory_qos=None
            if qos is None
            else MemoryQos(qos.memory_reservation_policy, qos.factor(self.version), allocatable),
            swap_behavior=self.memory_swap.swap_behavior,
            single_process_oom_kill=self.single_process_oom_kill,
            allocatable_bytes=allocatable,
            allocatable_millicores=1000 * cpus if self.cpu is None and cpus is not None else self.cpu,
            kubepods_max=None if self.memory is None else of_node.kubepods_max,
            eviction=tuple(found) if self.evicts else (),
            eviction_max_pod_grace_s=self.eviction_max_pod_grace_period,
        )

    def refused(self, memory_bytes: int) -> str | None:
        """Why the kubelet does not start on a node of this size, in its words; None: it starts."""
        return self._node_memory(memory_bytes, self._thresholds()).refused

    @property
    def reserved_bytes(self) -> int:
        """What pods do not get of its memory."""
        return self.kube_reserved.memory + self.system_reserved.memory

    @property
    def kubepods_max(self) -> int | None:
        """memory.max of the cgroup of all pods; None: it has no limit."""
        return None if self.memory is None else max(0, self.memory - self.reserved_bytes)

    def _node_memory(self, memory_bytes: int, hard: Sequence[Threshold]) -> NodeMemory:
        kube, system = self.kube_reserved.memory, self.system_reserved.memory
        return node_memory(memory_bytes, kube_reserved=kube, system_reserved=system, hard=hard)

    def check(self) -> None:
        """SpecError for a setting that the version does not have."""
        self._check_eviction()
        self._check_reserved()
        version, swap = self.version, self.memory_swap.swap_behavior
        policy = None if self.memory_qos is None else self.memory_qos.memory_reservation_policy
        if policy == "TieredReservation" and version < RESERVATION_POLICY:
            raise _later("memoryReservationPolicy", RESERVATION_POLICY, "memoryQoS", "memoryReservationPolicy")
        if self.single_process_oom_kill and version < OOM_GROUP_IS_A_CHOICE:
            raise _later("singleProcessOOMKill", OOM_GROUP_IS_A_CHOICE, "singleProcessOOMKill")
        if swap == "LimitedSwap" and version < LIMITED_SWAP:
            raise _later("LimitedSwap with the formula of today", LIMITED_SWAP, "memorySwap", "swapBehavior")
        if swap == "UnlimitedSwap" and version >= NO_SWAP:
            raise SpecError(
                f"Kubernetes {self.kubernetes} has no UnlimitedSwap",
                why=f"{shown(NO_SWAP)} removed it",
                fix="use LimitedSwap, or set `memory.swapMax: max` for a container",
                at=("memorySwap", "swapBehavior"),
            )

    def _check_reserved(self) -> None:
        if not self.reserved_bytes:
            return
        key = "kubeReserved" if self.kube_reserved.memory else "systemReserved"
        if self.memory is None:
            raise SpecError(
                f"{key} has no effect",
                why="it is kept back of node.memory, and the node has none of its own",
                fix="add node.memory",
                at=(key,),
            )
        left = max(0, self.memory - self.reserved_bytes)
        if left < DOCKER_MINIMUM_BYTES:
            raise SpecError(
                f"kubeReserved and systemReserved leave {format_bytes(left)} of {format_bytes(self.memory)}",
                why="pods need 6 MiB at least",
                fix="lower them, or raise node.memory",
                at=(key,),
            )

    def _check_eviction(self) -> None:
        signals = {
            "evictionHard": self.eviction_hard,
            "evictionSoft": self.eviction_soft,
            "evictionSoftGracePeriod": self.eviction_soft_grace_period,
            "evictionMinimumReclaim": self.eviction_minimum_reclaim,
        }
        for key, texts in signals.items():
            for signal in texts:
                if signal != MEMORY_AVAILABLE:
                    what, why = f"emu has no signal {signal!r}", "it evicts for memory alone"
                    raise SpecError(what, why=why, fix=f"use {MEMORY_AVAILABLE}", at=(key, signal))
        self._check_amounts()
        alone = next((key for key, texts in signals.items() if texts and not self.evicts), None)
        if alone is not None:
            why = "without a threshold nothing is evicted"
            raise SpecError(f"{alone} has no effect", why=why, fix="add evictionHard or evictionSoft", at=(alone,))
        graces = {
            "evictionSoftGracePeriod": self.eviction_soft_grace_period,
            "evictionMaxPodGracePeriod": self.eviction_max_pod_grace_period,
        }
        alone = next((key for key, given in graces.items() if given and not self.eviction_soft), None)
        if alone is not None:
            why = "it is about soft thresholds: a pod that is evicted for a hard one is killed at once"
            raise SpecError(f"{alone} has no effect", why=why, fix="add evictionSoft, or remove it", at=(alone,))

    def _check_amounts(self) -> None:
        """In the kubelet's words, each key by itself first: then the error is at its place."""
        soft, graces = self.eviction_soft, self.eviction_soft_grace_period
        for key, settings in (
            ("evictionHard", ThresholdSettings(self.eviction_hard)),
            ("evictionSoftGracePeriod", ThresholdSettings({}, soft_grace=graces)),
            ("evictionMinimumReclaim", ThresholdSettings({}, min_reclaim=self.eviction_minimum_reclaim)),
            ("evictionSoft", ThresholdSettings({}, soft, graces)),
        ):
            try:
                thresholds(settings)
            except ThresholdError as wrong:
                fix = (
                    "write a duration, such as 30s"
                    if key == "evictionSoftGracePeriod"
                    else "write a size or a per cent"
                )
                if key == "evictionSoft" and not graces:
                    fix = "add evictionSoftGracePeriod"
                why, at = "a kubelet does not start with it", (key, MEMORY_AVAILABLE)
                raise SpecError(str(wrong), why=why, fix=fix, at=at) from None


def _later(what: str, since: Version, *at: str) -> SpecError:
    return SpecError(
        f"this Kubernetes version does not have {what}",
        why=f"it is there from {shown(since)} on",
        fix="remove it, or raise node.kubernetes",
        at=at,
    )
