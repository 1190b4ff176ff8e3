"""Kinds that emu does not read, modes that make no pods, and refusals that have a fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import EmuError, SeveralErrors
from emu.manifests.documents import article, read_manifests
from emu.manifests.explaining import explain_files
from emu.manifests.starting import scenario_of
from tests.unit.manifests.test_explaining import SERVICE, explained

OTHER = "apiVersion: %s\nkind: %s\nmetadata: {name: it}\n"
ISVC = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris, annotations: {serving.kserve.io/deploymentMode: %s}}
spec:
  predictor:
    model: {modelFormat: {name: %s}, storageUri: "gs://x/y"}
    %s
"""


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("v1", "ServiceAccount"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ("serving.kserve.io/v1alpha1", "InferenceGraph"),
        ("serving.kserve.io/v1alpha2", "LLMInferenceService"),
        ("serving.kserve.io/v1alpha1", "LLMInferenceServiceConfig"),
        ("keda.sh/v1alpha1", "ScaledJob"),
    ],
)
def test_another_kind_is_no_misspelt_one(tmp_path: Path, version: str, kind: str) -> None:
    """Beside a Service it is passed over, however much of its name is that of a kind that emu reads."""
    path = tmp_path / "all.yaml"
    path.write_text(f"{SERVICE % '{}'}---\n{OTHER % (version, kind)}", encoding="utf-8")
    assert [one.passed_over for one in explain_files([path])] == [False, True]
    path.write_text(OTHER % (version, kind), encoding="utf-8")
    with pytest.raises(EmuError) as caught:
        read_manifests([path])
    assert f"{article(kind)} {kind} of {version}" in caught.value.what
    assert "meant" not in caught.value.fix


@pytest.mark.parametrize(
    ("kind", "meant"), [("Servce", "Service"), ("inferenceservices", "InferenceService"), ("Deploymnt", "Deployment")]
)
def test_a_misspelt_kind_is_known(tmp_path: Path, kind: str, meant: str) -> None:
    """A letter too few, or another case."""
    path = tmp_path / "one.yaml"
    path.write_text(OTHER % ("serving.knative.dev/v1", kind), encoding="utf-8")
    with pytest.raises(EmuError) as caught:
        read_manifests([path])
    assert caught.value.fix == f"is {meant} meant?"


def test_a_file_without_a_kind_that_emu_reads_is_one_error(tmp_path: Path) -> None:
    """It names all of them."""
    path = tmp_path / "all.yaml"
    path.write_text("---\n".join(OTHER % ("eventing.knative.dev/v1", kind) for kind in ("Broker", "Trigger")))
    with pytest.raises(EmuError) as caught:
        read_manifests([path])
    assert not isinstance(caught.value, SeveralErrors)
    assert "a Broker" in caught.value.what and f"Trigger it ({path}:5:1)" in caught.value.what


def test_model_mesh_makes_no_pods(tmp_path: Path) -> None:
    """Its controller loads the model into pods that are there; a run has none to show."""
    (found,) = explained(tmp_path, ISVC % ("ModelMesh", "sklearn", ""))
    assert found.accepted and not found.values
    assert "KServe makes no pods for the predictor" in found.notes[0].text
    with pytest.raises(EmuError, match="there are no pods of InferenceService iris"):
        scenario_of(read_manifests([tmp_path / "0.yaml"]))


@pytest.mark.parametrize(
    ("mode", "name", "more", "fix"),
    [
        ("Standard", "sklearn", "scaleMetric: gpu", "KEDA"),
        ("Standard", "vllm", "", "is vLLM meant?"),
    ],
)
def test_what_kserve_refuses_has_a_fix(tmp_path: Path, mode: str, name: str, more: str, fix: str) -> None:
    """By what circulates."""
    (found,) = explained(tmp_path, ISVC % (mode, name, more))
    assert fix in found.refusals[0].fix


def test_an_image_with_a_placeholder_is_to_be_filled_in(tmp_path: Path) -> None:
    """As tutorials have them."""
    for image in ("docker.io/{username}/hello", "<image>", "gcr.io/$PROJECT/x"):
        (found,) = explained(tmp_path, (SERVICE % "{}").replace("registry.example/shop", f"'{image}'"))
        assert found.refusals[0].fix == "it is a placeholder: put the value in its place"


def test_thousands_of_cpus_are_probably_millicores(tmp_path: Path) -> None:
    """Kubernetes takes them, and no node has them."""
    (found,) = explained(tmp_path, (SERVICE % "{}") + "        resources: {limits: {cpu: 5000}}\n")
    assert found.accepted and any("5000m is probably meant" in one.text for one in found.notes)
