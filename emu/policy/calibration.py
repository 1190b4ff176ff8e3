"""Measurements of a queue-proxy → its footprint profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from emu.policy.footprint import MIB, Points, Profile, each

Kind = Literal["plain", "body", "waiting"]
WAITING_LIMIT = 10
"""containerConcurrency while waiting is measured: so many are at the app, ten times as many wait."""
OWN_IDLE_BYTES = 12 * MIB
"""About what our own process needs idle, which a profile cannot go below."""


@dataclass(frozen=True)
class Held:
    """One process that held `count` requests of a kind."""

    kind: Kind
    count: int
    anon_bytes: int


@dataclass(frozen=True)
class Idle:
    """The process without requests. `code_bytes`: the file-backed pages that serving requests referred to."""

    anon_bytes: int
    file_bytes: int
    code_bytes: int


class TooLittleError(ValueError):
    """Not enough was measured to make a profile of it."""


def profile(name: str, source: str, idle: Idle, rows: Sequence[Held]) -> Profile:
    """The profile of what was measured. Without a row of a kind it is taken to cost what a plain request costs."""
    plain = _points([row for row in rows if row.kind == "plain"], idle)
    if not plain:
        raise TooLittleError("no requests were held, so the cost of one is unknown")
    waited = [row for row in rows if row.kind == "waiting" and row.count > WAITING_LIMIT]
    waiting = each(plain, 1)
    if waited:
        last = waited[-1]
        running = WAITING_LIMIT * each(plain, WAITING_LIMIT)
        waiting = (last.anon_bytes - idle.anon_bytes - running) / (last.count - WAITING_LIMIT)
    return Profile(
        name=name,
        source=source,
        idle_anon_bytes=idle.anon_bytes,
        request_bytes=plain,
        body_bytes=_points([row for row in rows if row.kind == "body"], idle) or plain,
        waiting_bytes=max(0, round(waiting)),
        executable_bytes=idle.file_bytes,
        code_bytes=idle.code_bytes,
        exact_from_bytes=OWN_IDLE_BYTES + idle.code_bytes,
    )


def _points(rows: Sequence[Held], idle: Idle) -> Points:
    return tuple(
        (row.count, max(0.0, round((row.anon_bytes - idle.anon_bytes) / row.count, 1)))
        for row in sorted(rows, key=lambda row: row.count)
    )
