"""Kubernetes versions: the minor one picks the rules."""

from __future__ import annotations

import re

Version = tuple[int, int]

NEWEST: Version = (1, 36)
"""The newest whose rules were checked by running its code."""
OLDEST, LATEST = (1, 22), (1, 37)
"""The first and last whose rules are known; from 1.22 on there is Memory QoS, and 1.37's were read, not run."""
KEP_2570_FLOOR_FORMULA: Version = (1, 27)
OOM_GROUP: Version = (1, 28)
SIDECARS: Version = (1, 29)
"""An init container with restartPolicy Always keeps running; before, the API server drops the field."""
NO_SWAP: Version = (1, 30)
EVICTION_GRACE: Version = (1, 30)
CRITICAL_PODS_DO_NOT_SWAP: Version = (1, 31)
TMPFS_NOSWAP: Version = (1, 31)
FIXED_BACK_OFF_RESET: Version = (1, 32)
"""Back-off is forgotten after 10 minutes; before, after twice the longest delay."""
SIDECAR_OOM_SCORE: Version = (1, 32)
OOM_GROUP_IS_A_CHOICE: Version = (1, 32)
SOFT_EVICTION_GRACE: Version = (1, 32)
BACK_OFF_BY_RESOURCES: Version = (1, 34)
POD_LEVEL: Version = (1, 34)
"""`spec.resources` of the pod itself is on by default."""
IN_PLACE_RESIZE: Version = (1, 33)
RESIZE_SHRINKS_MEMORY: Version = (1, 34)
PRINTER_NOT_READY: Version = (1, 35)
CFS_PERIOD: Version = (1, 36)
RESIZE_OF_INIT_CONTAINERS: Version = (1, 36)
"""And of pods with resources of their own."""
RESIZE_BEYOND_THE_NODE_WAITS: Version = (1, 36)
RESERVATION_POLICY: Version = (1, 36)
LIMITED_SWAP: Version = (1, 28)
"""Its formula is that of today."""
THROTTLING_IS_A_CHOICE: Version = (1, 37)
"""memory.high is not written unless memoryThrottlingFactor is set."""


def parse_version(text: str) -> Version:
    """`1.34`, `v1.34.9` → (1, 34); ValueError for anything else."""
    match = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?", text)
    if match is None:
        raise ValueError(f"{text!r} is not a Kubernetes version; write it like 1.34")
    return int(match[1]), int(match[2])


def shown(version: Version) -> str:
    """A version as text: (1, 34) → `1.34`."""
    return f"{version[0]}.{version[1]}"
