"""How much memory to ask back of a frozen container, and why not all of it came (cgroup-v2.rst, "memory.reclaim").

Reclaim takes page cache first and writes anonymous memory to swap. Without swap anonymous memory stays where it is,
and so do pages that are dirty until they are written, and the kernel's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from emu.units import format_bytes, parse_bytes

ALL = "all"
STEP_BYTES = 4 << 20
"""One request to the kernel: a resume that comes meanwhile waits for no more than this to be written."""
NOTHING_LEFT_BYTES = 1 << 20
"""What a process cannot be without, page tables and the like: no reason need be given for it."""


def read_amount(text: str | int) -> str:
    """An amount in its one form: `all`, `50%`, or bytes. ValueError with the accepted forms for anything else."""
    said = str(text).strip()
    if said == ALL:
        return ALL
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%", said)
    if match is not None:
        if not 0 < float(match[1]) <= 100:
            raise ValueError(f"{said!r} is not a share; it must be above 0 % and at most 100 %")
        return f"{float(match[1]):g}%"
    try:
        return str(parse_bytes(text))
    except ValueError:
        raise ValueError(f"{text!r} is not an amount of memory; write all, a size (64Mi), or a share (50%)") from None


def wanted_bytes(amount: str, held_bytes: int) -> int:
    """Bytes to ask for of a container that holds `held_bytes` (memory.current)."""
    if amount == ALL:
        return held_bytes
    if amount.endswith("%"):
        return round(held_bytes * float(amount[:-1]) / 100)
    return min(int(amount), held_bytes)


@dataclass(frozen=True)
class Held:
    """What a container holds, in bytes; None where this kernel does not say."""

    current: int
    anon: int | None = None
    file: int | None = None
    swap: int | None = None


@dataclass(frozen=True)
class SwapRoom:
    """Where anonymous memory could go, in bytes: on the machine, and by memory.swap.max (None: no limit)."""

    total: int
    free: int
    limit: int | None = None


def why_not_all(wanted: int, before: Held, after: Held, swap: SwapRoom, *, cut_short: bool = False) -> str:
    """Why less came back than was wanted; empty where all of it did, or no more than what cannot be taken is left."""
    missing = wanted - (before.current - after.current)
    if missing <= NOTHING_LEFT_BYTES or after.current <= NOTHING_LEFT_BYTES:
        return ""
    if cut_short:
        return f"the container was resumed before {format_bytes(missing)} more were reclaimed"
    anon = after.anon or 0
    if anon <= NOTHING_LEFT_BYTES:
        return f"{format_bytes(after.current)} are pages in use: of the kernel, or mapped, dirty or locked"
    stays = f"{format_bytes(anon)} of anonymous memory stay"
    if swap.total == 0:
        return f"{stays}: this machine has no swap"
    if swap.limit == 0:
        return f"{stays}: memory.swap.max is 0"
    if swap.limit is not None and (after.swap or 0) >= swap.limit - NOTHING_LEFT_BYTES:
        return f"{stays}: memory.swap.max of {format_bytes(swap.limit)} is reached"
    if swap.free <= NOTHING_LEFT_BYTES:
        return f"{stays}: the machine's swap is full"
    return f"{stays}: the kernel found no more pages to take"
