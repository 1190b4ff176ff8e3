"""`pod.autoscaling` as people write it: its defaults are Knative's, its bounds too."""

from __future__ import annotations

import pytest

from emu.errors import EXIT_BAD_INPUT, EmuError
from emu.scenario.reading import read_scenario, resolve

HEAD = "name: scaled\nquestion: How long?\n"


def test_given_it_is_on_with_knatives_defaults() -> None:
    """`{}` is enough, and what is resolved reads the same again."""
    spec = read_scenario(HEAD + "pod: { autoscaling: {} }\n", "f.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None
    assert (asked.enable_scale_to_zero, asked.window, asked.scale_down_delay) == (True, 60, 0)
    assert (asked.scale_to_zero_pod_retention_period, asked.scale_to_zero_grace_period) == (0, 30)
    assert read_scenario(resolve(spec), "again.yaml") == spec


def test_not_given_it_is_off() -> None:
    """The pod stays as long as the run, and clients talk to it directly."""
    assert read_scenario(HEAD, "f.yaml").pod.autoscaling is None


def test_one_key_for_one_run_turns_it_on() -> None:
    """`--set` makes the mapping that is not there."""
    spec = read_scenario(HEAD, "f.yaml", ["pod.autoscaling.window=6s"])
    assert spec.pod.autoscaling is not None
    assert spec.pod.autoscaling.window == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pod: { autoscaling: { window: 5s } }\n", "pod.autoscaling.window"),
        ("pod: { autoscaling: { window: 61m } }\n", "pod.autoscaling.window"),
        ("pod: { autoscaling: { window: 6500ms } }\n", "6.5 s is not a whole number of seconds"),
        ("pod: { autoscaling: { scaleDownDelay: 1500ms } }\n", "1.5 s is not a whole number of seconds"),
        ("pod: { autoscaling: { scaleDownDelay: 2h } }\n", "pod.autoscaling.scaleDownDelay"),
        ("pod: { autoscaling: { scaleToZeroGracePeriod: 0 } }\n", "pod.autoscaling.scaleToZeroGracePeriod"),
        ("pod: { autoscaling: { minReplicas: 1 } }\n", "minReplicas"),
        ("pod: { autoscaling: { minScale: 2 } }\n", "max-scale=1 is less than min-scale=2"),
        ("pod: { autoscaling: { maxScale: -1 } }\n", "pod.autoscaling.maxScale"),
        ("pod: { autoscaling: { activationScale: 1 } }\n", "pod.autoscaling.activationScale"),
        ("pod: { autoscaling: { activationScale: 2 } }\n", "max-scale=1 is less than activation-scale=2"),
        (
            "pod: { autoscaling: { minScale: 3, maxScale: 5, activationScale: 2 } }\n",
            "min-scale=3 is greater than activation-scale=2",
        ),
        ("pod: { autoscaling: { metric: cpu } }\n", "pod.autoscaling.metric"),
        ("pod: { autoscaling: { target: 0 } }\n", "pod.autoscaling.target"),
        ("pod: { autoscaling: { targetUtilizationPercentage: 0.7 } }\n", "targetUtilizationPercentage"),
        ("pod: { autoscaling: { targetBurstCapacity: -2 } }\n", "-2 is negative"),
        ("pod: { autoscaling: { panicWindowPercentage: 0 } }\n", "panicWindowPercentage"),
        ("pod: { autoscaling: { panicThresholdPercentage: 100 } }\n", "panicThresholdPercentage"),
        ("pod: { autoscaling: { maxScaleUpRate: 1 } }\n", "maxScaleUpRate"),
        ("pod: { autoscaling: { maxScaleDownRate: 1 } }\n", "maxScaleDownRate"),
        ("pod: { autoscaling: {}, stopAfter: 3s }\n", "either `stopAfter` or `autoscaling`"),
        ("pod: { autoscaling: {} }\nstarts: { temperatures: [cold] }\n", "either `starts` or `pod.autoscaling`"),
    ],
)
def test_what_cannot_be_is_refused(text: str, words: str) -> None:
    """Before anything is started, with its place and a way out."""
    with pytest.raises(EmuError) as refused:
        read_scenario(HEAD + text, "f.yaml")
    assert words in str(refused.value)
    assert "f.yaml:" in str(refused.value)
    assert (refused.value.exit_status, bool(refused.value.fix)) == (EXIT_BAD_INPUT, True)
