"""When the requests of a phase are due: seconds since the phase's begin, the same for the same seed.

Rates are requests per second. A time is due before the phase's duration ends, never at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from math import sqrt
from random import Random

from emu.policy.loadplan import Phase


def due_times(phase: Phase, seed: int) -> Iterator[float]:
    """The times of an open-loop phase, ascending. ValueError for a closed one, whose times its answers set.

    constant, steps and ramp ask at the moments when the number of requests owed so far reaches a whole number,
    the first at the beginning; poisson and poisson-steps draw gaps from the seed; burst asks `size` times at each
    of its moments.
    """
    if phase.kind == "closed":
        raise ValueError(f"phase {phase.name!r} is a closed loop; its times follow from its answers")
    if phase.kind == "constant":
        times = _steps((phase.rate,), phase.duration_s)
    elif phase.kind == "steps":
        times = _steps(phase.rates, phase.duration_s)
    elif phase.kind == "poisson-steps":
        times = _poisson_steps(phase.rates, phase.duration_s, Random(f"{seed}/{phase.name}"))
    elif phase.kind == "ramp":
        times = _ramp(phase.rate, phase.rate_to, phase.duration_s)
    elif phase.kind == "poisson":
        times = _poisson(phase.rate, phase.duration_s, Random(f"{seed}/{phase.name}"))
    else:
        times = _bursts(phase.rate, phase.size, phase.duration_s)
    return times if phase.count is None else islice(times, phase.count)


def _steps(rates: tuple[float, ...], duration_s: float) -> Iterator[float]:
    """Each rate for an equal share; what is owed carries over from one share to the next."""
    if not rates:
        return
    share_s = duration_s / len(rates)
    owed = 0.0
    asked = 0
    for number, rate in enumerate(rates):
        begin_s = number * share_s
        end = owed + rate * share_s
        while rate > 0 and asked < end - 1e-9:
            yield begin_s + (asked - owed) / rate
            asked += 1
        owed = end


def _ramp(rate: float, rate_to: float, duration_s: float) -> Iterator[float]:
    """The rate goes from one to the other linearly: n requests are owed at t when n = rate·t + slope·t²/2."""
    if rate == rate_to:
        yield from _steps((rate,), duration_s)
        return
    slope = (rate_to - rate) / duration_s if duration_s > 0 else 0.0
    total = (rate + rate_to) / 2 * duration_s
    for number in count():
        if number >= total - 1e-9:
            return
        root = sqrt(max(0.0, rate * rate + 2 * slope * number))
        # The usual (root - rate) / slope loses its digits when the slope is small; this form does not.
        yield 2 * number / (rate + root) if number else 0.0


def _poisson(rate: float, duration_s: float, random: Random) -> Iterator[float]:
    if rate <= 0:
        return
    at = random.expovariate(rate)
    while at < duration_s:
        yield at
        at += random.expovariate(rate)


def _poisson_steps(rates: tuple[float, ...], duration_s: float, random: Random) -> Iterator[float]:
    """Each rate for an equal share. What is drawn has no memory, so each share may begin afresh."""
    share_s = duration_s / max(1, len(rates))
    for number, rate in enumerate(rates):
        yield from (number * share_s + at for at in _poisson(rate, share_s, random))


def _bursts(rate: float, size: int, duration_s: float) -> Iterator[float]:
    moments = iter((0.0,)) if rate == 0 else _steps((rate,), duration_s)
    for at in moments:
        for _ in range(size):
            yield at
