"""What `kubectl describe pod` says of a pod; what it says of states and resources, test_decisions.py plays."""

from __future__ import annotations

from typing import Any

import pytest

from emu.policy.kubelet.describing import describe_pod


def described(container: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """The lines, with one blank for each gap."""
    pod = {
        "metadata": {"name": "p", "labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "a", **(container or {})}], **spec},
    }
    return [" ".join(line.split()) for line in describe_pod(pod, "BestEffort")]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "V: p (v1:metadata.name)"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "V: shop (v1:metadata.labels['app'])"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "V: (v1:status.podIP)"),
        ({"resourceFieldRef": {"resource": "limits.memory"}}, "V: node allocatable (limits.memory)"),
        ({"resourceFieldRef": {"resource": "requests.cpu"}}, "V: 1 (requests.cpu)"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "V: 100 (requests.cpu)"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "V: <set to the key 'k' in secret 's'> Optional: false"),
    ],
)
def test_a_variable_has_its_source_and_what_the_manifest_knows_of_its_value(
    source: dict[str, Any], line: str
) -> None:
    """Amounts are rounded up to the divisor; an address is not in a manifest."""
    container = {"env": [{"name": "V", "valueFrom": source}], "resources": {"requests": {"cpu": "100m"}}}
    assert line in described(container)


def test_sources_of_variables_come_before_the_variables() -> None:
    """Each with its kind; without any there is no such line."""
    lines = described({"envFrom": [{"prefix": "X_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]})
    at = lines.index("Environment Variables from:")
    assert lines[at + 1 : at + 3] == ["c ConfigMap with prefix 'X_' Optional: false", "s Secret Optional: false"]
    assert lines[at + 3] == "Environment: <none>"
    assert "Environment Variables from:" not in described()


def test_a_path_of_a_probe_is_escaped_as_in_an_address() -> None:
    """A question mark would begin a query."""
    probe = {"httpGet": {"path": "/a?b=c d", "port": 8080, "scheme": "HTTP"}}
    (line,) = [line for line in described({"livenessProbe": probe}) if line.startswith("Liveness")]
    assert "http-get http://:8080/a%3Fb=c%20d delay=0s" in line


def test_volumes_have_their_kind() -> None:
    """And what it is made of."""
    lines = described(
        volumes=[
            {"name": "c", "configMap": {"name": "files", "optional": True}},
            {"name": "p", "persistentVolumeClaim": {"claimName": "disk"}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607}}]}},
            {"name": "h", "hostPath": {"path": "/x"}},
        ]
    )
    for line in (
        "Name: files",
        "Optional: true",
        "ClaimName: disk",
        "ReadOnly: false",
        "TokenExpirationSeconds: 3607",
    ):
        assert line in lines
    assert "HostPathType: <none>" in lines and "<unknown>" not in lines


def test_a_gate_that_no_condition_answers_is_none() -> None:
    """The table comes before that of the conditions."""
    lines = described(readinessGates=[{"conditionType": "ready.example.com"}])
    assert lines[lines.index("Readiness Gates:") + 2] == "ready.example.com <none>"
