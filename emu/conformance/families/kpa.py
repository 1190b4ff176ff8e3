"""The families of Knative's own autoscaler: settings, windows, decisions, and what the reconciler makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emu.conformance.families import UnplayableError
from emu.policy.autoscaling.decider import (
    Decider,
    Observed,
    Panic,
    Status,
    decide,
    initial_burst_capacity,
)
from emu.policy.autoscaling.numbers import rounded_to
from emu.policy.autoscaling.scaler import (
    Condition,
    Facts,
    activators_for,
    condition_after,
    ready_threshold,
    to_zero,
)
from emu.policy.autoscaling.scraping import PodStat, for_all, sample_size
from emu.policy.autoscaling.settings import ClusterConfig, Settings, cluster_config, settings_for
from emu.policy.autoscaling.timing import Timing
from emu.policy.averages import Average, Maximum, WeightedAverage

_MOST = 100_000
"""Seconds of a case that can be played."""
_EARLIER = Condition("inactive", "X")
"""How the cases name a condition that a look leaves as it is."""


def _window(seconds: float) -> float:
    if not 0 < seconds <= _MOST:
        raise UnplayableError(f"no window has {seconds} s")
    return seconds


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Annotations and config-autoscaler → numbers."""
    made = settings_for(
        given.get("annotations") or {},
        cluster_config(given.get("config_autoscaler") or {}),
        given["containerConcurrency"],
        given.get("reachability", ""),
    )
    return {
        "activation_scale": made.activation_scale,
        "initial_scale": made.initial_scale,
        "max_scale": made.max_scale,
        "metric": made.metric,
        "min_scale": made.min_scale,
        "panic_threshold": made.panic_threshold,
        "panic_window_s": made.panic_window_s,
        "reachable": made.reachable,
        "scale_down_delay_s": made.scale_down_delay_s,
        "stable_window_s": made.stable_window_s,
        "target": made.target,
        "target_burst_capacity": made.target_burst_capacity,
        "total": made.total,
    }


