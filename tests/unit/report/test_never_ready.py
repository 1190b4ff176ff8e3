"""A service whose pods were never ready: why, and what Knative would say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.record.events import ScaleDecided
from emu.record.rundir import RunDir
from emu.report.summary import summarize
from emu.report.topics.never_ready import headlines, sentences
from emu.report.topics.services import SERVICES
from emu.study.model.instances import Instance, PodEvent
from emu.study.model.study import Happening, Study
from emu.study.services import services

POD = "shop-00001-deployment-abc-aaaaa"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """One pod, from 0 s to the end at 30 s, whose queue-proxy runs and whose app is each test's own."""
    made = Study(RunDir(tmp_path), origin=0.0, duration_s=30.0)
    made.instances = [Instance("queue-proxy", 0, pod=POD, created_s=0.0, started_s=0.2)]
    made.pod_statuses.append(Happening(1.0, "pod-status", "pod", "Running", {"ready": "0/2", "restarts": 0}, POD))
    return made


def reported(study: Study, *app: Instance) -> list[str]:
    """What the report has of it."""
    study.instances += app
    study.services = services(
        study, [ScaleDecided(t=0.0, revision="shop-00001", service="shop", before=1, pods=1, why="initial scale")]
    )
    return [*headlines(study), *sentences(study)]


def test_an_app_that_ends_is_an_unhealthy_container(study: Study) -> None:
    """With its exit code and the end of what it printed."""
    ends = [
        Instance("app", n, pod=POD, created_s=n, started_s=n + 0.1, exited_s=n + 0.2, exit_code=3) for n in (0, 1)
    ]
    study.run.logs.mkdir()
    study.run.new_log(POD, "app", 1).write_text("starting\nno such model\n\n")
    what = "shop-00001 was never ready, because its app ended twice, with exit code 3 in the end"
    status = "ContainerHealthy False, ExitCode3: Container failed with: no such model"
    assert reported(study, *ends) == [what, f"{what}; Knative's status of it would be {status}."]


def test_the_headline_says_that_it_was_never_ready_not_only_that_its_app_ended(study: Study) -> None:
    """Which is why; and an autoscaler that changed nothing is not said to have done so 0 times."""
    app = Instance("app", 0, pod=POD, created_s=0.0, started_s=0.1, exited_s=0.2, exit_code=3, reason="Error")
    what = reported(study, app)[0]
    summary = summarize(study)
    assert summary["verdict"]["headline"] == what
    assert "app ended by itself at 200 ms with exit code 3." in summary["verdict"]["sentences"]
    summary["services"]["shop"] |= {"pods_desired_max": 2, "panics": 0}
    said = SERVICES.sentences(study, summary)
    assert any("left each revision as many pods as it began with: it wanted 2 at most" in text for text in said)


def test_a_program_that_cannot_be_started_is_named(study: Study) -> None:
    """In the engine's words: nothing was printed."""
    study.pod_events.append(PodEvent("Warning", "Failed", "app", "Error: no such program", 1.0, 1.0, 1, POD))
    said = reported(study, Instance("app", 0, pod=POD, created_s=0.0, exited_s=0.2, exit_code=128))
    assert said[0] == "shop-00001 was never ready, because its app could not be started (exit code 128)"
    assert said[1].endswith("ExitCode128: Container failed with: Error: no such program.")


def test_an_app_that_ended_once_is_not_said_to_have_ended_in_the_end(study: Study) -> None:
    """The number of ends is said where there are several."""
    said = reported(study, Instance("app", 0, pod=POD, created_s=0.0, started_s=0.1, exited_s=0.2, exit_code=3))
    assert said[0] == "shop-00001 was never ready, because its app ended with exit code 3"


def test_an_app_behind_an_init_container_that_does_not_end_was_never_started(study: Study) -> None:
    """It did not run for 0 s."""
    what = "shop-00001 was never ready, because its app was never started"
    status = "after 10 minutes Knative's status of it would be ResourcesAvailable False, PodInitializing"
    assert reported(study) == [what, f"{what}; {status}."]


