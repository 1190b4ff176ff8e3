"""The API server's printer: what it printed of so many pods, ours prints of them too."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from emu.policy.printing import Container, PodFacts, Running, State, Terminated, Waiting, print_age, print_pod

CASES = json.loads((Path(__file__).parents[2] / "fixtures/kubernetes/get-pod.json").read_text())["cases"]


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _state(reported: dict[str, Any]) -> State:
    if "running" in reported:
        return Running()
    if ended := reported.get("terminated"):
        return Terminated(ended.get("exitCode", 0), ended.get("reason", ""), ended.get("signal", 0))
    return Waiting((reported.get("waiting") or {}).get("reason", ""))


def _container(reported: dict[str, Any], sidecars: set[str]) -> Container:
    last = (reported.get("lastState") or {}).get("terminated")
    return Container(
        _state(reported.get("state") or {}),
        reported.get("ready", False),
        reported.get("restartCount", 0),
        _at(last["finishedAt"]) if last and last.get("finishedAt") else None,
        bool(reported.get("started")),
        reported["name"] in sidecars,
    )


def _facts(pod: dict[str, Any]) -> PodFacts:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    inits = spec.get("initContainers") or []
    sidecars = {one["name"] for one in inits if one.get("restartPolicy") == "Always"}
    conditions = {one["type"]: one for one in status.get("conditions") or []}

    def true(name: str) -> bool:
        return bool(conditions.get(name, {}).get("status") == "True")

    return PodFacts(
        [_container(one, sidecars) for one in status.get("containerStatuses") or []],
        [_container(one, sidecars) for one in status.get("initContainerStatuses") or []],
        status.get("phase", ""),
        status.get("reason", ""),
        true("Ready"),
        true("Initialized"),
        conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated",
        "deletionTimestamp" in pod["metadata"],
        len(spec.get("containers") or []),
        len(inits),
        len(sidecars),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']} {case['note']}")
def test_a_pod_reads_as_kubernetes_prints_it(case: dict[str, Any]) -> None:
    """READY, STATUS, RESTARTS and AGE of a pod, by the rules of the version that printed it."""
    now = _at(case["now"])
    printed = print_pod(_facts(case["pod"]), now, before_1_35=case["kubernetes"] == "1.34")
    age = print_age(now - _at(case["pod"]["metadata"]["creationTimestamp"]))
    got = {"ready": printed.ready, "status": printed.status, "restarts": printed.restarts, "age": age}
    assert got == case["expect"]


def test_ages_as_kubectl_has_them() -> None:
    """Two units at most; the smaller one is left out where it is nought or matters no more."""
    minute, hour, day = 60, 3600, 86_400
    given = [0, 119, 2 * minute, 121, 600, 179 * minute, 3 * hour, 3 * hour + minute, 47 * hour, 50 * hour, 8 * day]
    then = ["0s", "119s", "2m", "2m1s", "10m", "179m", "3h", "3h1m", "47h", "2d2h", "8d"]
    assert [print_age(seconds) for seconds in given] == then
    assert [print_age(days * day) for days in (2 * 365, 2 * 365 + 3, 8 * 365)] == ["2y", "2y3d", "8y"]


@pytest.mark.parametrize(("before_1_35", "status"), [(False, "Error"), (True, "Completed")])
def test_a_failure_shows_behind_one_that_completed(before_1_35: bool, status: str) -> None:
    """Since 1.35, also where nothing runs any more."""
    pod = PodFacts([Container(Terminated(0, "Completed")), Container(Terminated(1, "Error"))])
    assert print_pod(pod, 0.0, before_1_35=before_1_35).status == status


def test_a_started_sidecar_that_ended_counts_as_ready_while_it_says_so() -> None:
    """The printer goes by what the kubelet last reported, unless it ended with 0."""
    sidecar = Container(Terminated(1, "Error"), ready=True, started=True, sidecar=True)
    assert print_pod(PodFacts([Container(Running())], [sidecar]), 0.0).ready == "1/2"
    sidecar = Container(Terminated(0, "Completed"), ready=True, started=True, sidecar=True)
    assert print_pod(PodFacts([Container(Running())], [sidecar]), 0.0).ready == "0/2"
