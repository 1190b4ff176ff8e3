"""The kernel's memory files of a container, beside those that Kubernetes' resources set."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from emu.spec.values import Control, Model, SpecError
from emu.units import format_bytes


class MemoryControls(Model):
    """The cgroup v2 memory files that Kubernetes' resources do not cover. What is not given here is set as the node's
    kubelet would; what is given wins.
    """

    high: Control = None
    """memory.high: above it the kernel throttles the container and reclaims its memory, but kills no process.
    Default: by Memory QoS where the node has it, else no limit.
    """
    low: Control = None
    """memory.low: below it the kernel reclaims the container's memory only if no unprotected memory is left. Default:
    by Memory QoS, else 0.
    """
    min: Control = None
    """memory.min: below it the kernel never reclaims the container's memory. Default: by Memory QoS, else 0."""
    swap_max: Control = None
    """memory.swap.max: 0 means no swap; `max` means no limit. Default: by the node's `memorySwap`, so 0 unless that
    is given.
    """
    swap_high: Control = None
    """memory.swap.high, which no kubelet sets: above it the kernel makes the container wait at each allocation, so
    that somebody can act before its swap is used up; it reclaims and kills nothing for it. Default: no limit.
    """
    zswap_max: Control = None
    """memory.zswap.max: how much memory its pages may take that zswap compresses instead of writing them to swap;
    `max` means no limit. They stay charged to the container, at their compressed size. emu turns zswap on in the
    sandbox and in the virtual machine; a host has to have it on. Default: 0, so none.
    """
    zswap_writeback: bool | None = None
    """memory.zswap.writeback, from Linux 6.8 on: false keeps the container's pages from being written to swap, both
    by zswap and in its place. Default: true, as the kernel's.
    """
    oom_group: bool | None = None
    """memory.oom.group: kill the whole container on OOM. Default: true, as the kubelet requests since 1.28 on cgroup
    v2, unless the node's `singleProcessOOMKill` is true or its `kubernetes` is older.
    """

    @model_validator(mode="after")
    def _swap_high_is_reached(self) -> Self:
        high, most = self.swap_high, self.swap_max
        if isinstance(high, int) and isinstance(most, int) and high > most:
            raise SpecError(
                f"memory.swap.high of {format_bytes(high)} is above memory.swap.max of {format_bytes(most)}",
                why="the container never has that much in swap, so nothing is throttled",
                fix="lower swapHigh, or raise swapMax",
                at=("swapHigh",),
            )
        return self

    @property
    def given(self) -> dict[str, str]:
        """The control files that are set here, by name."""
        group, writeback = (None if one is None else int(one) for one in (self.oom_group, self.zswap_writeback))
        files = {
            "memory.high": self.high,
            "memory.low": self.low,
            "memory.min": self.min,
            "memory.swap.max": self.swap_max,
            "memory.swap.high": self.swap_high,
            "memory.zswap.max": self.zswap_max,
            "memory.zswap.writeback": writeback,
            "memory.oom.group": group,
        }
        return {name: str(value) for name, value in files.items() if value is not None}

    @property
    def compresses(self) -> bool:
        """Whether it needs a machine with zswap."""
        return self.zswap_max not in (None, 0) or self.zswap_writeback is not None
