"""Kernel memory in words: what it is, largest first."""

from __future__ import annotations

from emu.report.words import listed
from emu.study.kernel_parts import OTHER
from emu.study.model.kills import OomVerdict
from emu.units import format_bytes

FILLS = 0.5
"""From this share of what ran out on, it is kernel memory that filled it."""
WORTH_A_WORD = 0.05
"""A part below this share of what ran out is left out."""
HELD_FOR = {
    "slab_unreclaimable": "slab",
    "kernel_stack": "stacks of threads",
    "pagetables": "page tables",
    "percpu": "per-CPU data",
    OTHER: "buffers of pipes and the like",
}
"""It goes with what it is held for."""
PARTS = {
    **HELD_FOR,
    "slab_reclaimable": "slab that could be reclaimed",
    "slab_unreclaimable": "slab that cannot be reclaimed",
}
SOCK = "socket buffers"


def filled_by_the_kernel(kill: OomVerdict) -> str:
    """`; it held 70 MiB of kernel memory (50 MiB of it …) and 8 MiB of socket buffers`; empty where most was no such
    memory.
    """
    whole, sock = sum(kill.held.values()), kill.held.get("sock", 0)
    kernel = kill.held.get("kernel", 0)
    if not whole or kernel + sock < FILLS * whole:
        return ""
    parts = [f"{format_bytes(kernel)} of kernel memory{largest(kill, whole)}"]
    if sock >= WORTH_A_WORD * whole:
        parts.append(f"{format_bytes(sock)} of {SOCK}")
    who = {"pod": "the pod", "node": "all pods together"}.get(kill.level, "it")
    return f"; {who} held {listed(parts)}"


def largest(kill: OomVerdict, whole: int) -> str:
    """` (48 MiB of it stacks of threads)`: the parts of kernel memory that are much; empty where none is."""
    least = max(1, WORTH_A_WORD * whole)
    parts = sorted(kill.held_kernel.items(), key=lambda part: -part[1])
    words = [f"{format_bytes(size)} of it {PARTS[name]}" for name, size in parts[:1] if size >= least]
    words += [f"{format_bytes(size)} {PARTS[name]}" for name, size in parts[1:] if size >= least]
    return f" ({listed(words)})" if words else ""
