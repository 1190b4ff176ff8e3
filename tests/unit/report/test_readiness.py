"""What is said of a pod that was not READY while requests were sent to it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.record.events import KubeletEvent
from emu.report.summary import summarize
from emu.study.study import read_study
from tests.fakes import MIB, ORIGIN, FakeRun

FAILED = "Readiness probe failed: HTTP probe failed with statuscode: 503"


def _verdict(run: FakeRun) -> dict[str, Any]:
    verdict: dict[str, Any] = summarize(read_study(run.finish()))["verdict"]
    return verdict


def _begun(path: Path) -> FakeRun:
    run = FakeRun(path)
    for name in ("queue-proxy", "app"):
        run.start(name, memory_max=64 * MIB, ready=False)
    run.status("0/2", "Running")
    return run


def test_a_pod_that_was_never_ready_is_the_headline(tmp_path: Path) -> None:
    """All requests were answered, and on a cluster none would have arrived."""
    run = _begun(tmp_path / "run")
    run.requests(20, 2.0, 6.0)
    for second in range(1, 8):
        run.advance(second)
        run.pod_event("queue-proxy", "Unhealthy", FAILED)
    headline = _verdict(run)["headline"]
    assert "the pod was never ready because the readiness probe of queue-proxy failed 7 times" in headline
    assert "and a cluster would have sent it no request" in headline


@pytest.mark.parametrize("failed", [False, True])
def test_a_container_that_cannot_be_made_is_the_cause(tmp_path: Path, failed: bool) -> None:
    """Not the probes that fail for it, nor that nothing listens."""
    run = FakeRun(tmp_path / "run")
    run.start("queue-proxy", ready=False)
    run.status("0/2", "CreateContainerConfigError")
    why = 'Error: secret "db" not found'
    run.event(
        KubeletEvent(t=run.t, pod=run.name, container="app", attempt=0, type="Warning", reason="Failed", message=why)
    )
    run.requests(3, 2.0, 6.0, takes_s=0.01, status=502)
    if failed:
        run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.advance(8.0)
    assert (
        'the pod was never ready, because the container app cannot be made (CreateContainerConfigError: secret "db" '
        "not found), and a cluster would have sent it no request"
    ) in _verdict(run)["headline"]
    shown = CliRunner().invoke(main, ["show", str(run.run.path)]).stdout
    assert re.search(r"^ +queue-proxy +no ", shown, re.MULTILINE)
    assert re.search(r"^ +app +no +CreateContainerConfigError +0\b", shown, re.MULTILINE)


def test_a_pod_that_was_never_ready_without_a_failed_probe_is_too(tmp_path: Path) -> None:
    """queue-proxy goes on trying for a while before it says no; that nothing listens shows in its answers."""
    run = _begun(tmp_path / "run")
    run.sample()
    run.requests(3, 2.0, 6.0, takes_s=0.01, status=502)
    run.advance(8.0)
    path = run.run.new_log(run.name, "queue-proxy", 0)
    path.parent.mkdir(exist_ok=True)
    ended = {
        "t": run.t,
        "event": "requests-ended",
        "status": 502,
        "reason": "dial-failed",
        "why": "connection refused",
    }
    each = [[ORIGIN + 2.009 + n * 4 / 3, 0.0, 0.0, 0.001] for n in range(3)]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in ({"recordsEnds": True}, {**ended, "each": each})))
    assert (
        "the pod was never ready in the 8.0 s that its containers ran, as nothing listened on the app's port that "
        "queue-proxy asks, and a cluster would have sent it no request" in _verdict(run)["headline"]
    )


def test_a_pod_that_was_ready_after_the_load_is_not_said_never_to_have_been(tmp_path: Path) -> None:
    """Requests would have waited for it, or gone elsewhere."""
    run = _begun(tmp_path / "run")
    run.requests(20, 2.0, 6.0)
    run.advance(5.0)
    run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.advance(8.0)
    run.status("2/2", "Running")
    run.advance(9.0)
    headline = _verdict(run)["headline"]
    assert "never" not in headline
    assert (
        "the pod was not ready until the load was over because the readiness probe of queue-proxy failed" in headline
    )


def test_the_time_that_containers_ran_ends_with_them(tmp_path: Path) -> None:
    """Not with the run, where they ended by themselves after the last request."""
    run = _begun(tmp_path / "run")
    run.requests(3, 2.0, 6.0, takes_s=0.01, status=502)
    run.advance(8.0)
    for name in ("app", "queue-proxy"):
        run.exit(name, 1)
    run.advance(20.0)
    assert "was never ready in the 8.0 s that its containers ran" in " ".join(_verdict(run)["sentences"])


def test_an_init_container_that_ended_is_no_reason_to_pass_over_a_pod(tmp_path: Path) -> None:
    """It ends before the others start, as it should."""
    run = _begun(tmp_path / "run")
    run.requests(3, 2.0, 6.0, takes_s=0.01, status=502)
    run.advance(8.0)
    study = read_study(run.finish())
    init = replace(study.instances[0], container="setup", role="init", started_s=0.0, exited_s=0.5, exit_code=0)
    headline = summarize(replace(study, instances=[init, *study.instances]))["verdict"]["headline"]
    assert "the pod was never ready in the 8.0 s that its containers ran" in headline


def test_a_container_without_a_probe_is_ready_at_once_on_a_cluster(tmp_path: Path) -> None:
    """emu waits until it listens; that it never did keeps no request away there."""
    run = FakeRun(tmp_path / "run")
    run.start("app", memory_max=64 * MIB, ready=False)
    run.status("0/1", "Running")
    run.requests(3, 2.0, 6.0, status=None, error="refused", container="app")
    run.advance(8.0)
    assert "never ready" not in _verdict(run)["headline"]


def test_a_pod_that_was_ready_for_a_time_is_mentioned(tmp_path: Path) -> None:
    """Three seconds of the load."""
    run = _begun(tmp_path / "run")
    run.status("2/2", "Running")
    run.requests(40, 1.0, 9.0)
    run.advance(4.0)
    run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.status("1/2", "Running")
    run.advance(7.0)
    run.status("2/2", "Running")
    run.advance(10.0)
    verdict = _verdict(run)
    assert "ready" not in verdict["headline"]
    said = " ".join(verdict["sentences"])
    assert "The pod was not ready for 3.0 s of the load because the readiness probe of queue-proxy failed" in said


def test_a_container_that_died_is_not_called_unready(tmp_path: Path) -> None:
    """Its restart has words of its own."""
    run = _begun(tmp_path / "run")
    run.status("2/2", "Running")
    run.requests(40, 1.0, 9.0)
    run.advance(4.0)
    run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.status("1/2", "Running")
    run.exit("app", 1)
    run.advance(7.0)
    run.status("2/2", "Running")
    run.advance(10.0)
    assert "because the readiness probe" not in " ".join(_verdict(run)["sentences"])


def test_the_time_in_which_a_killed_container_starts_again_is_not_the_probes(tmp_path: Path) -> None:
    """Ended, then started and not yet READY: one stretch. A probe that failed at another time has no part in it."""
    run = _begun(tmp_path / "run")
    run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.status("2/2", "Running")
    run.requests(40, 1.0, 9.0)
    run.advance(4.0)
    run.oom("app")
    run.status("1/2", "OOMKilled")
    run.advance(4.7)
    run.start("app", memory_max=64 * MIB, ready=False)
    run.status("1/2", "Running", 1)
    run.advance(8.0)
    run.status("2/2", "Running", 1)
    run.advance(10.0)
    assert "because the readiness probe" not in " ".join(_verdict(run)["sentences"])


def test_requests_answered_while_another_container_is_down_are_not_a_clusters(tmp_path: Path) -> None:
    """The app does without its sidecar; a Service's endpoints do not have a pod that is not READY."""
    run = FakeRun(tmp_path / "run")
    for name in ("queue-proxy", "app", "mesh"):
        run.start(name, memory_max=64 * MIB)
    run.status("3/3", "Running")
    run.requests(80, 1.0, 9.0)
    run.advance(4.0)
    run.oom("mesh")
    run.status("2/3", "OOMKilled")
    run.advance(4.5)
    run.start("mesh", memory_max=64 * MIB, ready=False)
    run.status("2/3", "Running", 1)
    run.advance(6.0)
    run.status("3/3", "Running", 1)
    run.advance(10.0)
    said = " ".join(_verdict(run)["sentences"])
    assert (
        "The pod was not ready for 2.0 s of the load while mesh was down or starting again, and 19 requests" in said
    )


def test_two_containers_that_are_down_were(tmp_path: Path) -> None:
    """In the plural."""
    run = FakeRun(tmp_path / "run")
    for name in ("queue-proxy", "app", "mesh", "logs"):
        run.start(name, memory_max=64 * MIB)
    run.status("4/4", "Running")
    run.requests(80, 1.0, 9.0)
    run.advance(4.0)
    run.exit("mesh", 1)
    run.exit("logs", 1)
    run.status("2/4", "Error")
    run.advance(7.0)
    run.status("4/4", "Running", 2)
    run.advance(10.0)
    assert "while mesh and logs were down or starting again, and" in " ".join(_verdict(run)["sentences"])


def test_a_probe_that_failed_once_is_said_so(tmp_path: Path) -> None:
    """Not `1 time`."""
    run = _begun(tmp_path / "run")
    run.requests(20, 2.0, 6.0)
    run.pod_event("queue-proxy", "Unhealthy", FAILED)
    run.advance(8.0)
    assert "because the readiness probe of queue-proxy failed once, and" in _verdict(run)["headline"]
