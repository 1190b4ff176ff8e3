"""The ConfigMap config-autoscaler: its keys and their defaults, and what each value comes to (pkg/autoscaler/config).

Knative reads it twice: its webhook refuses a value that does not parse, and its autoscaler keeps the default then.
`emu.manifests.autoscalerconfig` is the first on top of this, `emu.policy.autoscaling.settings` the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from emu.policy.golang import SECOND, parse_bool, parse_duration, parse_float, parse_int32


@dataclass(frozen=True)
class AutoscalerConfig:
    """The cluster's settings; durations in nanoseconds. Each field has its key's name with `_` for `-`."""

    pod_autoscaler_class: str = "kpa.autoscaling.knative.dev"
    enable_scale_to_zero: bool = True
    allow_zero_initial_scale: bool = False
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    container_concurrency_target_percentage: float = 0.7
    """A fraction here; above 1 the key's value is a percentage."""
    container_concurrency_target_default: float = 100.0
    requests_per_second_target_default: float = 200.0
    target_burst_capacity: float = 211.0
    panic_window_percentage: float = 10.0
    activator_capacity: float = 100.0
    panic_threshold_percentage: float = 200.0
    initial_scale: int = 1
    min_scale: int = 0
    max_scale: int = 0
    max_scale_limit: int = 0
    stable_window: int = 60 * SECOND
    scale_down_delay: int = 0
    scale_to_zero_grace_period: int = 30 * SECOND
    scale_to_zero_pod_retention_period: int = 0


DURATIONS = (
    "stable_window",
    "scale_down_delay",
    "scale_to_zero_grace_period",
    "scale_to_zero_pod_retention_period",
)


def _parser(name: str) -> Callable[[str], Any]:
    if name in DURATIONS:
        return parse_duration
    kind = type(getattr(AutoscalerConfig(), name))
    parsers: dict[type, Callable[[str], Any]] = {
        str: str.strip,
        bool: parse_bool,
        float: parse_float,
        int: parse_int32,
    }
    return parsers[kind]


KEYS = {entry.name.replace("_", "-"): (entry.name, _parser(entry.name)) for entry in fields(AutoscalerConfig)}
"""Each key with its field and its parser, in the order in which they are read; others are ignored."""


@dataclass(frozen=True)
class ConfigMap:
    """What Knative's autoscaler reads from config-autoscaler."""

    config: AutoscalerConfig
    """With the default of each key that is absent or does not parse."""
    refused: Mapping[str, ValueError] = field(default_factory=dict)
    """Each key that does not parse, with the reason in Go's words."""


def read(data: Mapping[str, str]) -> ConfigMap:
    """The data of a config-autoscaler."""
    values: dict[str, Any] = {}
    refused: dict[str, ValueError] = {}
    for key, (name, parse) in KEYS.items():
        if key in data:
            try:
                values[name] = parse(data[key])
            except ValueError as error:
                refused[key] = error
    config = replace(AutoscalerConfig(), **values)
    if config.container_concurrency_target_percentage > 1:
        share = config.container_concurrency_target_percentage / 100
        config = replace(config, container_concurrency_target_percentage=share)
    return ConfigMap(config, refused)
