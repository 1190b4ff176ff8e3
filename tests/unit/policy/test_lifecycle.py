"""When a container starts again, and how kubectl words it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.lifecycle import (
    BackOffRule,
    ContainerState,
    PodView,
    RestartPolicy,
    exited,
    pod_view,
    readiness,
    restarting,
    started,
)

RULE = BackOffRule()
BACK_OFFS = json.loads((Path(__file__).parents[2] / "fixtures/kubernetes/back-off.json").read_text())["cases"]


def crash(state: ContainerState, now: float, *, ran_for: float = 1.0, rule: BackOffRule = RULE) -> ContainerState:
    """Start at `now`, end `ran_for` later."""
    return exited(started(state, now), now + ran_for, exit_code=137, reason="OOMKilled", policy="Always", rule=rule)


def crashes(times: int, *, ran_for: float = 1.0, rule: BackOffRule = RULE) -> list[float]:
    """The delays after each of so many crashes in a row."""
    state, now, delays = ContainerState(), 0.0, []
    for _ in range(times):
        state = crash(state, now, ran_for=ran_for, rule=rule)
        assert state.start_at is not None
        delays.append(state.delay_s)
        now = state.start_at
        state = restarting(state)
    return delays


def test_the_kubelets_back_off() -> None:
    """The first restart is at once, then 10 s doubling to 300 s."""
    assert crashes(9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_long_life_forgets_the_back_off() -> None:
    """A container that ran for ten minutes is restarted at once again."""
    assert crashes(3, ran_for=600.5) == [0, 0, 0]
    assert crashes(3, ran_for=600.0) == [0, 10, 20]  # not yet
    state = crash(restarting(crash(restarting(crash(ContainerState(), 0)), 10)), 40, ran_for=700)
    assert state.delay_s == 0


@pytest.mark.parametrize("case", BACK_OFFS, ids=lambda case: str(case["id"]))
def test_waits_are_the_kubelets(case: dict[str, Any]) -> None:
    """Lives of all lengths, some ended by a liveness probe: each wait as the kubelet's own code has it."""
    rule = BackOffRule(case["initial_s"], case["max_s"])
    state, now, waits = ContainerState(), 0.0, []
    for life in case["events"]:
        by_probe = bool(life.get("killed_by_liveness"))
        state, now = started(state, now), now + life["runs_s"]
        state = exited(state, now, exit_code=1, reason="Error", policy="Always", rule=rule, by_probe=by_probe)
        assert state.start_at is not None
        waits.append(state.start_at - now)
        now, state = state.start_at, restarting(state)
    assert waits == pytest.approx(case["waits_s"], abs=0.11)  # the kubelet was asked each 0.1 s


def test_a_scaled_rule_keeps_the_shape() -> None:
    """`scale: 0.1` makes every delay a tenth."""
    assert crashes(8, rule=RULE.scaled(0.1)) == pytest.approx([0, 1, 2, 4, 8, 16, 30, 30])


@given(st.integers(min_value=2, max_value=30), st.floats(min_value=0.01, max_value=59))
def test_delays_never_fall_and_never_pass_the_cap(times: int, ran_for: float) -> None:
    """Short lives only ever make the wait longer, up to the cap."""
    delays = crashes(times, ran_for=ran_for)
    assert delays == sorted(delays)
    assert max(delays) <= RULE.max_s


def probe_kills(times: int, *, ran_for: float) -> list[float]:
    """The delays after so many kills for a probe in a row."""
    state, now, delays = ContainerState(), 0.0, []
    for _ in range(times):
        state = started(state, now)
        state = exited(state, now + ran_for, exit_code=143, reason="Error", policy="Always", rule=RULE, by_probe=True)
        assert state.start_at is not None
        delays.append(state.delay_s)
        now = state.start_at
        state = restarting(state)
    return delays


def test_after_a_probes_kill_back_off_counts_from_the_exit_before() -> None:
    """A container that lives 30 s each time is restarted at once until its back-off is longer than its life: the
    kubelet kills and starts in one turn, and looks at the exit before.
    """
    assert probe_kills(7, ran_for=30.0) == [0, 0, 0, 0, 40, 80, 160]


