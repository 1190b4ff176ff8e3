"""Whom the kernel kills when a cgroup or the machine runs out of memory (mm/oom_kill.c, oom_badness). Pure."""

from __future__ import annotations

UNKILLABLE_ADJ = -1000
"""oom_score_adj of a process that the kernel never chooses."""


def points(held_bytes: int, oom_score_adj: int, whole_bytes: int) -> int | None:
    """A process's points, in bytes; the kernel kills the process that has most. None: it is never chosen.

    `held_bytes`: its resident memory, swap and page tables. `whole_bytes`: what ran out: a cgroup's memory.max, or
    the machine's memory, and the swap that may be used beside it. oom_score_adj adds so many thousandths of that.
    """
    if oom_score_adj <= UNKILLABLE_ADJ:
        return None
    return held_bytes + head_start(oom_score_adj, whole_bytes)


def head_start(oom_score_adj: int, whole_bytes: int) -> int:
    """What oom_score_adj adds to, or takes from, the points of a process, in bytes."""
    return oom_score_adj * whole_bytes // 1000
