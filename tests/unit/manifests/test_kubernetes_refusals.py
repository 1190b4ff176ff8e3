"""What the API server refuses of Pods, Deployments and HorizontalPodAutoscalers, as Kubernetes 1.36.3 words it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emu.manifests.hpa import refused
from emu.manifests.kubernetes_refusals import all_refused

WAY = ("spec",)
TEMPLATE = ("spec", "template", "spec")
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
OF_A_POD: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["spec.containers: Required value"]),
    ({"containers": [{"name": "a", "image": "i"}]}, []),
    (
        {"containers": [{}]},
        ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
    ),
    ({"containers": [{"name": "a_b", "image": "i"}]}, [f'spec.containers[0].name: Invalid value: "a_b": {LABEL}']),
    (
        {"containers": [{"name": "a", "image": "i"}], "initContainers": [{"name": "a", "image": "i"}]},
        ['spec.initContainers[0].name: Duplicate value: "a"'],
    ),
    (
        {"containers": [{"name": "a", "image": " i"}]},
        ['spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'],
    ),
    (
        {
            "containers": [
                {"name": "a", "image": "i", "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}
            ]
        },
        [
            'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit '
            "of 1Gi"
        ],
    ),
    (
        {"containers": [{"name": "a", "image": "i", "ports": [{}, {"containerPort": 70000}]}]},
        [
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    ),
    (
        {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]},
        ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ),
    (
        {
            "containers": [{"name": "a", "image": "i"}],
            "volumes": [
                {"configMap": {"name": "c", "items": [{"path": "x"}, {"key": "k", "path": "../x"}]}},
                {"name": "v", "secret": {"defaultMode": 644}},
                {"name": "v"},
            ],
        },
        [
            "spec.volumes[0].configMap.items[0].key: Required value",
            "spec.volumes[0].configMap.items[1].path: Invalid value: \"../x\": must not contain '..'",
            "spec.volumes[0].name: Required value",
            "spec.volumes[1].secret.secretName: Required value",
            "spec.volumes[1].secret.defaultMode: Invalid value: 644: must be a number between 0 and 0777 (octal), "
            "both inclusive",
            'spec.volumes[2].name: Duplicate value: "v"',
        ],
    ),
]


@pytest.mark.parametrize(("spec", "wanted"), OF_A_POD)
def test_a_pod_is_refused_in_the_words_of_the_api_server(spec: dict[str, Any], wanted: list[str]) -> None:
    """Every fault, each with its field."""
    assert [f"{path}: {words}" for path, words in all_refused("Pod", {"name": "p"}, spec, spec, WAY)] == wanted


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"selector": {"matchLabels": {"a": "c"}}},
            'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
        ),
    ],
)
def test_a_deployment_is_refused_in_the_words_of_the_api_server(spec: dict[str, Any], wanted: str) -> None:
    """One fault, and one line."""
    pods = {"containers": [{"name": "a", "image": "i"}]}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pods}}
    found = all_refused("Deployment", {"name": "d"}, whole | spec, pods, TEMPLATE)
    assert [f"{path}: {words}" for path, words in found] == [wanted]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"maxReplicas": 0, "minReplicas": -1}, "spec.maxReplicas: Required value: must be set and greater than 0"),
        (
            {"scaleTargetRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}},
            'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
        ),
        (
            {"scaleTargetRef": {"apiVersion": "a/b/c", "kind": "D", "name": "d"}},
            'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ),
        (
            {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "D", "name": ".."}},
            "spec.scaleTargetRef.name: Invalid value: \"..\": may not be '..'",
        ),
        (
            {"minReplicas": 0},
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero "
            "replicas",
        ),
        (
            {"behavior": {"scaleUp": {"policies": []}}},
            "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy",
        ),
        (
            {"metrics": [{"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "1"}}}]},
            "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
        ),
    ],
)
def test_an_autoscaler_is_refused_in_the_words_of_the_api_server(spec: dict[str, Any], wanted: str) -> None:
    """Among its lines there is one for each fault."""
    whole = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}
    assert wanted in [f"{path}: {words}" for path, words in refused(whole | spec)]


def test_a_replication_controller_has_no_api_group() -> None:
    """The one kind of the core API that scales is the one that needs none."""
    target = {"apiVersion": "v1", "kind": "ReplicationController", "name": "r"}
    assert not list(refused({"maxReplicas": 3, "scaleTargetRef": target}))


RECORDED = Path(__file__).parents[2] / "fixtures" / "kubernetes" / "refused-deployments.jsonl"


def deployment(key: str, value: Any) -> dict[str, Any]:
    """A Deployment that is right but for one key."""
    container = {"name": "web", "image": "nginx"}
    pods = {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}
    labels = {"app": "web"}
    whole: dict[str, Any] = {
        "metadata": {"name": "web", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pods}},
    }
    at: Any = whole
    *way, last = key.split(".")
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
    at[last] = value
    return whole


def test_deployments_with_one_mistake_are_refused_as_kubernetes_did() -> None:
    """Each line has a key, a value, and what ValidateDeployment said of it."""
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        whole = deployment(case["key"], case["value"])
        pods = whole["spec"]["template"]["spec"]
        found = all_refused("Deployment", whole["metadata"], whole["spec"], pods, TEMPLATE)
        assert sorted(f"{path}: {words}" for path, words in found) == case["refused"], line
