"""What Knative makes of its annotations for the class hpa, and how Kubernetes writes and checks it."""

from __future__ import annotations

from typing import Any

import pytest

from emu.policy.autoscaling.settings import ClusterConfig
from emu.policy.hpa.form import behavior_of, written
from emu.policy.hpa.knative import autoscaler, settings_of
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, refusals

GROUP = "autoscaling.knative.dev"


def made(config: ClusterConfig | None = None, reachability: str = "", **annotations: str) -> HpaSpec:
    """The spec for these annotations."""
    whole = {f"{GROUP}/class": f"hpa.{GROUP}"} | {
        f"{GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()
    }
    return autoscaler(settings_of(whole, config or ClusterConfig(), reachability))


def target(**annotations: str) -> Any:
    """The first metric's target, as it is written."""
    (metric,) = written(made(**annotations))["metrics"]
    return next(value["target"] for key, value in metric.items() if key != "type")


def test_memory_is_in_mib_and_cut_off() -> None:
    """Not a percentage: 80 is 80Mi; a part of a MiB is dropped, and so half of one is none."""
    assert target(metric="memory", target="80") == {"type": "AverageValue", "averageValue": "80Mi"}
    assert target(metric="memory", target="2048.9") == {"type": "AverageValue", "averageValue": "2Gi"}
    half = made(metric="memory", target="0.5")
    assert refusals(half) == [
        'spec.metrics[0].resource.target.averageValue: Invalid value: "0": must be positive',
    ]


def test_cpu_is_rounded_up_and_others_are_cut_off() -> None:
    """75.1 % is 76 %; 0.9 of a metric of the pods is 0, which Kubernetes refuses."""
    assert target(target="75.1") == {"type": "Utilization", "averageUtilization": 76}
    assert target(metric="rps", target="5000") == {"type": "AverageValue", "averageValue": "5k"}
    assert refusals(made(metric="rps", target="0.9"))


def test_without_a_target_there_is_no_metric() -> None:
    """Whatever the metric is called: Kubernetes then takes cpu at 80 %."""
    assert written(made(metric="memory")) == {"maxReplicas": 2**31 - 1}
    assert written(made(metric="memory", target="much")) == {"maxReplicas": 2**31 - 1}


def test_the_window_is_for_both_directions() -> None:
    """And only as an annotation; without it there is no `behavior` at all."""
    rules = {"stabilizationWindowSeconds": 90}
    assert written(made(target="1", window="90s"))["behavior"] == {"scaleUp": rules, "scaleDown": rules}
    assert made(target="1").behavior is None
    endless = {"stabilizationWindowSeconds": -(2**31)}
    assert written(made(window="2540400h"))["behavior"] == {"scaleUp": endless, "scaleDown": endless}


def test_bounds_come_from_annotations_and_the_cluster() -> None:
    """0 is no bound; an unreachable revision has no least number."""
    config = ClusterConfig(min_scale=3, max_scale=8)
    assert (made(config).min_replicas, made(config).max_replicas) == (3, 8)
    assert made(config, min_scale="0", max_scale="2") == HpaSpec(2)
    assert made(config, "Unreachable").min_replicas is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (HpaSpec(0, 1), "spec.maxReplicas: Required value: must be set and greater than 0"),
        (HpaSpec(1, 2), "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"),
        (HpaSpec(1, 0), "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"),
        (
            HpaSpec(1, 1, (Metric("cpu", target=0),)),
            "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ),
    ],
)
def test_kubernetes_refuses_what_cannot_be(spec: HpaSpec, words: str) -> None:
    """In its words."""
    assert words in refusals(spec)


def test_a_behavior_is_read_as_it_is_written() -> None:
    """Both halves, with their policies; an empty one is not none."""
    value = {
        "scaleUp": {
            "stabilizationWindowSeconds": 30,
            "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
        },
        "scaleDown": {"stabilizationWindowSeconds": 0},
    }
    assert written(HpaSpec(1, behavior=behavior_of(value)))["behavior"] == value
    assert behavior_of(None) is None
    assert behavior_of({}) == Behavior()


@pytest.mark.parametrize(
    ("thousandths", "notation", "text"),
    [
        (0, "binary", "0"),
        (1000, "binary", "1"),
        (1536 * 2**20 * 1000, "binary", "1536Mi"),
        (1500, "decimal", "1500m"),
        (10**9, "decimal", "1M"),
        (2 * 10**6, "exponent", "2e3"),
    ],
)
def test_quantities_are_written_as_kubernetes_does(thousandths: int, notation: Any, text: str) -> None:
    """With the largest unit that leaves a whole number."""
    spec = HpaSpec(1, None, (Metric("memory", type="AverageValue", target=thousandths, notation=notation),))
    assert written(spec)["metrics"][0]["resource"]["target"]["averageValue"] == text
