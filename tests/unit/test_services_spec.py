"""`services` of a scenario: what may be said of them, what is refused, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.messages import host_of
from emu.policy.routing import whole
from emu.report.known_names import names_of
from emu.scenario.load_plan import Entrance, load_plan
from emu.scenario.reading import read_scenario, resolve, variants_of
from emu.serving.template import Serving, pod_template
from emu.spec import ScenarioSpec

TWO = "services: [{name: hello, autoscaling: {maxScale: 3}}, {name: world}]"


def read(rest: str) -> ScenarioSpec:
    """A scenario with these keys."""
    return read_scenario(f"name: it\nquestion: What?\n{rest}\n", "it.yaml")


def phase(rest: str) -> str:
    """A load of one phase."""
    return f"load: {{phases: [{{name: go, type: constant, rate: 1, duration: 1s, {rest}}}]}}"


@pytest.mark.parametrize(
    ("rest", "what", "place"),
    [
        (f"{TWO}\npod: {{containerConcurrency: 1}}", "either `pod` or `services`", "it.yaml:4"),
        (f"{TWO}\npods: [{{name: a}}]", "either `pods` or `services`", "it.yaml:4"),
        (f"{TWO}\nstarts: {{}}", "either `starts` or `services`", "it.yaml:4"),
        (f"{TWO}\nnode: {{evictionHard: {{memory.available: 10Mi}}, memory: 4Gi}}", "`evictionHard`", "evictionHard"),
        ("services: [{name: a}, {name: a}]", "two services have the name 'a'", "services.1.name"),
        ("services: [{}]", "it is missing", "services.0"),
        ("services: [{name: A}]", "not a valid name", "services.0.name"),
        (f"services: [{{name: {'a' * 40}}}]", "is too long", "services.0.name"),
        ("services: [{name: a}, {name: b, runtime: process}]", "has the runtime process", "services.1.runtime"),
        ("services: [{name: a, freezer: {}}]", "`freezer` needs the scenario's only pod", "services.0.freezer"),
        ("services: [{name: a, stopAfter: 1s}]", "either `stopAfter` or `autoscaling`", "services.0.stopAfter"),
        ("services: [{name: a, autoscaling: {minScale: 2}}]", "above maxScale", "services.0.autoscaling.minScale"),
        ("services: [{name: a, app: {imge: x}}]", "no such key", "services.0.app.imge"),
        (f"{TWO}\n{phase('service: c')}", "there is no service 'c'", "load.phases.0.service"),
        (phase("service: c"), "there is no service 'c'", "load.phases.0.service"),
        (f"{TWO}\n{phase('to: hello')}", "`to` names one of `pods`", "load.phases.0.to"),
        (f"{TWO}\n{phase('until: {exits: 1, container: db}')}", "no container 'db'", "until.container"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_its_place(rest: str, what: str, place: str) -> None:
    """Nothing is started; the error names the key and what to do about it."""
    with pytest.raises(EmuError) as refused:
        read(rest)
    assert what in refused.value.what and place in refused.value.what and refused.value.fix


def test_a_service_scales_without_being_asked_to() -> None:
    """Each is autoscaled by Knative's defaults, has one revision, and pods that are named after it."""
    spec = read(TWO)
    assert [one.autoscaling.max_scale for one in spec.services] == [3, 1]
    assert list(spec.each_pod) == ["hello-00001", "world-00001"]
    assert [one.service for one in spec.each_revision.values()] == ["hello", "world"]
    assert spec.watches_node


def test_pod_is_the_short_form_of_one_service() -> None:
    """It is called app, and has one revision."""
    spec = read("pod: {autoscaling: {}}")
    (service,) = spec.each_service.values()
    (revision,) = service.revisions
    assert (service.name, revision.name, revision.spec) == ("app", "app-00001", spec.pod)


def test_what_is_resolved_can_be_read_again() -> None:
    """The record of a run has all of it."""
    spec = read(f"{TWO}\n{phase('service: world')}")
    assert read_scenario(resolve(spec), "again.yaml") == spec


def test_queue_proxy_and_the_app_know_whose_they_are() -> None:
    """In the variables that Knative's controller sets."""
    template = pod_template(read(TWO).services[0], of=Serving("hello", "hello-00001"))
    queue_proxy, app = template.container("queue-proxy").env, template.container("app").env
    assert (queue_proxy["SERVING_SERVICE"], queue_proxy["SERVING_REVISION"]) == ("hello", "hello-00001")
    assert (app["K_SERVICE"], app["K_REVISION"]) == ("hello", "hello-00001")


