"""What a manifest has a container run: filled in as Kubernetes does, with ports by their numbers."""

from __future__ import annotations

from typing import Any

import pytest

from emu.manifests.starting_program import Metadata, program_of
from emu.manifests.yamltext import Said, written
from emu.policy.kubelet.security import Security
from emu.spec.program import ProgramSpec

HTTP = {"httpGet": {"path": "/ready"}}


def of(**keys: Any) -> dict[str, Any]:
    """The program of a container that serves."""
    made = program_of({"name": "web", "image": "web:1", **keys}, serves=True).keys
    assert made is not None
    return {key: value for key, value in made.items() if key != "image"}


def test_an_image_alone_is_its_image() -> None:
    """Knative's default port and its default probe go without saying."""
    assert of(ports=[{"containerPort": 8080}], readinessProbe={"tcpSocket": {}, "successThreshold": 1}) == {}


def test_references_are_left_to_the_kubelet() -> None:
    """Variables keep their order, and say where their values are; a label of the manifest's is known."""
    secret = {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}
    env = [
        {"name": "A", "value": "$(B)"},
        {"name": "B", "valueFrom": secret},
        {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "DISK", "valueFrom": {"resourceFieldRef": {"resource": "limits.ephemeral-storage"}}},
    ]
    sources = [{"prefix": "X_", "secretRef": {"name": "s"}}]
    container = {"image": "web:1", "args": ["$(A)"], "env": env, "envFrom": sources}
    made = program_of(container, of=Metadata({"tier": "$w"}, {}))
    assert made.keys == {
        "image": "web:1",
        "args": ["$(A)"],
        "env": {
            "A": "$(B)",
            "B": secret,
            "TIER": "$$w",
            "POD": {"fieldRef": {"fieldPath": "metadata.name"}},
            "MEM": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
        },
        "envFrom": sources,
    }
    assert made.left_out == ["env DISK with valueFrom resourceFieldRef"]
    assert ProgramSpec.model_validate(made.keys).env["A"] == "$(B)"


@pytest.mark.parametrize(
    ("probe", "becomes"),
    [
        (HTTP, {**HTTP, "periodSeconds": Said(1, "Knative: without a period queue-proxy asks every 50 ms")}),
        ({**HTTP, "periodSeconds": 3, "successThreshold": 1}, {**HTTP, "periodSeconds": 3}),
        ({"tcpSocket": {"port": 9000}, "periodSeconds": 3}, {"tcpSocket": {}, "periodSeconds": 3}),
        ({"tcpSocket": {"port": "http1"}, "periodSeconds": 3}, {"tcpSocket": {}, "periodSeconds": 3}),
        ({"httpGet": {"port": 9001}, "periodSeconds": 3}, {"httpGet": {"port": 9001}, "periodSeconds": 3}),
        ({"exec": {"command": ["true"]}}, {"exec": {"command": ["true"]}}),
        (
            {"grpc": {"port": 9001, "service": "shop"}, "periodSeconds": 3},
            {"grpc": {"port": 9001, "service": "shop"}, "periodSeconds": 3},
        ),
        ({"grpc": {"port": 9000, "service": ""}, "periodSeconds": 3}, {"grpc": {}, "periodSeconds": 3}),
    ],
)
def test_a_probe_keeps_what_it_asks(probe: dict[str, Any], becomes: dict[str, Any]) -> None:
    """A named port by its number, the container's own without."""
    container = {"image": "web:1", "ports": [{"name": "http1", "containerPort": 9000}], "readinessProbe": probe}
    made = program_of(container, serves=True)
    assert made.keys is not None and made.keys.get("readinessProbe") == becomes
    assert made.left_out == []
    plain = {key: value for key, value in made.keys.items() if key != "readinessProbe"}
    assert ProgramSpec.model_validate(plain).port == 9000
    assert written(made.keys)


def test_what_has_no_place_is_named() -> None:
    """Whether the image runs or not."""
    made = program_of(
        {
            "image": "web:1",
            "lifecycle": {},
            "securityContext": {"privileged": True, "allowPrivilegeEscalation": False},
        }
    )
    assert made.left_out == [
        "privileged of its containers' securityContext",
    ]
    assert made.keys == {"image": "web:1"}


def test_rights_are_taken_along() -> None:
    """The container's go before the pod's; what no container of a run has is named."""
    own = {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["CAP_CHOWN"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {"runAsUser": 1000, "runAsGroup": 3000, "runAsNonRoot": True, "fsGroup": 2000}
    made = program_of({"image": "web:1", "workingDir": "/srv", "securityContext": own}, of=Metadata(security=pod))
    assert made.keys is not None
    assert made.keys["workingDir"] == "/srv"
    assert made.keys["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 3000,
        "readOnlyRootFilesystem": True,
        "capabilities": {"add": ["CHOWN"], "drop": ["ALL"]},
    }
    assert made.left_out == ["fsGroup of its pods' securityContext"]
    asked = ProgramSpec.model_validate(made.keys).security_context
    assert asked is not None and asked.security == Security(0, 3000, False, True, ("CHOWN",), ("ALL",))


def test_an_app_that_speaks_h2c_has_a_stand_in() -> None:
    """Its load would be HTTP/1.1."""
    made = program_of({"image": "web:1", "ports": [{"name": "h2c", "containerPort": 9000}]}, serves=True)
    assert made.keys is None and "its port is h2c" in made.left_out[0]
