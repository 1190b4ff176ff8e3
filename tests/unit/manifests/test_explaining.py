"""`emu explain`: what is said of a manifest, with its place, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.cli.main import main
from emu.errors import EmuError
from emu.manifests.explaining import explain_files
from emu.manifests.explanation import Explanation

KEPT = Path(__file__).parents[2] / "fixtures" / "manifests"
SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop}
spec:
  template:
    metadata:
      annotations: %s
    spec:
      containerConcurrency: 1
      containers:
      - image: registry.example/shop
"""


def explained(tmp_path: Path, *texts: str) -> list[Explanation]:
    """Files with these texts, explained."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text, encoding="utf-8")
    return explain_files(paths)


def values(one: Explanation) -> dict[str, str]:
    """Values by name."""
    return {value.name: value.text for value in one.values}


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    """A line of the manifest, a key of a ConfigMap, a default, or a formula."""
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata:\n  stable-window: 30s\n"
    (one,) = explained(tmp_path, SERVICE % '{autoscaling.knative.dev/target: "5"}', config)
    found = {value.name: value for value in one.values}
    assert found["total"].text == "1"
    assert found["total"].source == f"{tmp_path}/0.yaml:7:53, autoscaling.knative.dev/target"
    assert found["window"].source == f"{tmp_path}/1.yaml:5:18, config-autoscaler stable-window"
    assert found["metric"].source == "default"
    assert found["target"].how.startswith("1 x 0.7")
    notes = [note.text for note in one.notes]
    assert "target 5 is above containerConcurrency 1, which counts instead" in notes
    assert "one request is enough for 2 pods: 1 / 0.7, rounded up" in notes


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (
            "autoscaling.knative.dev/containerConcurrency",
            "`autoscaling.knative.dev/containerConcurrency` is no annotation of Knative: containerConcurrency is a "
            "field of the revision's spec",
        ),
        (
            "autoscaling.knative.dev/minscale",
            "`autoscaling.knative.dev/minscale` is no annotation of Knative, and has no effect; is "
            "autoscaling.knative.dev/min-scale meant?",
        ),
    ],
)
def test_what_is_accepted_and_ignored_is_said(tmp_path: Path, annotation: str, text: str) -> None:
    """An annotation that Knative does not know is a note with its place."""
    (one,) = explained(tmp_path, SERVICE % f'{{{annotation}: "5"}}')
    assert one.accepted
    assert [(note.text, note.mark.line if note.mark else 0) for note in one.notes if annotation in note.text] == [
        (text, 7)
    ]


def test_a_refusal_has_its_place(tmp_path: Path) -> None:
    """Also where the key itself has dots in it."""
    (one,) = explained(tmp_path, SERVICE % "\n        autoscaling.knative.dev/window: 5s")
    assert [(refusal.words, refusal.mark.line) for refusal in one.refusals] == [
        ("expected 6s <= 5s <= 1h0m0s: spec.template.metadata.annotations.autoscaling.knative.dev/window", 8)
    ]


def test_several_documents_and_a_list_are_read(tmp_path: Path) -> None:
    """Empty documents are left out; what kubectl prints as a List is its items."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: x}]}\n"
    listed = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {}}\n"
    found = explained(tmp_path, f"---\n{pod}---\n---\n{listed}")
    assert [(one.document.name, one.accepted) for one in found] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("kind: Gateway\napiVersion: x/v1\n", "1:7: kind: emu does not read a Gateway of x/v1"),
        ("kind: Service\napiVersion: v1\n", "1:7: kind: emu does not read a Service of v1"),
        (
            "kind: Service\napiVersion: serving.knative.dev/v1alpha1\n",
            "2:13: apiVersion: serving.knative.dev/v1alpha1",
        ),
        ("kind: Service\n", "1:1: apiVersion: missing"),
        ("- a\n", "1:1: not a manifest"),
        ("# nothing\n", "empty"),
    ],
)
def test_what_is_no_manifest_is_one_clear_error(tmp_path: Path, text: str, what: str) -> None:
    """It says what is known."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, text)
    assert what in refused.value.what


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: x}]}\n---\n"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("kind: Service\napiVersion: v1\nspec: {ports: [{port: 80}]}\n", "whatever it selects"),
        ("kind: Ingress\napiVersion: networking.k8s.io/v1\n", "emu reads no Ingress of networking.k8s.io/v1:"),
    ],
)
def test_other_kinds_beside_a_workload_are_passed_over(tmp_path: Path, other: str, words: str) -> None:
    """Most files in circulation have a Service or an Ingress beside the Deployment."""
    pod, unread = explained(tmp_path, POD + other)
    assert (pod.document.name, pod.accepted, pod.passed_over) == ("a", True, False)
    assert unread.passed_over and unread.accepted
    assert words in unread.notes[0].text


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ("kind: Deplyoment\napiVersion: apps/v1\n", "6:7: kind: emu does not read a Deplyoment of apps/v1"),
        ("kind: Deployment\napiVersion: v1\n", "6:7: kind: emu does not read a Deployment of v1"),
        ("kind: Service\napiVersion: v1\nspec: {template: {}}\n", "6:7: kind: emu does not read a Service of v1"),
    ],
)
def test_a_kind_that_is_misspelt_is_not_passed_over(tmp_path: Path, other: str, what: str) -> None:
    """Nor is Knative's Service with the version of Kubernetes' own."""
    with pytest.raises(EmuError) as refused:
        explained(tmp_path, POD + other)
    assert what in refused.value.what


def test_a_config_map_that_knative_refuses_is_reported(tmp_path: Path) -> None:
    """And the defaults count in its place."""
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata: {stable-window: 5s}\n"
    refused, service = explained(tmp_path, config, SERVICE % "{}")
    assert refused.refusals[0].words == "stable-window = 5s, must be in [6s; 1h0m0s] range"
    assert refused.refusals[0].mark.line == 4
    assert values(service)["window"] == "60 s"


def test_yes_is_true_as_kubernetes_reads_it(tmp_path: Path) -> None:
    """An annotation `yes` is no text."""
    (one,) = explained(tmp_path, SERVICE % "{x: yes}")
    assert "cannot unmarshal bool" in one.refusals[0].words


@pytest.mark.parametrize("number", ["1_000", "0b11", "-0x1F", "+1_0.5", "1__0"])
def test_numbers_are_read_as_kubernetes_reads_them(tmp_path: Path, number: str) -> None:
    """YAML 1.1 has more of them than 1.2; none is the text that an annotation has to be."""
    (one,) = explained(tmp_path, SERVICE % f"{{x: {number}}}")
    assert "cannot unmarshal number" in one.refusals[0].words


def test_the_exit_status_is_2_where_anything_is_refused(tmp_path: Path) -> None:
    """And 0 where nothing is; --json says the same."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(SERVICE % "{}", encoding="utf-8")
    bad.write_text(SERVICE % "{autoscaling.knative.dev/window: 5s}", encoding="utf-8")
    run = CliRunner().invoke
    assert run(main, ["explain", str(good)]).exit_code == 0
    refused = run(main, ["explain", str(bad)])
    assert (refused.exit_code, "expected 6s <= 5s <= 1h0m0s" in refused.output) == (2, True)
    reported = run(main, ["explain", "--json", str(bad)])
    assert (reported.exit_code, json.loads(reported.output)["objects"][0]["accepted"]) == (2, False)


_ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["", "-1", "1_0", "inf", "NaN", "10m", "1Gi", "a.b[0]", "[", [], {}, [None], {"a": 1}]),
)


def _paths(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(path for key, one in below for path in _paths(one, (*way, key)))]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_value_anywhere_is_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever stands at any place of a real manifest: it is accepted, refused, or one clear error."""
    from emu.files.yamlfile import parse_documents

    file = data.draw(st.sampled_from(sorted(KEPT.glob("*.yaml"))))
    whole = parse_documents(file.read_text(encoding="utf-8"), "x")[0].plain()
    *way, last = data.draw(st.sampled_from([path for path in _paths(whole) if path]))
    holder = whole
    for step in way:
        holder = holder[step]
    holder[last] = data.draw(_ATOMS)
    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text(json.dumps(whole), encoding="utf-8")
    try:
        for one in explain_files([path]):
            json.dumps(one.as_json())
    except EmuError:
        pass


ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: churn, annotations: {%s}}
spec:
  predictor:
    scaleTarget: 4
    containerConcurrency: 8
    model: {modelFormat: {name: sklearn}, storageUri: s3://models/churn}
"""


def test_a_component_is_explained_as_the_revision_that_it_becomes(tmp_path: Path) -> None:
    """Values come from the fields of the InferenceService, or are KServe's own."""
    (one,) = explained(tmp_path, ISVC % "")
    found = {value.name: value for value in one.values}
    assert (found["predictor: target"].text, found["predictor: containerConcurrency"].text) == ("2.8", "8")
    assert found["predictor: total"].source.startswith(f"{tmp_path}/0.yaml:6:18")
    assert found["predictor: containerConcurrency"].source == f"{tmp_path}/0.yaml:7:27"
    assert found["predictor: storage-initializer"].text == "init container"