def test_a_phase_asks_the_service_that_it_names() -> None:
    """At its own entrance, with its own Host; without a name it asks the first one."""
    phases = "[{name: a, type: pause, duration: 1s}, {name: b, type: pause, duration: 1s, service: world}]"
    spec = read(f"{TWO}\nload: {{phases: {phases}}}")
    known = {
        name: Entrance("127.0.0.1", port, host_header=host_of(name)) for port, name in enumerate(("hello", "world"))
    }
    plan = load_plan(spec.load, "127.0.0.1", 0, known, first="hello")
    assert [(one.port, one.host_header) for one in plan.phases] == [
        (0, "hello.default.example.com"),
        (1, "world.default.example.com"),
    ]


def test_expectations_name_services_and_their_revisions() -> None:
    """What summary.json will have is known before a run."""
    services = names_of(read(TWO))["services"]
    assert set(services) == {"hello", "world"}
    assert set(services["hello"]["revisions"]) == {"hello-00001"}
    with pytest.raises(EmuError, match="no 'helo' in services"):
        read(f"{TWO}\nexpect: {{services.helo.pods_final: 1}}")


REVISIONS = "revisions: {a-00001: , a-00002: {app.resources.limits.memory: 64Mi}}"


def one(rest: str, load: str = "") -> str:
    """A service with two revisions."""
    return f"services: [{{name: a, {REVISIONS}, {rest}}}]\n{load}"


SPLIT = "traffic: [{revisionName: a-00001, percent: 90}, {revisionName: a-00002, percent: 10, tag: next}]"


@pytest.mark.parametrize(
    ("rest", "what", "place"),
    [
        (one(SPLIT.replace("90", "80")), "Traffic targets sum to 90, want 100", "services.0.traffic"),
        (one("traffic: [{percent: 100, revisionName: b}]"), "no revision 'b'", "services.0.traffic.0.revisionName"),
        (one(SPLIT.replace("90}", "90, tag: next}")), 'Multiple definitions for "next"', "services.0.traffic.1.tag"),
        (
            one(SPLIT.replace("90}", "90, latestRevision: true}")),
            'may not set revisionName "a-00001" when latestRevision is true', "services.0.traffic.0.latestRevision",
        ),
        (one("traffic: [{percent: 101}]"), "101 is too large", "services.0.traffic.0.percent"),
        (one(""), "a-00002 never gets any traffic", "services.0.revisions.a-00002"),
        ("services: [{name: a, revisions: {b: }}]", "does not begin with a-", "services.0.revisions.b"),
        ("services: [{name: a, revisions: {a-1: {nme: 1}}}]", "nme: there is no such key", "revisions.a-1.nme"),
        ("services: [{name: a, revisions: {a-1: {app.x.y: 1}}}]", "no such key", "services.0.revisions.a-1.app.x.y"),
        (
            "services: [{name: a, revisions: {a-1: {autoscaling.minScale: 3}}}]",
            "minScale 3 is above maxScale 1", "services.0.revisions.a-1.autoscaling.minScale",
        ),
        ("services: [{name: a, revisions: {a-1: {runtime: process}}}]", "no revision can change", "a-1.runtime"),
        ("services: [{name: a, revisions: {a-1: {autoscaling: null}}}]", "no revision can change", "0.revisions.a-1"),
        ("services: [{name: a, revisions: {a-1: {sidecars.x: 1}}}]", "leads nowhere", "a-1.sidecars.x"),
        (one(SPLIT, phase("tag: other")), "has the tag 'other'", "load.phases.0.tag"),
        (one(SPLIT, phase("rollout: {to: a-00002}, tag: next")), "has the tag 'next'", "load.phases.0.tag"),
        (one(SPLIT, phase("rollout: {to: c}")), "no revision 'c'", "load.phases.0.rollout.to"),
        (one(SPLIT, phase("rollout: {}")), "either `to` or `traffic`", "load.phases.0.rollout"),
        (
            one(SPLIT, phase("rollout: {traffic: [{percent: 5}]}")),
            "Traffic targets sum to 5, want 100", "load.phases.0.rollout.traffic",
        ),
        (one(SPLIT, phase("until: {readyPods: 1, revision: c}")), "no revision 'c'", "phases.0.until.revision"),
        (phase("tag: x"), "`tag` is about the revisions of a service", "load.phases.0.tag"),
        (phase("rollout: {to: x}"), "`rollout` is about the revisions", "load.phases.0.rollout"),
        (phase("until: {readyPods: 1, revision: x}"), "`revision` is about", "load.phases.0.until.revision"),
    ],
)  # fmt: skip
def test_traffic_is_refused_in_knative_s_words(rest: str, what: str, place: str) -> None:
    """With its place, and what to do about it."""
    with pytest.raises(EmuError) as refused:
        read(rest)
    assert what in refused.value.what and place in refused.value.what and refused.value.fix