@given(st.floats(min_value=0.01, max_value=599))
def test_a_probes_kill_waits_only_for_short_lives(ran_for: float) -> None:
    """Each wait is one of the kubelet's, longer than the life before it, and never shorter than the wait before."""
    waits = [wait for wait in probe_kills(12, ran_for=ran_for) if wait]
    assert set(waits) <= {10, 20, 40, 80, 160, 300}
    assert all(wait > ran_for for wait in waits)
    assert waits == sorted(waits)


def test_a_probes_kill_is_followed_by_a_restart_whatever_the_exit_code() -> None:
    """OnFailure restarts a container that ended well on SIGTERM, if it was killed for its probe; Never does not."""
    ran = started(ContainerState(), 0.0)
    for policy, phase in (("Always", "back-off"), ("OnFailure", "back-off"), ("Never", "terminated")):
        gone = exited(ran, 9.0, exit_code=0, reason="Completed", policy=policy, rule=RULE, by_probe=True)  # type: ignore[arg-type]
        assert gone.phase == phase


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase"),
    [
        ("Always", 0, "back-off"),
        ("Always", 1, "back-off"),
        ("OnFailure", 0, "terminated"),
        ("OnFailure", 1, "back-off"),
        ("Never", 0, "terminated"),
        ("Never", 137, "terminated"),
    ],
)
def test_restart_policy(policy: RestartPolicy, exit_code: int, phase: str) -> None:
    """Always restarts whatever the exit code, OnFailure only after a failure, Never not at all."""
    state = exited(started(ContainerState(), 0.0), 1.0, exit_code=exit_code, reason="Error", policy=policy, rule=RULE)
    assert state.phase == phase


def test_pod_view_shows_what_kubectl_would() -> None:
    """ContainerCreating, then Running, OOMKilled at the first exit, CrashLoopBackOff while the next waits."""
    app = readiness(started(ContainerState(), 0.0), True)
    proxy = ContainerState()
    assert pod_view([proxy, app], 0.0).status == "ContainerCreating"
    proxy = readiness(started(proxy, 0.0), True)
    assert (pod_view([proxy, app], 1.0).ready, pod_view([proxy, app], 1.0).status) == ("2/2", "Running")
    first = crash(ContainerState(), 0.0)
    assert pod_view([first, app], 1.0).status == "OOMKilled"
    second = crash(restarting(first), 1.0)
    view = pod_view([second, app], 3.0)
    assert (view.ready, view.status, view.restarts) == ("1/2", "CrashLoopBackOff", 1)


def test_one_that_completed_beside_others() -> None:
    """With the others ready the pod still is not: NotReady; the word of one that failed comes before that."""
    done = exited(started(ContainerState(), 0), 1, exit_code=0, reason="Completed", policy="OnFailure", rule=RULE)
    failed = exited(started(ContainerState(), 0), 1, exit_code=2, reason="Error", policy="Never", rule=RULE)
    app = readiness(started(ContainerState(), 0.0), True)
    assert pod_view([done, app], 2) == PodView("1/2", "NotReady", 0)
    assert pod_view([app, done], 2).status == "NotReady"
    assert pod_view([done, failed, app], 2).status == "Error"
    assert pod_view([done, started(ContainerState(), 0.0)], 2).status == "Completed"
    assert pod_view([done, app], 2, terminating=True).status == "Terminating"


def test_a_pod_that_ended_says_how() -> None:
    """The first container's word, but one that failed shows behind one that completed (since 1.35)."""
    done = exited(started(ContainerState(), 0), 1, exit_code=0, reason="Completed", policy="Never", rule=RULE)
    killed = exited(started(ContainerState(), 0), 1, exit_code=137, reason="OOMKilled", policy="Never", rule=RULE)
    assert pod_view([done, done], 2).status == "Completed"
    assert pod_view([done, killed], 2).status == "OOMKilled"
    assert pod_view([killed, done], 2).status == "OOMKilled"