def test_the_config_map_of_kserve_decides_the_mode(tmp_path: Path) -> None:
    """In Standard mode there is a HorizontalPodAutoscaler."""
    config = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inferenceservice-config}\n"
        'data: {deploy: \'{"defaultDeploymentMode": "Standard"}\'}\n'
    )
    (one,) = explained(tmp_path, ISVC % "", config)
    assert values(one)["predictor: mode"] == "Standard"
    assert values(one)["predictor: HPA maxReplicas"] == "1"


POD_OF_DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec:\n"
    "  template: {metadata: {labels: {app: w}}, spec: {containers: [{name: w, image: w%s}]}}\n"
)


@pytest.mark.parametrize(("label", "accepted"), [("w", True), ("worker", False)])
def test_a_deployment_has_to_select_its_own_pods(tmp_path: Path, label: str, accepted: bool) -> None:
    """The API server refuses one whose selector its template's labels do not match."""
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec:\n  selector: {matchLabels: {app: w}}\n"
        f"  template: {{metadata: {{labels: {{app: {label}}}}}, spec: {{containers: [{{name: w, image: w}}]}}}}\n"
    )
    (made,) = explained(tmp_path, text)
    assert made.accepted is accepted
    assert ["does not match template" in one.words for one in made.refusals] == ([] if accepted else [True])


def test_a_deployment_needs_a_selector(tmp_path: Path) -> None:
    """As the API server has it, which fills in none."""
    (made,) = explained(tmp_path, POD_OF_DEPLOYMENT % "")
    assert [one.words for one in made.refusals] == [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"w"}: `selector` does not match template `labels`',
    ]


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("100", "w: no container starts with a memory limit of 100, which is 100 B: 100Mi is probably meant"),
        ("100m", "w: no container starts with a memory limit of 100m, which is 0.1 bytes: 100Mi is probably meant"),
        ("512Ki", "w: no container starts with a memory limit of 512Ki, which is 512 KiB"),
        ("64Mi", None),
    ],
)
def test_a_limit_in_which_nothing_starts_is_a_note(tmp_path: Path, limit: str, words: str | None) -> None:
    """A unit is missing, or m is a thousandth."""
    text = POD_OF_DEPLOYMENT % f", resources: {{limits: {{memory: {limit}}}}}"
    (made,) = explained(tmp_path, text.replace("spec:\n", "spec:\n  selector: {matchLabels: {app: w}}\n", 1))
    assert made.accepted
    assert [note.text for note in made.notes] == ([] if words is None else [words])


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("readiness", "the container is never ready"),
        ("liveness", "it kills nothing"),
        ("startup", "the container never counts as started"),
    ],
)
def test_a_probe_at_a_port_that_is_not_there_is_a_note(tmp_path: Path, kind: str, becomes: str) -> None:
    """The API server accepts it, and the kubelet throws each try away."""
    probe = f", ports: [{{name: web, containerPort: 80}}], {kind}Probe: {{httpGet: {{port: %s}}}}"
    for port, notes in (("http", 1), ("web", 0), ("8080", 0)):
        text = POD_OF_DEPLOYMENT % (probe % port)
        (made,) = explained(tmp_path, text.replace("spec:\n", "spec:\n  selector: {matchLabels: {app: w}}\n", 1))
        assert len(made.notes) == notes
        assert all(note.text.endswith(f"the kubelet cannot try it, and {becomes}") for note in made.notes)
