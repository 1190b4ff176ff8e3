"""What a manifest has a container run: filled in as Kubernetes does, with ports by their numbers."""

from __future__ import annotations

from typing import Any

import pytest

from emu.manifests.starting_program import program_of
from emu.manifests.yamltext import Said, written
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


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("--port=$(PORT)", "--port=9000"),
        ("$(A)$(B)", "aab"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$A ${A}", "$A ${A}"),
    ],
)
def test_references_are_filled_in(text: str, becomes: str) -> None:
    """As Kubernetes does in command, args and env; a variable sees those before it."""
    env = [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)b"}]
    made = of(args=[text], env=env, ports=[{"containerPort": 9000}])
    assert made["args"] == [becomes]
    assert made["env"] == {"A": "a", "B": "ab"}


@pytest.mark.parametrize(
    ("probe", "becomes"),
    [
        (HTTP, {**HTTP, "periodSeconds": Said(1, "Knative: without a period queue-proxy asks every 50 ms")}),
        ({**HTTP, "periodSeconds": 3, "successThreshold": 1}, {**HTTP, "periodSeconds": 3}),
        ({"tcpSocket": {"port": 9000}, "periodSeconds": 3}, {"tcpSocket": {}, "periodSeconds": 3}),
        ({"tcpSocket": {"port": "http1"}, "periodSeconds": 3}, {"tcpSocket": {}, "periodSeconds": 3}),
        ({"httpGet": {"port": 9001}, "periodSeconds": 3}, {"httpGet": {"port": 9001}, "periodSeconds": 3}),
        ({"exec": {"command": ["true"]}}, {"exec": {"command": ["true"]}}),
        ({"grpc": {"port": 9000}}, None),
    ],
)
def test_a_probe_keeps_what_it_asks(probe: dict[str, Any], becomes: dict[str, Any] | None) -> None:
    """A named port by its number, the container's own without; one by gRPC is left out and named."""
    container = {"image": "web:1", "ports": [{"name": "http1", "containerPort": 9000}], "readinessProbe": probe}
    made = program_of(container, serves=True)
    assert made.keys is not None and made.keys.get("readinessProbe") == becomes
    assert made.left_out == ([] if becomes else ["a readinessProbe by gRPC"])
    plain = {key: value for key, value in made.keys.items() if key != "readinessProbe"}
    assert ProgramSpec.model_validate(plain).port == 9000
    assert written(made.keys)


def test_what_has_no_place_is_named() -> None:
    """Whether the image runs or not."""
    made = program_of(
        {
            "image": "web:1",
            "workingDir": "/srv",
            "securityContext": {"runAsUser": 1},
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        }
    )
    assert made.left_out == [
        "workingDir of its containers",
        "securityContext of its containers",
        "env with valueFrom (KEY)",
    ]
    assert made.keys == {"image": "web:1"}


def test_an_app_that_speaks_h2c_has_a_stand_in() -> None:
    """Its load would be HTTP/1.1."""
    made = program_of({"image": "web:1", "ports": [{"name": "h2c", "containerPort": 9000}]}, serves=True)
    assert made.keys is None and "its port is h2c" in made.left_out[0]