def num_activators(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pods and capacities → activators."""
    rule = Settings(
        total=given["total"],
        target_burst_capacity=given["tbc"],
        activator_capacity=given["activator_capacity"],
    )
    return {"activators": activators_for(rule, given["ready_pods"])}


def scale_to_zero(given: Mapping[str, Any]) -> dict[str, Any]:
    """The last step of the scaler."""
    config = replace(
        cluster_config(given.get("config_autoscaler") or {}), progress_deadline_s=given["progress_deadline_s"]
    )
    zero = to_zero(
        settings_for(given.get("annotations") or {}, config, 0, given.get("reachability", "")),
        Timing(),
        given["desired_after_bounds"],
        given["condition"],
        given["for_s"],
        given["sks_mode"],
        Facts(0, given["activator_in_path_for_s"], given["activator_probe_ok"]),
    )
    return {
        "apply_to_deployment": zero.apply,
        "async_probe_started": zero.probe_on,
        "look_again_after_s": None if zero.look_again_s is None else round(zero.look_again_s),
        "sync_probes": int(zero.probed),
        "want": zero.want,
    }


def active_condition(given: Mapping[str, Any]) -> dict[str, Any]:
    """The condition Active after a look."""
    config = ClusterConfig(allow_zero_initial_scale=given["allow_zero_initial_scale"])
    before = given["initial_scale_reached_before"]
    least = ready_threshold(settings_for(given.get("annotations") or {}, config), before)
    was = _EARLIER._replace(active=given["was"])
    condition = condition_after(was, given["want"], given["ready"], least)
    return {
        "initial_scale_reached": before or given["ready"] >= least,
        "is": condition.active,
        "message": condition.message,
        "reason": condition.reason,
    }


def sample_sizes(given: Mapping[str, Any]) -> dict[str, Any]:
    """How many pods are asked."""
    return {"sample": sample_size(given["pods"])}


def scrape_total(given: Mapping[str, Any]) -> dict[str, Any]:
    """The answers of a sample → what is recorded of all pods."""
    stat = for_all([PodStat(*answer) for answer in given["sampled"]], given["ready_pods"])
    if stat is None:
        return {"recorded_concurrency": None, "recorded_rps": None, "stat": None}
    return {"recorded_concurrency": stat.own_concurrency, "recorded_rps": stat.own_rps, "stat": list(stat)}


def kpa_decision(given: Mapping[str, Any]) -> dict[str, Any]:
    """One decision on given averages, at a time when a panic can have begun before."""
    now = 1e6
    ago = given["panic_began_s_ago"]
    panic = Panic(None if ago is None else now - ago, given["max_panic_pods"])
    observed = Observed(given["observed"]["stable"], given["observed"]["panic"])
    made = decide(_decider_settings(given), panic, observed, given["ready_pods"], now)
    return {
        "desired": made.desired,
        "ebc": made.excess_burst_capacity,
        "max_panic_pods": panic.pods,
        "panic_began_s_ago": None if panic.since is None else now - panic.since,
        "panicking": made.panicking,
        "valid": True,
    }


def _decider_settings(given: Mapping[str, Any]) -> Settings:
    """What the cases of decisions have of the settings."""
    return Settings(
        metric=given["metric"],
        target=given["target"],
        total=given["total"],
        target_burst_capacity=given["tbc"],
        panic_threshold=given["panic_threshold"],
        max_scale_up_rate=given["max_scale_up_rate"],
        max_scale_down_rate=given["max_scale_down_rate"],
        activation_scale=given["activation_scale"],
        reachable=given["reachable"],
        weighted=given.get("aggregation") == "weighted-exponential",
        stable_window_s=_window(given["stable_window_s"]),
        panic_window_s=_window(given.get("panic_window_s", 1)),
        scale_down_delay_s=given.get("scale_down_delay_s", 0),
    )


def kpa_series(given: Mapping[str, Any]) -> dict[str, Any]:
    """Reports and ticks over time → the rows in which something changed. At one time pods change first, then the
    activator reports, then pods are asked, then it is decided.
    """
    decider = Decider(_decider_settings(given), 0.0, given["ready_at_creation"])
    changes = [(t, 0, ready, 0.0) for t, ready in given["ready_pods"] or ()]
    changes += [(t, 1, *stat) for t, *stat in given["activator_stats"] or ()]
    changes += [(t, 2, *stat) for t, *stat in given["scrape_stats"] or ()]
    changes.sort(key=lambda change: change[:2])
    first, end = given["first_tick_s"], given["end_s"]
    if not 0 <= first <= _MOST or end > _MOST:
        raise UnplayableError(f"ticks from {first} s to {end} s are too many to be played")
    rows: list[list[Any]] = []
    ready, at, ticks = 0, 0, 0
    while (now := round(first + 2 * ticks, 9)) <= end:
        while at < len(changes) and changes[at][0] <= now:
            t, kind, one, other = changes[at]
            if kind == 0:
                ready = one
            else:
                decider.record(t, one, other)
            at += 1
        row = _row(decider, now, ready)
        if not rows or repr(row[1:]) != repr(rows[-1][1:]):  # -0 after 0 is a change, as in the JSON of the cases
            rows.append(row)
        ticks += 1
    return {"changes_only": rows}


def _row(decider: Decider, now: float, ready: int) -> list[Any]:
    made = decider.scale(now, ready)
    if made is None:
        return [now, None, None, decider.panic.since is not None, None, None]
    stable, panic = rounded_to(6, made.stable), rounded_to(6, made.panic)
    return [now, made.desired, made.excess_burst_capacity, made.panicking, stable, panic]


def decider_initial_status(given: Mapping[str, Any]) -> dict[str, Any]:
    """The status before the first decision."""
    rule = Settings(initial_scale=given["initial_scale"], total=given["total"], target_burst_capacity=given["tbc"])
    status = Status(excess_burst_capacity=initial_burst_capacity(rule))
    return {"desired": status.desired, "ebc": status.excess_burst_capacity}


def decider_notify(given: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a decision is a reason to reconcile."""
    status = Status(given["before"]["desired"], given["before"]["ebc"])
    reconcile = status.update(given["result"]["desired"], given["result"]["ebc"])
    return {"after": {"desired": status.desired, "ebc": status.excess_burst_capacity}, "reconcile": reconcile}


def window(given: Mapping[str, Any]) -> dict[str, Any]:
    """A script of records, averages and questions whether there is anything."""
    kind = WeightedAverage if given["kind"] == "weighted-exponential" else Average
    made = kind(_window(given["window_s"]))
    answers: list[Any] = []
    for what, t, *value in given["ops"]:
        if what == "record":
            made.record(t, value[0])
        elif what == "average":
            answers.append(rounded_to(9, made.mean(t)))
        elif what == "empty":
            answers.append(made.empty(t))
        else:
            raise UnplayableError(f"{what} is no operation of a window")
    return {"answers": answers}


def delay_window(given: Mapping[str, Any]) -> dict[str, Any]:
    """The largest number that still counts, after each record."""
    made = Maximum(_window(given["delay_s"]), given["slot_s"])
    return {"current_after_each": [made.over(t, value) for t, value in given["records"]]}


FAMILIES = {
    "settings": settings,
    "num_activators": num_activators,
    "scale_to_zero": scale_to_zero,
    "active_condition": active_condition,
    "sample_size": sample_sizes,
    "scrape_total": scrape_total,
    "kpa_decision": kpa_decision,
    "kpa_series": kpa_series,
    "decider_initial_status": decider_initial_status,
    "decider_notify": decider_notify,
    "window": window,
    "delay_window": delay_window,
}
