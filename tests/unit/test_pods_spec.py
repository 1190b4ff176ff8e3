"""`pods` of a scenario: what may be said of them, what is refused, and what becomes of it."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.messages import DATA_DIR, QUEUE_PORT
from emu.scenario.load_plan import Entrance, load_plan
from emu.scenario.reading import read_scenario, resolve
from emu.serving.template import pod_template
from emu.spec import ScenarioSpec

TWO = "pods: [{name: a, containers: [{name: web, port: 8080}]}, {name: b}]"


def read(rest: str) -> ScenarioSpec:
    """A scenario with these keys."""
    return read_scenario(f"name: it\nquestion: What?\n{rest}\n", "it.yaml")


def phase(rest: str) -> str:
    """A load of one phase."""
    return f"load: {{phases: [{{name: go, type: constant, rate: 1, duration: 1s, {rest}}}]}}"


@pytest.mark.parametrize(
    ("rest", "what", "place"),
    [
        (f"{TWO}\npod: {{containerConcurrency: 1}}", "either `pod` or `pods`", "it.yaml:4"),
        (f"{TWO}\nstarts: {{}}", "either `starts` or `pods`", "it.yaml:4"),
        ("pods: [{name: a}, {name: a}]", "two pods have the name 'a'", "pods.1.name"),
        ("pods: [{}]", "name", "pods.0"),
        ("pods: [{name: a}, {name: b, runtime: process}]", "has the runtime process", "pods.1.runtime"),
        ("pods: [{name: a, containers: [{name: web}]}]", "emu's app has no port", "pods.0.containers.0"),
        (
            "pods: [{name: a, app: {port: 9000}, containers: [{name: web, port: 8080}]}]",
            "either `containers` or `app`", "pods.0.app",
        ),
        (
            "pods: [{name: a, containers: [{name: w, port: 80}, {name: x, port: 80}]}]",
            "port 80 is taken", "pods.0.containers.1.port",
        ),
        ("pods: [{name: a, autoscaling: {}}]", "`autoscaling` needs the scenario's only pod", "pods.0.autoscaling"),
        ("pods: [{name: a, filesOf: c}]", "cannot use the files of 'c'", "pods.0.filesOf"),
        ("pods: [{name: a}, {name: b, filesOf: a}]", "cannot use the files of 'a'", "pods.1.filesOf"),
        (
            "pods: [{name: a, containers: [{name: w, command: [x], files: [{name: m, size: 1Mi}]}]}]",
            "`files` applies only to emu's app", "pods.0.containers.0.files",
        ),
        (
            "pods: [{name: a, containers: [{name: w, port: 80, files: [{name: m, size: 1Mi}]},"
            " {name: x, port: 81, files: [{name: m, size: 1Mi}]}]}]",
            "two files have the name 'm'", "pods.0.containers.1.files.0.name",
        ),
        (f"{TWO}\n{phase('to: c')}", "there is no pod 'c'", "load.phases.0.to"),
        (phase("to: c"), "there is no pod 'c'", "load.phases.0.to"),
        (f"{TWO}\n{phase('to: a, until: {exits: 1, container: app}')}", "no container 'app'", "until.container"),
        (
            f"pods: [{{name: a, containers: [{{name: job, command: [work]}}]}}]\n{phase('')}",
            "no container of the pod a has a port", "load.phases.0",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_error_at_its_place(rest: str, what: str, place: str) -> None:
    """What, with file, line and key."""
    with pytest.raises(EmuError) as refused:
        read(rest)
    errors = getattr(refused.value, "errors", [refused.value])
    assert len(errors) == 1
    assert what in errors[0].what
    assert place in errors[0].what


def test_an_expectation_on_a_pod_that_is_not_there_is_refused() -> None:
    """Its names are known before the run."""
    with pytest.raises(EmuError, match="'c'"):
        read(f'{TWO}\nexpect: {{pods.c.restarts: "0"}}')


def test_what_was_resolved_reads_the_same() -> None:
    """With every default filled in, those of the keys that `pods` goes without among them."""
    spec = read(TWO)
    assert read_scenario(resolve(spec), "again") == spec
    assert list(spec.each_pod) == ["a", "b"]


def test_a_plain_pod_has_its_containers_and_nothing_else() -> None:
    """No queue-proxy; requests go to the first container with a port, and Kubernetes' grace period counts."""
    plain, revision = (pod_template(one) for one in read(TWO).each_pod.values())
    assert (plain.names, plain.port, plain.grace_s) == (("web",), 8080, 30)
    assert (plain.serving, revision.serving) == ("web", "queue-proxy")
    web = plain.container("web")
    assert (web.env, web.volume, web.pre_stop) == ({"PORT": "8080"}, ("data", DATA_DIR), None)
    assert (revision.names, revision.port, revision.grace_s) == (("queue-proxy", "app"), QUEUE_PORT, 300)


def test_a_phase_goes_to_the_pod_that_it_names() -> None:
    """The others to the first one."""
    load = read(f"{TWO}\n{phase('to: b')}").load
    entrances = {"a": Entrance("10.0.0.1", 8080, "a", "web"), "b": Entrance("10.0.0.2", 8012, "b", "queue-proxy")}
    [phase_of_b] = load_plan(load, "10.0.0.1", 8080, entrances, first="a").phases
    assert (phase_of_b.host, phase_of_b.port) == ("10.0.0.2", 8012)
    assert (phase_of_b.pod, phase_of_b.container) == ("b", "queue-proxy")
    [unnamed] = load_plan(read(f"{TWO}\n{phase('')}").load, "10.0.0.1", 8080, entrances, first="a").phases
    assert (unnamed.host, unnamed.pod, unnamed.container) == ("", "a", "web")


def test_a_pod_may_use_the_files_of_another() -> None:
    """One volume for both: the files are made once, in that of the pod that has them."""
    spec = read(
        "pods: [{name: a, containers: [{name: w, port: 80, files: [{name: m, size: 1Mi}]}]}, {name: b, filesOf: a}]"
    )
    assert [spec.holder_of_files(one) for one in ("a", "b")] == ["a", "a"]
    made = [[file.name for volume in pod_template(pod).volumes for file in volume.files] for pod in spec.pods]
    assert made == [["m"], []]
    assert read_scenario(resolve(spec), "resolved.yaml") == spec
