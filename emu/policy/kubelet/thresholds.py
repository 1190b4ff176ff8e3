"""When a node is short of something: the kubelet's eviction thresholds, read as its configuration has them.

From pkg/kubelet/eviction/helpers.go; a fault's words are the kubelet's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from emu.policy.autoscaling.numbers import int64
from emu.policy.golang import parse_float, parse_seconds
from emu.policy.quantity import Quantity, parse_quantity

MEMORY_AVAILABLE = "memory.available"
ALLOCATABLE_MEMORY = "allocatableMemory.available"
MEMORY_SIGNALS = (MEMORY_AVAILABLE, ALLOCATABLE_MEMORY)
SIGNALS = (
    *MEMORY_SIGNALS,
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
)
DEFAULT_HARD: Mapping[str, str] = {
    MEMORY_AVAILABLE: "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
"""Where evictionHard is not set at all."""
ENFORCE_PODS = "pods"


class ThresholdError(ValueError):
    """A threshold that the kubelet does not start with."""


@dataclass(frozen=True)
class Amount:
    """A quantity, or a share of what there is."""

    quantity: Quantity | None = None
    share: float = 0.0
    """A float32, as the kubelet computes it."""

    def of(self, capacity: int) -> int:
        """In bytes or pieces, of this capacity."""
        return self.text_of(capacity).value

    def text_of(self, capacity: int) -> Quantity:
        """The amount as the kubelet's messages spell it: a percentage becomes bytes of the capacity."""
        if self.quantity is not None:
            return self.quantity
        return Quantity(int64(float(capacity) * self.share) * 10**9, "binary")


@dataclass(frozen=True)
class Threshold:
    """Met while less than `value` is available."""

    signal: str
    value: Amount
    grace_s: float = 0.0
    """For how long it has to be met before a pod is evicted; 0 makes it a hard one."""
    min_reclaim: Amount | None = None
    """How much more than the threshold has to be available before it is over."""

    @property
    def hard(self) -> bool:
        """No grace period."""
        return self.grace_s == 0


@dataclass(frozen=True)
class ThresholdSettings:
    """The kubelet's settings, by signal."""

    hard: Mapping[str, str] = field(default_factory=lambda: DEFAULT_HARD)
    soft: Mapping[str, str] = field(default_factory=dict)
    soft_grace: Mapping[str, str] = field(default_factory=dict)
    min_reclaim: Mapping[str, str] = field(default_factory=dict)
    enforce: Sequence[str] = (ENFORCE_PODS,)
    """enforceNodeAllocatable."""


def thresholds(settings: ThresholdSettings) -> list[Threshold]:
    """What the settings come to. Where the kubelet enforces kubepods' limit, a hard threshold for memory.available
    holds for what is left of that limit too. ThresholdError in the kubelet's words.
    """
    hard = [one for signal, text in settings.hard.items() if (one := _threshold(signal, text))]
    soft = [one for signal, text in settings.soft.items() if (one := _threshold(signal, text))]
    graces = {signal: _grace(signal, text) for signal, text in settings.soft_grace.items()}
    reclaims = {signal: _min_reclaim(signal, text) for signal, text in settings.min_reclaim.items()}
    for one in soft:
        if one.signal not in graces:
            raise ThresholdError(f"grace period must be specified for the soft eviction threshold {one.signal}")
    found = [*hard, *(replace(one, grace_s=graces[one.signal]) for one in soft)]
    found = [replace(one, min_reclaim=reclaims.get(one.signal)) for one in found]
    if ENFORCE_PODS in settings.enforce:
        found += [replace(one, signal=ALLOCATABLE_MEMORY) for one in found if _is_copied(one)]
    return found


def _is_copied(one: Threshold) -> bool:
    return one.signal == MEMORY_AVAILABLE and one.hard


def _check(signal: str) -> None:
    if signal not in SIGNALS:
        raise ThresholdError(f"unsupported eviction signal {signal}")


def _threshold(signal: str, text: str) -> Threshold | None:
    _check(signal)
    if text in ("0%", "100%"):
        return None
    if text.endswith("%"):
        share = _share(text)
        if share < 0:
            raise ThresholdError(f"eviction percentage threshold {signal} must be >= 0%: {text}")
        if share > 1:
            raise ThresholdError(f"eviction percentage threshold {signal} must be <= 100%: {text}")
        return Threshold(signal, Amount(share=share))
    quantity = _quantity(text)
    if quantity.nano <= 0:
        raise ThresholdError(f"eviction threshold {signal} must be positive: {quantity}")
    return Threshold(signal, Amount(quantity))


def _min_reclaim(signal: str, text: str) -> Amount:
    _check(signal)
    if text.endswith("%"):
        share = _share(text)
        if share <= 0:
            raise ThresholdError(f"eviction percentage minimum reclaim {signal} must be positive: {text}")
        return Amount(share=share)
    quantity = _quantity(text)
    if quantity.nano < 0:
        raise ThresholdError(f"negative eviction minimum reclaim specified for {signal}")
    return Amount(quantity)


def _grace(signal: str, text: str) -> float:
    _check(signal)
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise ThresholdError(str(error)) from error
    if seconds < 0:
        raise ThresholdError(f"invalid eviction grace period specified: {text}, must be a positive value")
    return seconds


def _quantity(text: str) -> Quantity:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ThresholdError(str(error)) from error


def _share(text: str) -> float:
    """A per cent as a float32, divided by a hundred as one."""
    number = text.rstrip("%")
    try:
        value = _float32(parse_float(number))
    except ValueError as error:
        raise ThresholdError(str(error)) from error
    except OverflowError as error:
        raise ThresholdError(f'strconv.ParseFloat: parsing "{number}": value out of range') from error
    return _float32(value / 100)


def _float32(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])
