"""What the cpu controller's files say, typed (cgroup-v2.rst, "CPU Interface Files"). Times are microseconds."""

from __future__ import annotations

from dataclasses import dataclass

from cgroups.values import NO_LIMIT, Limit


@dataclass(frozen=True, slots=True)
class CpuStat:
    """cpu.stat. The first three are there without the controller too; the rest are `None` unless it is enabled."""

    usage_usec: int | None = None
    user_usec: int | None = None
    system_usec: int | None = None
    nice_usec: int | None = None
    nr_periods: int | None = None
    nr_throttled: int | None = None
    throttled_usec: int | None = None
    nr_bursts: int | None = None
    burst_usec: int | None = None


@dataclass(frozen=True, slots=True)
class CpuMax:
    """cpu.max: at most `quota_usec` of CPU time in each `period_usec`; `NO_LIMIT` for no quota."""

    quota_usec: Limit = NO_LIMIT
    period_usec: int = 100_000

    def __str__(self) -> str:
        return f"{self.quota_usec} {self.period_usec}"
