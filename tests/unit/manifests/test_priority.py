"""PriorityClasses: what the API server refuses, and the priority that pods get."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.manifests.documents import read_manifests
from emu.manifests.explaining import explain
from emu.manifests.explanation import Explanation
from emu.manifests.starting import scenario_of
from emu.scenario.reading import read_scenario

CLASS = """
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: NAME}
KEYS
---"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {KEYS containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
---"""
SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: web}
spec: {template: {spec: {KEYS containers: [{image: nginx}]}}}
---"""
GATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features, namespace: knative-serving}
data: {kubernetes.podspec-priorityclassname: enabled}
"""


def priority_class(name: str, keys: str) -> str:
    """One document."""
    return CLASS.replace("NAME", name).replace("KEYS", keys)


def explained(tmp_path: Path, text: str) -> list[Explanation]:
    """What is said of each document."""
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return explain(read_manifests([file]))


def priority_in(made: Explanation) -> dict[str, str]:
    """What it says of the priority."""
    return {one.name: one.text for one in made.values if "riority" in one.name}


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        (
            "high",
            "value: 1000000001",
            "value: Forbidden: maximum allowed value of a user defined priority is 10",
        ),
        ("high", "{value: 1, preemptionPolicy: Maybe}", 'preemptionPolicy: Unsupported value: "Maybe": supported'),
        ("system-mine", "value: 1", "error: system-mine is not a known system priority class"),
        ("system-node-critical", "value: 1", "value of system-node-critical PriorityClass must be 2000001000"),
        ("high", "value: much", "json: cannot unmarshal string into Go struct field .value of type int32"),
    ],
)
def test_what_the_api_server_refuses(tmp_path: Path, name: str, keys: str, words: str) -> None:
    """In its words."""
    text = priority_class(name, keys.strip("{}").replace(", ", "\n"))
    (made,) = explained(tmp_path, text)
    assert words in made.refusals[0].words


def test_only_one_class_is_the_default(tmp_path: Path) -> None:
    """The second one is refused; pods have the first."""
    two = priority_class("a", "value: 5\nglobalDefault: true") + priority_class("b", "value: 6\nglobalDefault: true")
    first, second, web = explained(tmp_path, two + DEPLOYMENT.replace("KEYS", ""))
    assert first.accepted
    assert second.refusals[0].words == "PriorityClass a is already marked as default. Only one default can exist"
    assert priority_in(web) == {"priorityClassName": "a", "priority": "5"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            "priority: 7,",
            "integer value of priority (7) must not be provided in pod spec; priority admission",
        ),
        ("preemptionPolicy: Never,", "string value of PreemptionPolicy (Never) must not be provided in pod spec;"),
    ],
)
def test_a_pod_cannot_have_a_priority_of_its_own(tmp_path: Path, keys: str, words: str) -> None:
    """Its class has it; the same value is no error."""
    (web,) = explained(tmp_path, DEPLOYMENT.replace("KEYS", keys))
    assert words in web.refusals[0].words
    same = DEPLOYMENT.replace("KEYS", "priorityClassName: high, priority: 7,")
    _, web = explained(tmp_path, priority_class("high", "value: 7") + same)
    assert web.accepted


def test_a_class_that_is_not_among_the_files_is_noted(tmp_path: Path) -> None:
    """The cluster may have it; a scenario goes without, and says so."""
    text = DEPLOYMENT.replace("KEYS", "priorityClassName: high,")
    (web,) = explained(tmp_path, text)
    assert "no PriorityClass with name high was found" in web.notes[-1].text
    pod = read_scenario(scenario_of(read_manifests([tmp_path / "m.yaml"])), "it").pod
    assert pod.priority_class_name is None
    assert any("priorityClassName high" in one for one in pod.left_out)


@pytest.mark.parametrize("workload", [DEPLOYMENT, SERVICE + GATE])
def test_a_scenario_has_the_priority_of_the_class(tmp_path: Path, workload: str) -> None:
    """Of a Deployment, and of a revision where Knative lets it have one."""
    (tmp_path / "m.yaml").write_text(
        priority_class("high", "value: 1000\npreemptionPolicy: Never")
        + workload.replace("KEYS", "priorityClassName: high,")
    )
    pod = read_scenario(scenario_of(read_manifests([tmp_path / "m.yaml"])), "it").pod
    assert (pod.priority_class_name, pod.effective_priority, pod.preemption_policy) == ("high", 1000, "Never")


def test_knative_refuses_it_without_its_flag(tmp_path: Path) -> None:
    """The way out is named."""
    made = explained(tmp_path, SERVICE.replace("KEYS", "priorityClassName: system-cluster-critical,"))[0]
    assert "must not set the field(s): spec.template.spec.priorityClassName" in made.refusals[0].words
    assert "kubernetes.podspec-priorityclassname" in made.refusals[0].fix
