"""A revision's numbers → a load that its autoscaler wants some pods for."""

from __future__ import annotations

import math

from emu.manifests.yamltext import Lines, Said
from emu.policy.autoscaling.settings import Settings

_WORK_S = 0.2
"""What one request takes, unless that needs too many of them."""
_LONGEST_WORK_S = 10.0
_MOST_RATE = 100.0
"""Requests per second; more is another question than the one that a first scenario asks."""
_PODS = 3
"""As many as one machine is asked to run for it."""
_SHARE = 0.75
"""How full the last of them is."""


def load_for(rule: Settings, *, scales: bool) -> Lines:
    """One phase. With an autoscaler it wants up to three pods, as `max-scale` permits; else it fills one."""
    pods = min(rule.max_scale or _PODS, _PODS) if scales else 1
    aimed = (pods - 1 + _SHARE) * rule.target if math.isfinite(rule.target) else math.inf
    if rule.metric == "rps":
        rate, work_s = _readable(min(_MOST_RATE, aimed)), _WORK_S
        got = rate
    else:
        work_s = round(min(_LONGEST_WORK_S, max(_WORK_S, aimed / _MOST_RATE)), 1)
        rate = _readable(min(_MOST_RATE, aimed / work_s))
        got = rate * work_s
    wanted = math.ceil(got / rule.target) if math.isfinite(rule.target) else 1
    each = f"{rule.target:g} {'requests/s' if rule.metric == 'rps' else 'at a time'}"
    pods_text = "1 pod" if wanted == 1 else f"{wanted} pods"
    return {
        "name": "steady",
        "type": "constant",
        "rate": Said(rate, f"{got:.3g} {_unit(rule)}; at {each} in each pod that is {pods_text}"),
        "duration": "40s" if pods > 1 else "20s",
        "request": {"do": {"sleep": f"{work_s * 1000:.0f}ms"}},
    }


def _unit(rule: Settings) -> str:
    return "requests/s" if rule.metric == "rps" else "requests at a time"


def _readable(rate: float) -> float:
    """Whole requests per second, or two digits below ten."""
    return float(f"{rate:.2g}") if rate < 10 else float(round(rate))
