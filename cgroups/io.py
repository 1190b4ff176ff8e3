"""What the io controller's files say, typed, one device at a time (cgroup-v2.rst, "IO Interface Files").

A device is "MAJOR:MINOR". Only real block devices are counted: files on tmpfs, or on a file system of the host that a
guest sees through a share, never show up here.
"""

from __future__ import annotations

from dataclasses import dataclass

from cgroups.values import NO_LIMIT, Limit


@dataclass(frozen=True, slots=True)
class IoStat:
    """One device's line of io.stat: bytes and requests (`ios`) read, written and discarded. `None`: not reported."""

    device: str
    rbytes: int | None = None
    wbytes: int | None = None
    rios: int | None = None
    wios: int | None = None
    dbytes: int | None = None
    dios: int | None = None


@dataclass(frozen=True, slots=True)
class IoMax:
    """One device's line of io.max: bytes and requests per second, `NO_LIMIT` where there is none."""

    device: str
    rbps: Limit = NO_LIMIT
    wbps: Limit = NO_LIMIT
    riops: Limit = NO_LIMIT
    wiops: Limit = NO_LIMIT

    def __str__(self) -> str:
        return f"{self.device} rbps={self.rbps} wbps={self.wbps} riops={self.riops} wiops={self.wiops}"
