"""`pod.autoscaling` as people write it: its defaults are Knative's, its bounds too."""

from __future__ import annotations

import pytest

from emu.errors import EXIT_BAD_INPUT, EmuError
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, ScalingPolicy, ScalingRules, defaulted
from emu.scenario.reading import read_scenario, resolve

HEAD = "name: scaled\nquestion: How long?\n"


def test_given_it_is_on_with_knatives_defaults() -> None:
    """`{}` is enough, and what is resolved reads the same again."""
    spec = read_scenario(HEAD + "pod: { autoscaling: {} }\n", "f.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None
    assert (asked.enable_scale_to_zero, asked.window, asked.scale_down_delay) == (True, None, 0)
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


STANDARD = "pod: { deploymentMode: Standard, autoscaling: { class: hpa, horizontalPodAutoscaler: %s } }\n"


def test_class_hpa_makes_of_the_annotations_what_knative_does() -> None:
    """cpu in percent, memory in MiB of a pod, no metric without a target; the window is for both directions."""
    keys = "class: hpa, metric: memory, target: 80.7, minScale: 2, maxScale: 5, window: 20s"
    spec = read_scenario(HEAD + f"pod: {{ autoscaling: {{ {keys} }} }}\n", "f.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None and asked.is_hpa
    memory = Metric("memory", type="AverageValue", target=80 * 2**20 * 1000, notation="binary")
    rules = ScalingRules(window_s=20.0)
    assert asked.asked == HpaSpec(5, 2, (memory,), Behavior(rules, rules))
    assert read_scenario(resolve(spec), "again.yaml") == spec
    bare = read_scenario(HEAD, "f.yaml", ["pod.autoscaling.class=hpa", "pod.autoscaling.metric=memory"]).pod
    assert bare.autoscaling is not None and defaulted(bare.autoscaling.asked).metrics == (Metric("cpu", target=80),)


def test_a_deployment_has_the_autoscaler_that_it_is_given() -> None:
    """In the words of autoscaling/v2; its pods have no queue-proxy and the grace period of Kubernetes."""
    behavior = "{scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 30}]}}"
    metric = "{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 80Mi}}}"
    text = f"{{ maxReplicas: 3, metrics: [{metric}], behavior: {behavior} }}"
    spec = read_scenario(HEAD + STANDARD % text, "f.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None
    memory = Metric("memory", type="AverageValue", target=80 * 2**20 * 1000, notation="binary")
    down = ScalingRules((ScalingPolicy("Pods", 1, 30.0),))
    assert asked.asked == HpaSpec(3, 1, (memory,), Behavior(None, down))
    assert (list(spec.pod.containers), spec.pod.grace_s) == (["app"], 30)
    assert read_scenario(resolve(spec), "again.yaml") == spec


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ("{ autoscaling: { class: hpa, metric: rps } }", "class hpa does not scale by rps"),
        ("{ autoscaling: { class: hpa, metric: memory, target: 0.5 } }", "must be positive"),
        ("{ autoscaling: { class: hpa, activationScale: 2 } }", "a HorizontalPodAutoscaler ignores it"),
        ("{ autoscaling: { class: hpa, initialScale: 0 } }", "scaling is disabled"),
        ("{ autoscaling: { controller: { syncPeriod: 5s } } }", "`controller` needs `class: hpa`"),
        ("{ autoscaling: { class: hpa, horizontalPodAutoscaler: { maxReplicas: 2 } } }", "deploymentMode: Standard"),
        ("{ deploymentMode: Standard, autoscaling: {} }", "a Deployment needs a HorizontalPodAutoscaler"),
        ("{ deploymentMode: Standard, containerConcurrency: 2 }", "these pods have none"),
    ],
)
def test_what_no_autoscaler_would_look_at_is_refused(pod: str, words: str) -> None:
    """With the key, and what to do instead."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f"{HEAD}pod: {pod}\n", "f.yaml")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{ maxReplicas: 1, minReplicas: 2 }", "must be greater than or equal to `minReplicas`"),
        ("{ maxReplicas: 2, metrics: [{ type: Resource }] }", "has `resource` and no other source"),
        (
            "{ maxReplicas: 2, metrics: [{ type: Resource, "
            "resource: { name: cpu, target: { type: Utilization } } }] }",
            "needs `averageUtilization`",
        ),
        (
            "{ maxReplicas: 2, metrics: [{ type: Resource, "
            "resource: { name: cpu, target: { type: AverageValue, averageValue: 1x } } }] }",
            "'1x' is not a quantity",
        ),
        ("{ maxReplicas: 2, metrics: [{ type: Pods }] }", "metrics.0.type"),
    ],
)
def test_what_kubernetes_refuses_of_its_autoscaler_is_refused(spec: str, words: str) -> None:
    """At its key."""
    with pytest.raises(EmuError) as refused:
        read_scenario(HEAD + STANDARD % spec, "f.yaml")
    assert words in str(refused.value)


def scaled_object(more: str = "", **metadata: str) -> str:
    """A Deployment with a ScaledObject; `metadata` of its only trigger."""
    given = {"serverAddress": "http://p:9090", "query": "sum(http_requests_in_flight)", "threshold": "2", **metadata}
    keys = ", ".join(f"{key}: {value!r}" for key, value in given.items() if value)
    trigger = f"{{ type: prometheus, metadata: {{ {keys} }} }}"
    scaling = f"{{ class: keda, scaledObject: {{ triggers: [{trigger}]{more} }} }}"
    return f"{{ deploymentMode: Standard, autoscaling: {scaling} }}"


def test_a_deployment_has_the_scaled_object_that_it_is_given() -> None:
    """In the words of keda.sh/v1alpha1: texts are numbers, and absent keys have KEDA's defaults."""
    more = ", fallback: { failureThreshold: 3, replicas: 2 }, minReplicaCount: 1"
    spec = read_scenario(f"{HEAD}pod: {scaled_object(more, activationThreshold='0.5')}\n", "f.yaml")
    asked = spec.pod.autoscaling
    assert asked is not None and asked.scaled_object is not None and asked.is_hpa
    assert asked.asked == HpaSpec(100, 1, (Metric("s0-prometheus", "External", "AverageValue", 2000),))
    scaled = asked.scaled_object.asked
    assert (scaled.polling_s, scaled.cooldown_s, scaled.triggers[0].activation) == (30.0, 300.0, 0.5)
    assert scaled.fallback is not None and scaled.fallback.failures == 3
    assert read_scenario(resolve(spec), "again.yaml") == spec


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (scaled_object(query="sum(vllm:num_requests_running)"), "there is no metric vllm:num_requests_running"),
        (scaled_object(query="sum(revision_request_count)"), "it is queue-proxy's or the activator's"),
        (
            scaled_object(query='sum(http_requests_total{deployment="a"})'),
            "http_requests_total has no label deployment",
        ),
        (scaled_object(query='sum(http_requests_total{namespace="a"})'), "are in the namespace default"),
        (scaled_object(query="sum(http_requests_total) > 1"), "emu does not evaluate `>`"),
        (scaled_object(query="1 + 2"), "comes to a number, and KEDA reads a series"),
        (scaled_object(threshold="many"), "'many' is not a number"),
        (scaled_object(threshold="0"), "the threshold 0 is not positive"),
        (scaled_object(serverAddress=""), "needs `serverAddress`"),
        (scaled_object(value="5"), "a trigger of type prometheus has no `value`"),
        (scaled_object(", idleReplicaCount: 0"), "IdleReplicaCount=0 must be less than MinReplicaCount=0"),
        (
            scaled_object(", minReplicaCount: 4, maxReplicaCount: 2"),
            "MinReplicaCount=4 must be less than MaxReplicaCount=2",
        ),
        (scaled_object().replace("type: prometheus", "type: kafka"), "scaledObject.triggers.0.type"),
        (scaled_object().replace("deploymentMode: Standard, ", ""), "a ScaledObject scales a Deployment"),
        (scaled_object().replace("class: keda", "class: hpa"), "`scaledObject` needs `class: keda`"),
        ("{ deploymentMode: Standard, autoscaling: { class: keda } }", "`class: keda` needs a `scaledObject`"),
        (
            "{ deploymentMode: Standard, autoscaling: { class: keda, scaledObject: "
            "{ triggers: [{ type: cpu, metadata: { value: '60' } }] } } }",
            "allowed values are 'Utilization' or 'AverageValue'",
        ),
    ],
)
def test_what_keda_or_emu_cannot_use_is_refused(pod: str, words: str) -> None:
    """In KEDA's words, or with the metrics, labels and functions that there are."""
    with pytest.raises(EmuError) as refused:
        read_scenario(f"{HEAD}pod: {pod}\n", "f.yaml")
    assert words in str(refused.value)


def test_an_image_of_your_own_may_have_any_metric() -> None:
    """What it serves is known only in the run."""
    pod = scaled_object(query="sum(vllm:num_requests_running)").replace("{", "{ app: { image: vllm/vllm }, ", 1)
    assert read_scenario(f"{HEAD}pod: {pod}\n", "f.yaml").pod.autoscaling is not None
