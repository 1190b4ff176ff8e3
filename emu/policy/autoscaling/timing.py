"""The constants of Knative's control plane that no setting changes, and what makes all of them shorter at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

Scaled = TypeVar("Scaled")


@dataclass(frozen=True)
class Timing:
    """In seconds; the values are Knative's."""

    tick_s: float = 2.0
    """From one decision to the next, and a slot of the scale-down delay (multiscaler.go, tickInterval)."""
    scrape_s: float = 1.0
    """From one scrape to the next (collector.go, scrapeTickInterval)."""
    bucket_s: float = 1.0
    """What is reported within it adds up (config.go, BucketSize)."""
    look_again_s: float = 3.0
    """A revision that was just marked inactive is looked at again then (kpa/scaler.go)."""
    activation_buffer_s: float = 30.0
    """How much longer than its progress deadline a revision may be activating (activationTimeoutBuffer)."""
    probe_every_s: float = 1.0
    """From one probe of the activator's place in the path to the next (kpa/scaler.go, probePeriod)."""


def scaled(values: Scaled, time_scale: float) -> Scaled:
    """The same with each time (a field in `_s`) divided by `time_scale`: 10 makes a minute six seconds."""
    if time_scale == 1:
        return values
    times = [entry.name for entry in fields(values) if entry.name.endswith("_s")]  # type: ignore[arg-type]
    changed: dict[str, Any] = {name: getattr(values, name) / time_scale for name in times}
    return replace(values, **changed)  # type: ignore[type-var]
