"""An InferenceService in Standard mode: its containers are checked as in Knative's, by the API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.manifests.test_explaining import explained

ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, annotations: {serving.kserve.io/deploymentMode: Standard}}
spec:
  predictor:
    containers:
    - name: kserve-container
      image: nginx
      %s
"""
RUNTIME = """\
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {name: mine}
spec:
  supportedModelFormats: [{name: mine, autoSelect: true}]
  containers:
  - name: kserve-container
    image: nginx
    %s
"""


@pytest.mark.parametrize(
    ("more", "key", "wanted", "given"),
    [
        ("env: [{name: A, value: 8080}]", "env[0].value", "string", "integer"),
        ("env: [{name: A, value: yes}]", "env[0].value", "string", "boolean"),
        ("securityContext: {runAsUser: '1000'}", "securityContext.runAsUser", "integer", "string"),
        ("securityContext: {runAsNonRoot: 'true'}", "securityContext.runAsNonRoot", "boolean", "string"),
        ("livenessProbe: {initialDelaySeconds: 10s}", "livenessProbe.initialDelaySeconds", "integer", "string"),
        ("ports: [{containerPort: '80'}]", "ports[0].containerPort", "integer", "string"),
        ("command: [sleep, 5]", "command", "string", "integer"),
        ("volumeMounts: [/a]", "volumeMounts", "object", "string"),
        ("envFrom: {configMapRef: {name: a}}", "envFrom", "array", "object"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, more: str, key: str, wanted: str, given: str) -> None:
    """At its place, once; of a predictor and of a runtime."""
    (found,) = explained(tmp_path, ISVC % more)
    (refusal,) = found.refusals
    assert refusal.words.startswith(f"spec.predictor.containers[0].{key}")
    assert refusal.words.endswith(f'must be of type {wanted}: "{given}"')
    assert (refusal.by, refusal.mark.line) == ("the API server", 9)
    (found,) = explained(tmp_path, RUNTIME % more)
    assert [one.mark.line for one in found.refusals] == [9]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("volumeMounts: [{name: none, mountPath: /a}]", 'volumeMounts[0].name: Not found: "none"'),
        ("ports: [{containerPort: 80, name: a-name-that-is-too-long}]", "ports[0].name: Invalid value"),
        ("resources: {requests: {cpu: 4}}", "resources.requests: Invalid value"),
    ],
)
def test_a_deployment_that_kubernetes_refuses_is_said(tmp_path: Path, more: str, words: str) -> None:
    """KServe takes the InferenceService and cannot make the Deployment."""
    (found,) = explained(tmp_path, ISVC % more)
    (refusal,) = found.refusals
    assert refusal.words.startswith("spec.template.spec.containers[0].")
    assert refusal.by == "the API server, of the Deployment that KServe makes,"
    assert words in refusal.words and refusal.mark.line == 9


def test_what_is_right_is_accepted(tmp_path: Path) -> None:
    """Each kind of value once."""
    more = (
        "env: [{name: A, value: '8080'}]",
        "ports: [{containerPort: 80}]",
        "securityContext: {runAsUser: 1000}",
        "livenessProbe: {httpGet: {path: /, port: 80}, initialDelaySeconds: 10}",
        "resources: {limits: {cpu: 1}}",
    )
    (found,) = explained(tmp_path, ISVC % "\n      ".join(more))
    assert found.accepted
