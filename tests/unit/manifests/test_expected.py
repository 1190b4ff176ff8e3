"""`python -m emu.conformance.manifests`: a table of words is checked, and a wrong table fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.conformance.expected import rows
from emu.conformance.manifests import main, play

KEPT = Path(__file__).parents[2] / "fixtures" / "manifests"
TABLE = (KEPT / "expected.md").read_text(encoding="utf-8")
PLAYED = list(rows(TABLE))


@pytest.mark.parametrize("row", PLAYED, ids=lambda row: row.name)
def test_each_manifest_is_what_the_table_says(row: object) -> None:
    """Verdict, every line of a refusal, every number and phrase."""
    from emu.conformance.expected import Row

    assert isinstance(row, Row)
    assert play(KEPT, row) == []


def test_features_are_a_row_of_their_own() -> None:
    """With the flags that it names, also in short."""
    found = {row.name: row.features for row in PLAYED if row.features}
    assert found == {
        "08 init container with features": ("kubernetes.podspec-init-containers",),
        "14 PVC and GPU with features": (
            "kubernetes.podspec-persistent-volume-claim",
            "kubernetes.podspec-nodeselector",
            "kubernetes.podspec-tolerations",
            "kubernetes.podspec-runtimeclassname",
        ),
    }


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("window 45 s", "window 46 s", "window is not 46: 45 s, 5 s"),
        ("(4.5 rounds", "(4.25 rounds", "no value and no note has 4.25"),
        ("| 01 plain | accepted |", "| 01 plain | refused |", "expected refused, got accepted"),
        ("`invalid value: cpu:", "`invalid value: gpu:", "refused with more: invalid value: cpu"),
        ("with at most second precision", "with at most minute precision", "no refusal says must"),
    ],
)
def test_a_table_that_says_otherwise_fails(tmp_path: Path, right: str, wrong: str, fault: str) -> None:
    """And says what is not so; the exit status is 1."""
    for file in KEPT.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    assert right in TABLE
    (tmp_path / "expected.md").write_text(TABLE.replace(right, wrong, 1), encoding="utf-8")
    result = CliRunner().invoke(main, [str(tmp_path)], standalone_mode=False)
    assert result.return_value == 1
    assert fault in " ".join(result.output.split())


def test_a_row_without_a_manifest_fails(tmp_path: Path) -> None:
    """It is not passed over."""
    (tmp_path / "expected.md").write_text("| 77 gone | accepted | CC 1 |\n", encoding="utf-8")
    result = CliRunner().invoke(main, [str(tmp_path)], standalone_mode=False)
    assert (result.return_value, "no manifest" in result.output) == (1, True)


def test_a_reader_who_leaves_is_no_failed_row() -> None:
    """`… | head -1` ends with 141, as for a program that SIGPIPE ended."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "emu.conformance.manifests", str(KEPT)]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=240, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
