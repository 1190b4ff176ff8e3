"""Three facts, three values: no limit is `NO_LIMIT`, absent on this kernel is `None`, zero is `0`.

A kernel without PSI has no memory.pressure: that is `None`, never a pressure of 0. A memory.max that says "max" is
`NO_LIMIT`, never a very big number.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias


class NoLimit(enum.Enum):
    """The type of `NO_LIMIT`, its only member: written to and read from control files as "max"."""

    NO_LIMIT = "max"

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return self.name


NO_LIMIT: Final[Literal[NoLimit.NO_LIMIT]] = NoLimit.NO_LIMIT
"""The file says "max". Test for it with `is`."""

Limit: TypeAlias = int | NoLimit
"""A limit as a control file holds it: a number, or `NO_LIMIT`."""


@dataclass(frozen=True, slots=True)
class CgroupEvents:
    """What cgroup.events says (cgroup-v2.rst, "Core Interface Files").

    `populated`: the cgroup or a descendant holds a live process. `frozen`: the cgroup is frozen, by itself or by an
    ancestor; `None` before the kernel had a freezer for v2 (5.2).
    """

    populated: bool
    frozen: bool | None = None


@dataclass(frozen=True, slots=True)
class CgroupStat:
    """What cgroup.stat says: visible descendants, and removed ones that memory charges still keep alive ("dying")."""

    nr_descendants: int | None = None
    nr_dying_descendants: int | None = None
