"""What Knative refuses of the ConfigMap config-autoscaler (pkg/autoscaler/config)."""

from __future__ import annotations

from collections.abc import Mapping

from emu.policy.autoscaling.configmap import AutoscalerConfig, read
from emu.policy.golang import SECOND, format_duration, format_float, is_whole_seconds, quote

_TARGET_MIN = 0.01
_WINDOW_MIN, _WINDOW_MAX = 6 * SECOND, 3600 * SECOND


def read_autoscaler(data: Mapping[str, str]) -> AutoscalerConfig:
    """The settings of a config-autoscaler; ValueError, in Knative's words, for what it refuses. What it does not know
    it ignores.
    """
    found = read(data)
    for key, error in found.refused.items():
        raise ValueError(f"failed to parse data: failed to parse {quote(key)}: {error}")
    config = found.config
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
    if not is_whole_seconds(delay):
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
    if not is_whole_seconds(window):
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
