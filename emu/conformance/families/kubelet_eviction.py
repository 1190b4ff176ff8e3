"""The kubelet's families about a node that is short of memory, and about the ends of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.conformance import pod_manifests
from emu.policy.effective import MEMORY
from emu.policy.kubelet import ending, eviction, node
from emu.policy.kubelet.thresholds import Threshold, ThresholdError, ThresholdSettings, thresholds
from emu.policy.quantity import Quantity, json_quantity

Given = Mapping[str, Any]


def _read(given: Given) -> list[Threshold]:
    said = given.get("thresholds") or {}
    return thresholds(
        ThresholdSettings(
            said.get("Hard") or {},
            said.get("Soft") or {},
            said.get("Grace") or {},
            said.get("MinReclaim") or {},
            said.get("Enforce") or (),
        )
    )


def _thresholds(given: Given) -> dict[str, Any]:
    try:
        found = _read(given)
    except ThresholdError as error:
        return {"error": str(error)}
    capacity = given["capacity"]
    return {
        "thresholds": [
            {
                "signal": one.signal,
                "hard": one.hard,
                "quantity": one.value.of(capacity),
                "grace_s": one.grace_s,
                **({} if one.min_reclaim is None else {"min_reclaim": one.min_reclaim.of(capacity)}),
            }
            for one in sorted(found, key=lambda one: (one.signal, not one.hard))
        ]
    }


def _node(given: Given) -> dict[str, Any]:
    found = node.node_memory(
        given["capacity"],
        kube_reserved=given.get("kube_reserved", 0),
        system_reserved=given.get("system_reserved", 0),
        hard=_read(given),
        enforce_pods=given.get("enforce_pods", True),
    )
    if found.refused is not None:
        return {"kubepods_memory_max": found.kubepods_max, "refused": found.refused}
    return {"kubepods_memory_max": found.kubepods_max, "node_status_allocatable": found.allocatable}


def _active(
    given: Given,
    uses: Mapping[str, Mapping[str, int]],
    volumes: Mapping[str, Mapping[str, int]],
    totals: Mapping[str, int] | None = None,
) -> list[eviction.Active]:
    version = pod_manifests.version(given)
    found = []
    for manifest in given["pods"]:
        pod = pod_manifests.pod(manifest, version)
        sizes = {
            volume["name"]: json_quantity(volume["emptyDir"]["sizeLimit"])
            for volume in manifest["spec"].get("volumes") or ()
            if (volume.get("emptyDir") or {}).get("sizeLimit") is not None
        }
        total = None if totals is None else totals.get(pod.name)
        known = totals is None or total is not None
        use = eviction.PodUse(uses.get(pod.name, {}), volumes.get(pod.name, {}), total) if known else None
        found.append(eviction.Active(pod, use, sizes, *_written(manifest)))
    return found


def _written(manifest: Given) -> tuple[dict[str, Quantity], Quantity | None]:
    """The memory requests of containers, and of the pod itself."""
    pod = pod_manifests.resized(manifest)
    every = [*pod.containers, *pod.init_containers]
    found = {one.name: one.sizes.requests[MEMORY] for one in every if MEMORY in one.sizes.requests}
    return found, None if pod.sizes is None else pod.sizes.requests.get(MEMORY)


def _ranking(given: Given) -> dict[str, Any]:
    active = _active(given, {}, {}, given["working_set"])
    return {"order": [one.pod.name for one in eviction.rank(active)]}


def _signals(given: Given) -> dict[str, Any]:
    settings = eviction.Settings(
        _read(given),
        given.get("eviction_max_pod_grace_s", 0),
        given.get("pressure_transition_s", eviction.PRESSURE_TRANSITION_S),
        bool(given.get("local_storage_isolation")),
        pod_manifests.version(given),
    )
    state, gone, steps = eviction.State(), set[str](), []
    for step in given["steps"]:
        uses, volumes = step.get("containers") or {}, step.get("emptydir_used") or {}
        active = [one for one in _active(given, uses, volumes) if one.pod.name not in gone]
        pods = sum(one.use.working_set for one in active if one.use is not None)
        observed = eviction.observations(
            capacity=given["capacity"],
            node_working_set=step["node_working_set"],
            kubepods_max=given.get("kubepods_memory_max"),
            kubepods_working_set=step.get("kubepods_working_set", pods),
            t=step.get("stats_time", step["t"]),
        )
        seen = eviction.look(state, settings, observed, active, step["t"])
        state = seen.state
        gone |= {one.pod.name for one in seen.evictions}
        steps.append({"t": step["t"], **_looked(seen), **_admitted(state, step, given)})
    return {"steps": steps}


def _looked(seen: eviction.Look) -> dict[str, Any]:
    events = ["Warning EvictionThresholdMet Attempting to reclaim memory"] if seen.attempted else []
    events += [f"Warning {eviction.EVICTED} {one.message}".rstrip() for one in seen.evictions]
    evicted = [_evicted(one) for one in seen.evictions]
    return {
        "conditions": sorted(seen.state.conditions),
        **({"events": events} if events else {}),
        "evicted": evicted if len(evicted) > 1 else evicted[0] if evicted else None,
    }


def _evicted(one: eviction.Eviction) -> dict[str, Any]:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    return {
        "pod": one.pod.name,
        "grace_s": one.grace_s,
        "phase": "Failed",
        "reason": eviction.EVICTED,
        "message": one.message,
        **({"condition": condition} if one.for_pressure else {}),
    }


def _admitted(state: eviction.State, step: Given, given: Given) -> dict[str, Any]:
    asks: Sequence[Given] | Given | None = step.get("admit")
    if not asks:
        return {}
    found = [_admit(state, one, given) for one in ([asks] if isinstance(asks, Mapping) else asks)]
    return {"admit": found[0] if isinstance(asks, Mapping) else found}


def _admit(state: eviction.State, manifest: Given, given: Given) -> dict[str, Any]:
    parts = ("key", "operator", "value", "effect")
    tolerations = manifest["spec"].get("tolerations") or ()
    tolerates = any(eviction.tolerates(*(one.get(part) or "" for part in parts)) for one in tolerations)
    message = eviction.admits(
        state, pod_manifests.pod(manifest, pod_manifests.version(given)), tolerates_pressure=tolerates
    )
    reason = eviction.EVICTED if message else ""
    return {"admit": not message, "reason": reason, "message": message}


def _reason(given: Given) -> dict[str, Any]:
    return {
        "reason": ending.container_reason(
            given["exit_code"],
            oom_kill_seen=given["oom_kill_seen"],
            runtime=given["runtime"],
            before_exit=given.get("event_before_exit"),
        )
    }


def _grace(given: Given) -> dict[str, Any]:
    why, grace_s, ran = given["why"], given["pod_grace_s"], given.get("pre_stop_s")
    if "delete" in why or "eviction" in why:
        evicted_s = ending.eviction_grace_s(
            grace_s,
            given.get("eviction_max_pod_grace_s", 0),
            hard="soft" not in why,
            version=pod_manifests.version(given),
        )
        grace_s = ending.pod_grace_s(
            grace_s,
            deletion_s=given.get("deletion_grace_s"),
            eviction_s=evicted_s if "eviction" in why else None,
        )
    elif given.get("probe_grace_s") is not None:
        grace_s = given["probe_grace_s"]
    found = ending.ending(grace_s, ran)
    hook = None if ran is None else "runs" if ran <= found.hook_s else f"cut at {found.hook_s} s"
    return {"pre_stop": hook, "term_to_kill_s": found.term_to_kill_s}


FAMILIES = {
    "eviction_thresholds": _thresholds,
    "eviction_ranking": _ranking,
    "eviction_signals": _signals,
    "node_allocatable": _node,
    "container_reason": _reason,
    "grace": _grace,
}
