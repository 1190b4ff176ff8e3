"""The ConfigMap config-autoscaler: its keys, their defaults, and what Knative refuses (pkg/autoscaler/config)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from emu.policy.golang import (
    SECOND,
    format_duration,
    format_float,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    quote,
)

_TARGET_MIN = 0.01
_WINDOW_MIN, _WINDOW_MAX = 6 * SECOND, 3600 * SECOND


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


_DURATIONS = (
    "stable_window",
    "scale_down_delay",
    "scale_to_zero_grace_period",
    "scale_to_zero_pod_retention_period",
)
KEYS = tuple(field.name.replace("_", "-") for field in fields(AutoscalerConfig))
"""In the order in which they are read."""


def _parser(name: str) -> Callable[[str], Any]:
    if name in _DURATIONS:
        return parse_duration
    kind = type(getattr(AutoscalerConfig(), name))
    parsers: dict[type, Callable[[str], Any]] = {
        str: str.strip,
        bool: parse_bool,
        float: parse_float,
        int: lambda text: parse_int(text, 32),
    }
    return parsers[kind]


def read_autoscaler(data: Mapping[str, str]) -> AutoscalerConfig:
    """The settings of a config-autoscaler; ValueError, in Knative's words, for what it refuses. What it does not know
    it ignores.
    """
    values: dict[str, Any] = {}
    for field in fields(AutoscalerConfig):
        key = field.name.replace("_", "-")
        if key in data:
            try:
                values[field.name] = _parser(field.name)(data[key])
            except ValueError as error:
                raise ValueError(f"failed to parse data: failed to parse {quote(key)}: {error}") from None
    config = replace(AutoscalerConfig(), **values)
    if config.container_concurrency_target_percentage > 1:
        share = config.container_concurrency_target_percentage / 100
        config = replace(config, container_concurrency_target_percentage=share)
    for check in (_check_durations, _check_targets, _check_rates, _check_windows, _check_scales):
        if wrong := check(config):
            raise ValueError(wrong)
    return config


def _check_durations(config: AutoscalerConfig) -> str:
    grace, delay = config.scale_to_zero_grace_period, config.scale_down_delay
    if grace <= 0:
        return f"scale-to-zero-grace-period must be positive, was: {format_duration(grace)}"
    if delay < 0:
        return f"scale-down-delay cannot be negative, was: {format_duration(delay)}"
    if delay % SECOND:
        return f"scale-down-delay = {format_duration(delay)}, must be specified with at most second precision"
    if (kept := config.scale_to_zero_pod_retention_period) < 0:
        return f"scale-to-zero-pod-retention-period cannot be negative, was: {format_duration(kept)}"
    return ""


def _fixed(value: float) -> str:
    """As %f prints it."""
    return f"{value:f}" if abs(value) != float("inf") else format_float(value)


def _check_targets(config: AutoscalerConfig) -> str:
    burst, share = config.target_burst_capacity, config.container_concurrency_target_percentage
    if burst < 0 and burst != -1:
        return f"target-burst-capacity must be either non-negative or -1 (for unlimited), was: {_fixed(burst)}"
    if share <= 0 or share > 1:
        return f"container-concurrency-target-percentage = {_fixed(share)} is outside of valid range of (0, 100]"
    target = share * config.container_concurrency_target_default
    if target < _TARGET_MIN:
        return (
            "container-concurrency-target-percentage and container-concurrency-target-default yield target "
            f"concurrency of {format_float(target)}, can't be less than {_TARGET_MIN}"
        )
    if (rps := config.requests_per_second_target_default) < _TARGET_MIN:
        return f"requests-per-second-target-default must be at least {_TARGET_MIN}, was: {format_float(rps)}"
    return ""


def _check_rates(config: AutoscalerConfig) -> str:
    if (capacity := config.activator_capacity) < 1:
        return f"activator-capacity = {format_float(capacity)}, must be at least 1"
    for way, rate in (("up", config.max_scale_up_rate), ("down", config.max_scale_down_rate)):
        if rate <= 1:
            return f"max-scale-{way}-rate = {format_float(rate)}, must be greater than 1.0"
    return ""


def _check_windows(config: AutoscalerConfig) -> str:
    window, share = config.stable_window, config.panic_window_percentage
    if not _WINDOW_MIN <= window <= _WINDOW_MAX:
        bounds = f"[{format_duration(_WINDOW_MIN)}; {format_duration(_WINDOW_MAX)}]"
        return f"stable-window = {format_duration(window)}, must be in {bounds} range"
    if window % SECOND:
        return f"stable-window = {format_duration(window)}, must be specified with at most second precision"
    if share < 1 or share > 100:
        return f"panic-window-percentage = {format_float(share)}, must be in [1, 100] interval"
    return ""


def _check_scales(config: AutoscalerConfig) -> str:
    if config.initial_scale < 0 or (config.initial_scale == 0 and not config.allow_zero_initial_scale):
        return (
            f"initial-scale = {config.initial_scale}, must be at least 0 (or at least 1 when "
            "allow-zero-initial-scale is false)"
        )
    if config.min_scale < 0:
        return f"min-scale = {config.min_scale}, must be at least 0"
    limit, most = config.max_scale_limit, config.max_scale
    least = 1 if limit > 0 else 0
    if most < least or (limit > 0 and most > limit):
        return f"max-scale = {most}, must be in [{least}, max-scale-limit({limit})] range"
    if limit < 0:
        return f"max-scale-limit = {limit}, must be at least 0"
    if config.min_scale > most > 0:
        return f"min-scale ({config.min_scale}) must be less than max-scale ({most})"
    return ""
