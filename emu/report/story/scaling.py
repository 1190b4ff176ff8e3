"""Scale to zero, in words: how often and how long there was no pod, and what requests waited for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.words import count, listed
from emu.units import format_seconds, often


def scale_headline(summary: dict[str, Any]) -> list[str]:
    """How often it went and came; nothing for a pod that stayed."""
    scaling = summary["autoscaling"]
    if not scaling or not scaling["scale_downs"]:
        return []
    back = f" and back {often(scaling['scale_ups'])}" if scaling["scale_ups"] else ""
    return [f"the pod was scaled to zero {often(scaling['scale_downs'])}{back}"]


def scale_sentences(summary: dict[str, Any]) -> list[str]:
    """Nothing for a pod that was not to be scaled."""
    scaling = summary["autoscaling"]
    return list(_sentences(scaling, summary["duration_s"])) if scaling else []


def _sentences(scaling: dict[str, Any], duration_s: float) -> Iterator[str]:
    if scaling["scale_downs"]:
        zero, whole = format_seconds(scaling["zero_s"]), format_seconds(duration_s)
        yield f"There was no pod for {zero} of {whole}, and it held no memory then."
    else:
        yield "The pod was never idle for long enough to be scaled to zero."
    held = scaling["held"]
    if held["forwarded"]:
        waited = held["waited_ms"]
        half, most = format_seconds(waited["p50"] / 1e3), format_seconds(waited["max"] / 1e3)
        times = half if half == most else f"{half} in the median of {held['forwarded']:,}, {most} at most"
        yield f"{count(held['forwarded'], 'request')} waited in the activator for a pod: {times}."
    lost = [
        f"{count(held[name], 'request')} {words}"
        for name, words in (("timed_out", "got 504"), ("abandoned", "lost patience"))
        if held[name]
    ]
    if lost:
        yield f"{listed(lost)} while waiting there."
