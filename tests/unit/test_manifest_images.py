"""A manifest's own images in a run: which are run, with what, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from emu.errors import EmuError
from emu.kubelet.environment import program_of
from emu.kubelet.template import PodTemplate
from emu.messages import APP, QUEUE_PROXY
from emu.policy.kubelet.derived import NodeRules
from emu.run.manifest_images import Running, decide, names
from emu.runtime import images
from emu.scenario.reading import read_scenario, resolve
from emu.serving.template import pod_template
from emu.spec import ScenarioSpec

KSVC = """\
name: it
question: What?
services:
  - manifest:
      apiVersion: serving.knative.dev/v1
      kind: Service
      metadata: {name: shop}
      spec:
        template:
          spec:
            containers:
            - name: web
              image: docker.io/library/shop
              command: [/serve]
              args: ["--port=$(PORT)", "--dir=$(DIR)", "$(UNKNOWN) $$(PORT)"]
              env: [{name: DIR, value: /srv}, {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]
              ports: [{containerPort: 9000}]
              readinessProbe: {httpGet: {path: /ready}}
              livenessProbe: {httpGet: {path: /alive, port: 9000}, periodSeconds: 5}
            - {name: tailer, image: "registry.example/tailer:7"}
load:
  phases:
    - {name: go, type: constant, rate: 1, duration: 1s, request: {do: {sleep: 1s}}}
"""


def read(changes: str = "", text: str = KSVC) -> ScenarioSpec:
    """The scenario, with other keys of the service."""
    return read_scenario(
        text.replace("  - manifest:", f"  - {changes}\n    manifest:" if changes else "  - manifest:"), "it"
    )


def template(spec: ScenarioSpec) -> PodTemplate:
    """Of the service's pods."""
    return pod_template(spec.services[0])


def test_an_image_that_the_engine_has_is_run_as_the_manifest_says() -> None:
    """Its program, variables, port and probes; queue-proxy asks it on its port; the requests have no `do`."""
    spec, ran = decide(read(), lambda: ["shop:latest", "emu/app:latest"])
    assert ran == [Running("shop", APP, "shop:latest", plain_requests=True)]
    made = template(spec)
    app = made.container(APP)
    assert (app.image, app.command) == ("shop:latest", ("/serve",))
    started = program_of(app, replace(made, objects={"Secret": {"s": {"k": "x"}}}), "pod-1", "10.0.0.2", NodeRules(0))
    assert started.command == ("--port=9000", "--dir=/srv", "$(UNKNOWN) $(PORT)")
    assert started.env["KEY"] == "x"
    assert (app.env["DIR"], app.env["PORT"], app.port) == ("/srv", "9000", 9000)
    assert app.volume is None
    assert set(app.probes) == {"liveness", "readiness"} and app.probes["readiness"].ours
    proxy = made.container(QUEUE_PROXY).env
    assert proxy["USER_PORT"] == "9000"
    assert '"path":"/ready"' in str(proxy["SERVING_READINESS_PROBE"])
    assert not app.confined and made.container(QUEUE_PROXY).confined
    assert spec.load.phases[0].request.do is None


def test_an_image_that_it_lacks_has_a_stand_in() -> None:
    """It says for which image, why, and what it goes without; the requests keep their `do`."""
    spec, ran = decide(read(), lambda: ["shop:2"])
    assert ran == []
    app = template(spec).container(APP)
    assert (app.image, app.command, app.stands_in_for) == (images.APP, None, "docker.io/library/shop")
    assert app.confined
    first, second = spec.services[0].left_out
    assert first == (
        "the image docker.io/library/shop, which the engine does not have (it has the tag 2), so emu's own program "
        "stands in, without its command, args, env, livenessProbe, readinessProbe"
    )
    assert (
        second
        == "the image registry.example/tailer:7, which the engine does not have, so emu's own program stands in"
    )
    assert spec.load.phases[0].request.do is not None


def test_a_container_beside_the_app_may_have_its_image_too() -> None:
    """Each is decided by itself: requests go to the app."""
    spec, ran = decide(read(), lambda: ["registry.example/tailer:7"])
    assert [(one.container, one.image, one.plain_requests) for one in ran] == [
        ("tailer", "registry.example/tailer:7", False)
    ]
    made = template(spec)
    assert made.container("tailer").image == "registry.example/tailer:7" and made.container("tailer").args is None
    assert spec.load.phases[0].request.do is not None


@pytest.mark.parametrize(
    ("changes", "there", "why"),
    [
        ("runtime: process", None, "which needs Docker, and this is `runtime: process`"),
        ("images: stand-in", ["shop:latest"], "which `images: stand-in` forgoes"),
    ],
)
def test_no_image_is_run_where_none_can_or_may_be(changes: str, there: Sequence[str] | None, why: str) -> None:
    """Nor asked for."""
    spec = read(changes)
    assert names(spec) == []
    made, ran = decide(spec, lambda: there)
    assert ran == [] and why in made.services[0].left_out[0]


def test_an_image_can_be_demanded() -> None:
    """It is the container's image then, which a run looks for; without Docker that is refused at once."""
    spec = read("images: engine")
    assert names(spec) == ["docker.io/library/shop", "registry.example/tailer:7"]
    made, _ = decide(spec, list)
    assert made.services[0].app.image == "docker.io/library/shop"
    with pytest.raises(EmuError, match="`images: engine` needs Docker"):
        read("images: engine\n    runtime: process")


def test_keys_of_the_service_win() -> None:
    """An image, a program and variables that it names itself."""
    spec, ran = decide(read("app: {image: 'mine:1'}"), lambda: ["mine:1", "shop:latest"])
    assert ran == [] and template(spec).container(APP).image == "mine:1"
    spec, _ = decide(read("app: {command: [/other], env: {DIR: /mine}}"), lambda: ["shop:latest"])
    app = template(spec).container(APP)
    assert (app.image, app.command, app.args, app.env["DIR"]) == ("shop:latest", ("/other",), None, "/mine")


def test_what_was_decided_is_on_record() -> None:
    """The scenario as it ran can be read and decided again, and comes out the same."""
    spec, _ = decide(read(), lambda: ["shop:latest"])
    again = read_scenario(resolve(spec), "record")
    assert again == spec
    assert template(again) == template(spec)


def test_no_engine_is_asked_without_a_manifest() -> None:
    """A scenario that names no image of one is as it was."""
    spec = read_scenario("name: it\nquestion: What?\n", "it")

    def ask() -> list[str]:
        raise AssertionError("it was asked")

    assert decide(spec, ask) == (spec, [])


def test_a_port_beside_another_container_s_is_refused() -> None:
    """With the key, before anything starts."""
    with pytest.raises(EmuError, match="port 9000 is taken"):
        decide(read("sidecars: [{name: tailer, port: 9000}]"), lambda: ["shop:latest"])


def test_a_revision_has_its_service_s_program() -> None:
    """A revision may name an image of its own, and not change what the manifest says."""
    with pytest.raises(EmuError, match="no revision can change `program`"):
        read("revisions: {shop-00001: , shop-00002: {app.program.image: x}}")
    with pytest.raises(EmuError, match="no revision can change `images`"):
        read("revisions: {shop-00001: , shop-00002: {images: engine}}")
