"""`emu explain` of a ScaledObject."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.manifests.explaining import explain_files

WHOLE = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  minReplicaCount: %s
  triggers:
  - {type: prometheus, metadata: {serverAddress: http://p, query: %s, threshold: "5"}}
"""


def test_its_numbers_and_their_places(tmp_path: Path) -> None:
    """KEDA's defaults are named as such; what is missing and what emu cannot evaluate is a note."""
    (tmp_path / "so.yaml").write_text(WHOLE % (0, "absent(x)"), encoding="utf-8")
    (made,) = explain_files([tmp_path / "so.yaml"])
    found = {one.name: (one.text, one.source) for one in made.values}
    assert found["maxReplicaCount"] == ("100", "default") and found["minReplicaCount"][1].endswith("so.yaml:6:20")
    words = [one.text for one in made.notes]
    assert words[0] == "Deployment web is not among the files: it must exist, else KEDA scales nothing"
    assert words[1].startswith("trigger 1: emu cannot evaluate its query: emu does not evaluate absent()")
    assert words[2].startswith("minReplicaCount 0: pods that are gone have no metrics")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (WHOLE % (200, "x"), "MinReplicaCount=200 must be less than MaxReplicaCount=100"),
        (
            (WHOLE % (1, "x")).replace('threshold: "5"', ""),
            'missing required parameter "threshold" in [triggerMetadata]',
        ),
        ((WHOLE % (1, "x")).replace("minReplicaCount: 1", "idleReplicaCount: 0"), "IdleReplicaCount=0 must be less"),
        ((WHOLE % (1, "x")).replace('"5"', "5"), "metadata"),
    ],
)
def test_what_keda_refuses(tmp_path: Path, text: str, words: str) -> None:
    """In its words, at its place; a number without quotes is the API server's affair."""
    (tmp_path / "so.yaml").write_text(text, encoding="utf-8")
    (made,) = explain_files([tmp_path / "so.yaml"])
    assert not made.accepted and words in made.refusals[0].words


def test_a_trigger_of_cpu_without_a_metric_type_and_what_replaced_it(tmp_path: Path) -> None:
    """KEDA's operator refuses it, in the trigger's own line; `type` of the metadata is of older ones."""
    text = (WHOLE % (1, "x")) + "  - {type: cpu, metadata: {type: Utilization, value: '60'}}\n"
    (tmp_path / "so.yaml").write_text(text, encoding="utf-8")
    (made,) = explain_files([tmp_path / "so.yaml"])
    (refusal,) = made.refusals
    assert refusal.words.startswith("error parsing cpu metadata: unknown metric type: , allowed values are")
    assert (refusal.by, refusal.mark.line) == ("KEDA's operator", 9)
    assert refusal.fix.endswith("; KEDA read `type` of the metadata until 2.17")


def test_scaling_modifiers_are_said_to_be_left_out(tmp_path: Path) -> None:
    """Each trigger counts by itself in a run."""
    text = (WHOLE % (1, "x")) + "  advanced: {scalingModifiers: {formula: a + 1, target: '5'}}\n"
    (tmp_path / "so.yaml").write_text(text, encoding="utf-8")
    (made,) = explain_files([tmp_path / "so.yaml"])
    assert "emu evaluates no scalingModifiers: each trigger counts by itself" in [one.text for one in made.notes]
