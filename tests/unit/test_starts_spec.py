"""`starts` as people write it: what a scenario needs for it, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.policy.starts import TEMPERATURES
from emu.runtime.filler import random_file, shares
from emu.scenario.reading import read_scenario, resolve

HEAD = "name: starts\nquestion: How fast?\n"
FROZEN = "pod: { freezer: {}, app: { memory: { swapMax: max } } }\n"


def test_every_temperature_is_the_default() -> None:
    """Nothing said: all seven, three times."""
    spec = read_scenario(HEAD + FROZEN + "starts: {}\n", "starts.yaml")
    assert spec.starts is not None
    assert (spec.starts.temperatures, spec.starts.trials) == (TEMPERATURES, 3)
    assert read_scenario(resolve(spec), "again.yaml") == spec


def test_what_is_never_frozen_needs_no_freezer() -> None:
    """Docker alone makes these."""
    text = HEAD + "starts: { temperatures: [cold, created, warm-cpu], trials: 1 }\n"
    assert read_scenario(text, "starts.yaml").starts is not None


LOAD = "load: { phases: [{ name: a, type: constant, rate: 1, duration: 1s }] }\n"
SWAP = "pod: { freezer: {} }\n"
RECLAIM = "pod: { freezer: { reclaim: [{ after: 1s }] }, app: { memory: { swapMax: max } } }\n"
KNATIVE = "pod: { freezer: { mode: knative }, app: { memory: { swapMax: max } } }\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("starts: {}\n", "the pod cannot become warm-swap"),
        (KNATIVE + "starts: {}\n", "the pod cannot become warm-swap"),
        (SWAP + "starts: {}\n", "may not use swap"),
        (RECLAIM + "starts: {}\n", "conflicts with `starts`"),
        (LOAD + "starts: { temperatures: [cold] }\n", "either `starts` or `load`"),
        ("starts: { temperatures: [] }\n", "starts.temperatures"),
        ("starts: { temperatures: [tepid] }\n", "warm-disk"),
        ("starts: { trials: 0 }\n", "starts.trials"),
        ("starts: { temperatures: [cold], request: { websocket: {} } }\n", "plain answer"),
        (
            "starts: { temperatures: [cold], request: { do: { readFile: model } } }\n",
            "no phase or key creates the file",
        ),
    ],
)
def test_what_cannot_be_is_refused(text: str, words: str) -> None:
    """Before anything is started, with what would help."""
    with pytest.raises(EmuError) as refused:
        read_scenario(HEAD + text, "starts.yaml")
    assert words in str(refused.value)


def test_a_filler_is_spread_over_layers(tmp_path: Path) -> None:
    """Its bytes are all there, and a file of them is as long as was asked for."""
    assert shares(10, 3) == [3, 3, 4]
    assert sum(shares(64 * 2**20 + 1, 7)) == 64 * 2**20 + 1
    assert random_file(tmp_path / "filler", 2**20 + 5).stat().st_size == 2**20 + 5


def test_the_image_of_starts_can_be_a_variant() -> None:
    """What is added to it, and when it is pulled."""
    spec = read_scenario(
        "name: x\nquestion: Is it?\nstarts: { image: { filler: 64Mi, layers: 8 }, imagePullPolicy: Always,"
        " temperatures: [cold] }\nvariants: { small: { starts.image.filler: 0 }, large: {} }\n",
        "x.yaml",
    )
    assert spec.starts is not None
    assert (spec.starts.image.filler, spec.starts.image.layers) == (64 * 2**20, 8)
    assert spec.starts.image_pull_policy == "Always"