def test_a_revision_is_its_service_changed() -> None:
    """What it does not change is the service's."""
    spec = read(one(f"app: {{resources: {{limits: {{memory: 32Mi}}}}}}, containerConcurrency: 3, {SPLIT}"))
    pods = spec.each_pod
    limits = [pod.app.resources.limits.memory for pod in pods.values()]
    assert list(pods) == ["a-00001", "a-00002"]
    assert limits == [32 * 2**20, 64 * 2**20]
    assert {pod.container_concurrency for pod in pods.values()} == {3}
    assert read_scenario(resolve(spec), "again.yaml") == spec


def test_a_variant_of_a_service_is_one_of_all_its_revisions() -> None:
    """A revision keeps what it changes itself."""
    text = one(SPLIT, "variants: {many: {services.0.containerConcurrency: 7}}")
    play = variants_of(read(text))["many"]
    assert {pod.container_concurrency for pod in play.each_pod.values()} == {7}


def test_all_requests_go_to_the_first_revision_unless_traffic_says_otherwise() -> None:
    """A later one is there for a rollout."""
    spec = read(one("", phase("rollout: {to: a-00002}")))
    assert spec.each_service["a"].traffic == whole("a-00001", latest=True)
    assert read(one("traffic: [{latestRevision: true, percent: 100}]", phase("rollout: {to: a-00001}"))).each_service[
        "a"
    ].traffic == whole("a-00002", latest=True)


MANIFEST = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/target: "7", autoscaling.knative.dev/max-scale: "2"}}
    spec:
      containerConcurrency: 9
      containers: [{image: x/y, resources: {limits: {memory: 64Mi}}}]
"""


def inline(**changes: str) -> str:
    """The manifest as a mapping of the service."""
    text = MANIFEST
    for old, new in changes.items():
        text = text.replace(old, new)
    return "services:\n  - manifest:\n" + "".join(f"      {line}\n" for line in text.splitlines())


def test_a_service_is_made_of_a_manifest(tmp_path: Path) -> None:
    """A file beside the scenario, a text, or a mapping: the same service, and the record needs no file."""
    (tmp_path / "hello.yaml").write_text(MANIFEST)
    asked = "name: it\nquestion: What?\nservices: [{manifest: hello.yaml}]\n"
    of_file = read_scenario(asked, str(tmp_path / "it.yaml"))
    (service,) = of_file.services
    assert (service.name, service.container_concurrency, service.manifest) == ("hello", 9, None)
    assert (service.autoscaling.target, service.autoscaling.max_scale) == (7.0, 2)
    text = "services:\n  - manifest: |\n" + "".join(f"      {line}\n" for line in MANIFEST.splitlines())
    assert read(inline()).services == read(text).services == of_file.services
    assert read_scenario(resolve(of_file), "again.yaml") == of_file


def test_a_manifest_s_rollout_duration_is_the_service_s() -> None:
    """The annotation is on the Service; Knative's webhook refuses what is not whole seconds."""
    named = "metadata: {name: hello}"
    annotated = "metadata: {{name: hello, annotations: {{serving.knative.dev/rollout-duration: {}}}}}"
    (service,) = read(inline(**{named: annotated.format("1m")})).services
    assert service.rollout_duration == 60
    with pytest.raises(EmuError, match="not at second precision"):
        read(one("rolloutDuration: 1500ms"))
    with pytest.raises(EmuError, match="no `rolloutDuration`"):
        read("services: [{name: a, rolloutDuration: 1s, deploymentMode: Standard, autoscaling: {class: hpa}}]")


def test_own_keys_win_over_the_manifest_s() -> None:
    """Mappings are joined key by key."""
    (service,) = read(f"{inline()}    name: mine\n    autoscaling: {{maxScale: 3}}\n").services
    assert (service.name, service.autoscaling.max_scale, service.autoscaling.target) == ("mine", 3, 7.0)


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("services: [{manifest: nowhere.yaml}]", "nowhere.yaml"),
        ("services: [{manifest: 3}]", "not a manifest"),
        ("services: [{manifest: {kind: Service}}]", "apiVersion: missing"),
        (inline(max_scale="", **{'"2"': '"x"'}), "refuses Service hello"),
        (inline(Service="Srvice"), "does not read a Srvice"),
        ("services: [{manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}}]", "no workload in it"),
        ("services: [{manifest: []}]", "it.yaml:3:23: manifest: there is no workload in it"),
        ("services: [{manifest: {apiVersion: v1, kind: Pod, metadata: {name: a}}}]", "refuses Pod a"),
        (f"{inline()}    revisions: {{a-1: }}\n", "does not begin with hello-"),
    ],
)
def test_a_manifest_that_makes_no_service_is_refused(rest: str, what: str) -> None:
    """As `emu run MANIFEST` refuses it, with the place in the scenario or in the manifest's own file."""
    with pytest.raises(EmuError) as refused:
        read(rest)
    assert what in refused.value.what
