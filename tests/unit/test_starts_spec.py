"""`starts` as people write it: what a scenario needs for it, and what does not go together."""

from __future__ import annotations

import pytest

from emu.errors import EmuError
from emu.policy.starts import TEMPERATURES
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
