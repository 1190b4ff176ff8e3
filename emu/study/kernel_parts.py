"""What memory.stat calls `kernel`, in its parts; and what of the page cache is not on disk yet."""

from __future__ import annotations

from collections.abc import Mapping

KERNEL_PARTS = ("slab_reclaimable", "slab_unreclaimable", "kernel_stack", "pagetables", "percpu")
"""By memory.stat's names."""
ZSWAP = "zswap"
"""What zswap holds compressed is in `kernel` too, and is no part of it to a reader: it is on its way to swap."""
OTHER = "kernel_other"
"""The rest."""


def dirty(stat: Mapping[str, int | None]) -> int | None:
    """Page cache that is dirty or being written. file_writeback counts pages on their way to swap too, which are in
    swapcached. None where the kernel does not say.
    """
    changed, written = stat.get("file_dirty"), stat.get("file_writeback")
    if changed is None or written is None:
        return None
    return changed + written - min(written, stat.get("swapcached") or 0)


def other_kernel(stat: Mapping[str, int | None]) -> int | None:
    """What memory.stat counts as kernel memory under no name of its own: pages of pipes, mostly. Parts are counted in
    other steps than the sum, so up to some pages of it may be theirs. None where the sum or a part is not known.
    """
    parts = [stat.get(name) for name in ("kernel", *KERNEL_PARTS)]
    if any(part is None for part in parts):
        return None
    whole, *named = [part or 0 for part in parts]
    return max(0, whole - sum(named) - (stat.get(ZSWAP) or 0))