def test_a_container_that_cannot_be_made_is_named(study: Study) -> None:
    """In the kubelet's words, which are Knative's in the end."""
    study.pod_events.append(PodEvent("Warning", "Failed", "app", 'Error: secret "db" not found', 1.0, 1.0, 1, POD))
    error = 'CreateContainerConfigError: secret "db" not found'
    what = f"shop-00001 was never ready, because the container app cannot be made ({error})"
    status = f"after 10 minutes Knative's status of it would be ResourcesAvailable False, {error}"
    assert reported(study) == [what, f"{what}; {status}."]


def test_an_app_that_listens_nowhere_meets_the_progress_deadline(study: Study) -> None:
    """It runs, and that is all."""
    said = reported(study, Instance("app", 0, pod=POD, created_s=0.0, started_s=5.0))
    assert said[0] == "shop-00001 was never ready, though its app ran for 25.0 s"
    assert said[1].endswith(
        "after 10 minutes Knative's status of it would be ProgressDeadlineExceeded: Initial scale was never achieved."
    )


def test_one_that_is_given_up_has_knatives_words(study: Study) -> None:
    """With when, and after how long."""
    study.instances.append(
        Instance("app", 0, pod=POD, created_s=0.0, started_s=1.0, exited_s=8.0, exit_code=0, asked=True)
    )
    made = [
        ScaleDecided(t=0.0, revision="shop-00001", service="shop", pods=1, before=1, progress_deadline_s=4.0),
        ScaleDecided(t=7.0, revision="shop-00001", service="shop", before=1, progress_deadline_s=4.0, given_up=True),
    ]
    study.services, study.time_scale = services(study, made), 10.0
    said = sentences(study)[0]
    assert said.startswith(
        "shop-00001 was never ready, though its app ran for 7.0 s; the autoscaler gave up on it at 7.0 s, after the "
        "progress deadline of 4.0 s and a buffer of 3.0 s"
    )
    assert said.endswith("; Knative's status of it is ProgressDeadlineExceeded: Initial scale was never achieved.")


def test_a_deadline_that_was_set_is_named(study: Study) -> None:
    """As the run has it."""
    study.instances.append(Instance("app", 0, pod=POD, created_s=0.0, started_s=5.0))
    made = ScaleDecided(t=0.0, revision="shop-00001", service="shop", pods=1, before=1, progress_deadline_s=60.0)
    study.services = services(study, [made])
    assert "after 60.0 s Knative's status of it would be ProgressDeadlineExceeded" in sentences(study)[0]


def test_a_revision_without_room_is_unschedulable(study: Study) -> None:
    """In the scheduler's words, at once."""
    study.instances.clear()
    study.pod_statuses[:] = [Happening(1.0, "pod-status", "pod", "Pending", {"ready": "0/2", "restarts": 0}, POD)]
    why = "0/1 nodes are available: 1 Insufficient memory. preemption: none."
    study.pod_events.append(PodEvent("Warning", "FailedScheduling", "", why, 1.0, 1.0, 1, POD))
    made = ScaleDecided(t=0.0, revision="shop-00001", service="shop", pods=1, before=1, progress_deadline_s=600.0)
    study.services = services(study, [made])
    what = "shop-00001 was never ready, because its pod was Pending: 0/1 nodes are available: 1 Insufficient memory"
    status = f"Knative's status of it would be ResourcesAvailable False, Unschedulable: {why}"
    assert [*headlines(study), *sentences(study)] == [what, f"{what}; {status}."]


def test_a_pod_that_was_ready_once_is_none_of_them(study: Study) -> None:
    """Nor is one without an autoscaler."""
    study.pod_statuses.append(Happening(2.0, "pod-status", "pod", "Running", {"ready": "2/2", "restarts": 0}, POD))
    assert reported(study, Instance("app", 0, pod=POD, created_s=0.0, started_s=1.0)) == []
    study.services = []
    assert headlines(study) == []
