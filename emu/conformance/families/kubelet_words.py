"""The families about kubectl's words, and about restarts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.conformance import pod_manifests
from emu.policy import lifecycle, printing
from emu.policy.kubelet.describing import describe_pod
from emu.policy.kubelet.messages import back_off_message
from emu.policy.kubelet.version import BACK_OFF_BY_RESOURCES, FIXED_BACK_OFF_RESET, PRINTER_NOT_READY
from emu.policy.qos import qos_class

Given = Mapping[str, Any]
_RESET_S = 600.0


def _printer(given: Given) -> dict[str, Any]:
    manifest, now = given["pod"], pod_manifests.seconds(given["now"])
    spec, status, meta = manifest["spec"], manifest.get("status") or {}, manifest["metadata"]
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    inits = {one["name"]: one for one in spec.get("initContainers") or ()}
    sidecars = {name for name, one in inits.items() if one.get("restartPolicy") == "Always"}
    facts = printing.PodFacts(
        containers=[_status(one) for one in status.get("containerStatuses") or ()],
        init_containers=[_status(one, sidecars) for one in status.get("initContainerStatuses") or ()],
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        initialized=(conditions.get("Initialized") or {}).get("status") == "True",
        gated=(conditions.get("PodScheduled") or {}).get("reason") == "SchedulingGated",
        deleted=meta.get("deletionTimestamp") is not None,
        planned=len(spec.get("containers") or ()),
        planned_inits=len(inits),
        planned_sidecars=len(sidecars),
    )
    printed = printing.print_pod(facts, now, before_1_35=pod_manifests.version(given) < PRINTER_NOT_READY)
    made = meta.get("creationTimestamp")
    age = printing.print_age(now - pod_manifests.seconds(made)) if made else "<unknown>"
    return {"ready": printed.ready, "status": printed.status, "restarts": printed.restarts, "age": age}


def _status(one: Given, sidecars: set[str] | None = None) -> printing.Container:
    ended = (one.get("lastState") or {}).get("terminated")
    finished = (ended or {}).get("finishedAt")
    return printing.Container(
        _state(one.get("state") or {}),
        ready=bool(one.get("ready")),
        restarts=one.get("restartCount", 0),
        last_ended_at=pod_manifests.seconds(finished) if finished else None,
        started=bool(one.get("started")),
        sidecar=sidecars is not None and one["name"] in sidecars,
    )


def _state(state: Given) -> printing.State:
    if (ended := state.get("terminated")) is not None:
        return printing.Terminated(ended.get("exitCode", 0), ended.get("reason", ""), ended.get("signal", 0))
    if state.get("running") is not None:
        return printing.Running()
    return printing.Waiting((state.get("waiting") or {}).get("reason", ""))


def _back_off(given: Given) -> dict[str, Any]:
    version, longest_s = pod_manifests.version(given), float(given["max_s"])
    reset_s = _RESET_S if version >= FIXED_BACK_OFF_RESET else 2 * longest_s
    rule = lifecycle.BackOffRule(float(given["initial_s"]), longest_s, reset_s)
    state, t, restarts = lifecycle.ContainerState(), 0.0, []
    for event in given["events"]:
        state = lifecycle.started(state, t)
        t += event["runs_s"]
        if event.get("resources_changed_before") and version >= BACK_OFF_BY_RESOURCES:
            state = lifecycle.resized(state)
        state = lifecycle.exited(
            state,
            t,
            exit_code=1,
            reason="Error",
            policy="Always",
            rule=rule,
            by_probe=bool(event.get("killed_by_liveness")),
        )
        waits = state.delay_s
        message = {"message": back_off_message(waits, "app", "p_default(u1)")} if waits else {}
        restarts.append({"exit_at_s": t, **message, "starts_again_at_s": state.start_at, "waits_s": waits})
        t = state.start_at if state.start_at is not None else t
        state = lifecycle.restarting(state)
    return {"restarts": restarts}


def _describe(given: Given) -> dict[str, Sequence[str]]:
    manifest, now = given["pod"], pod_manifests.seconds(given["now"]) if "now" in given else None
    kept = (manifest.get("status") or {}).get("qosClass")
    return {"lines": describe_pod(manifest, kept or qos_class(pod_manifests.as_written(manifest)), now)}


FAMILIES = {"pod_status_printer": _printer, "backoff": _back_off, "kubectl_describe": _describe}
