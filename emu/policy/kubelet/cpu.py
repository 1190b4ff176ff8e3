"""What CPU requests and limits become in a cgroup (kubernetes pkg/kubelet/cm/helpers_linux.go;
opencontainers/cgroups).

Two conversions of shares to cpu.weight are in force at once: the kubelet's own cgroups have the one, containers have
their runtime's.
"""

from __future__ import annotations

import math

from emu.policy.kubelet.version import CFS_PERIOD, NEWEST, Version

LEAST_CPU_SHARES, MOST_CPU_SHARES = 2, 262_144
PERIOD_USEC = 100_000
_LEAST_QUOTA_USEC = 1000
_MOST_CPU_WEIGHT = 10_000


def cpu_shares(millicores: int) -> int:
    """1024 for each CPU requested, at least 2."""
    return max(LEAST_CPU_SHARES, min(MOST_CPU_SHARES, millicores * 1024 // 1000))


def cpu_quota_usec(millicores: int, period_usec: int = PERIOD_USEC, version: Version = NEWEST) -> int:
    """How long it may run in a period; 0 is without a limit. At least a millisecond, so that 5m is really 10m. A
    period other than 100 ms (cpuCFSQuotaPeriod) counts only since 1.36.
    """
    if not millicores:
        return 0
    period_usec = period_usec if version >= CFS_PERIOD else PERIOD_USEC
    return max(_LEAST_QUOTA_USEC, millicores * period_usec // 1000)


def cpu_weight(shares: int) -> int:
    """cpu.weight of a node's, class's or pod's cgroup: 2 to 262144 are spread evenly over 1 to 10000 (KEP 2254). A
    container has it so from runc before 1.3.2 and crun before 1.23.
    """
    if shares >= MOST_CPU_SHARES:
        return _MOST_CPU_WEIGHT
    return 1 + (shares - LEAST_CPU_SHARES) * (_MOST_CPU_WEIGHT - 1) // (MOST_CPU_SHARES - LEAST_CPU_SHARES)


def runtime_cpu_weight(shares: int) -> int:
    """cpu.weight of a container from runc 1.3.2 and crun 1.23 on: a curve on which one CPU is the kernel's 100."""
    if shares <= LEAST_CPU_SHARES:
        return 1
    if shares >= MOST_CPU_SHARES:
        return _MOST_CPU_WEIGHT
    log = math.log2(shares)
    exponent = (log * log + 125 * log) / 612 - 7 / 34
    return math.ceil(math.pow(10, exponent))
