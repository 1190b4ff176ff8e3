"""A HorizontalPodAutoscaler, explained: what it scales, by what, how fast, and what keeps it from scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.files.nearest import hint
from emu.manifests.decode import decode
from emu.manifests.documents import KSERVE, SERVING, Document, Manifests
from emu.manifests.explanation import DEFAULT, Explanation, Refusal, place, source_of
from emu.manifests.hpa import refused
from emu.manifests.starting_hpa import counting, requested_by, spec_of
from emu.policy.hpa.form import behavior_of
from emu.policy.hpa.measurable import unmeasurable
from emu.policy.hpa.spec import HpaSpec as Policy
from emu.policy.hpa.spec import ScalingRules, defaulted

Spec = dict[str, Any]


def explain_hpa(made: Explanation, spec: Spec, manifests: Manifests) -> None:
    """Its numbers, and notes on what stops it."""
    root = made.document.node
    target: Spec = spec.get("scaleTargetRef") or {}
    name = f"{target.get('kind', '?')} {target.get('name', '?')}"
    made.add("scaleTargetRef", name, source_of(root, "spec", "scaleTargetRef"))
    made.add("minReplicas", spec.get("minReplicas", 1), source_of(root, "spec", "minReplicas"))
    made.add("maxReplicas", spec.get("maxReplicas", 0), source_of(root, "spec", "maxReplicas"))
    for path, words in refused(spec):
        made.refusals.append(Refusal(f"{path}: {words}", place(root, path), "the API server"))
    percent = source_of(root, "spec", "targetCPUUtilizationPercentage")
    for number, metric in enumerate(spec.get("metrics", [])):
        where = percent if made.document.version == "v1" else source_of(root, "spec", "metrics", number)
        made.add(f"metric {number + 1}", metric_text(metric), where)
    if not spec.get("metrics"):
        made.add("metric 1", "cpu Utilization 80 %", DEFAULT, "no metrics: Kubernetes fills this in")
    if not made.accepted:
        return
    if "behavior" not in spec:
        made.add("behavior", "none", DEFAULT, "scale-down is stabilised over 300 s, scale-up at most doubles, or 4")
    else:
        _behavior(made, spec)
    if spec.get("minReplicas", 1) == spec["maxReplicas"]:
        made.note("minReplicas is maxReplicas: it never scales", place(root, "spec.maxReplicas"))
    scaled = [one for one in manifests.documents if one.title == name]
    if not scaled:
        same_kind = [one.name for one in manifests.documents if one.kind == target.get("kind")]
        text = f"{name} is not among the files: it must exist, else nothing is scaled"
        made.note(text + hint(str(target.get("name", "")), same_kind), place(root, "spec.scaleTargetRef"))
    for one in scaled:
        _target(made, spec, one)


def metric_text(metric: Spec) -> str:
    """`Resource cpu averageUtilization 70, type Utilization`."""
    kind = str(metric.get("type", "?"))
    source: Spec = metric.get(kind[:1].lower() + kind[1:]) or {}
    goal = ", ".join(f"{key} {value}" for key, value in sorted((source.get("target") or {}).items()))
    name = source.get("name") or (source.get("metric") or {}).get("name", "")
    inside = f" of container {source['container']}" if source.get("container") else ""
    return f"{kind} {name}{inside} {goal}".strip()


def _behavior(made: Explanation, spec: Spec) -> None:
    """As Kubernetes stores it: what one half does not say is filled in."""
    given: Spec = spec.get("behavior") or {}
    behavior = defaulted(Policy(1, behavior=behavior_of(given))).behavior
    assert behavior is not None
    for key, rules in (("scaleUp", behavior.up), ("scaleDown", behavior.down)):
        if rules is not None:
            made.add(f"behavior: {key}", _rules(rules), source_of(made.document.node, "spec", "behavior", key))


def _rules(rules: ScalingRules) -> str:
    window = (
        "stabilised over 300 s (the controller's)"
        if rules.window_s is None
        else f"stabilised over {rules.window_s:g} s"
    )
    if rules.select == "Disabled":
        return "never (selectPolicy Disabled)"
    most = "least" if rules.select == "Min" else "most"
    several = f", whichever allows {most}" if len(rules.policies) > 1 else ""
    return f"{window}; at most {' or '.join(one.text for one in rules.policies)}{several}"


def _target(made: Explanation, spec: Spec, scaled: Document) -> None:
    root = made.document.node
    if scaled.group in (SERVING, KSERVE):
        way_out = {
            SERVING: "annotate the template with autoscaling.knative.dev/class: hpa.autoscaling.knative.dev",
            KSERVE: "set scaleMetric and scaleTarget of the component, with deploymentMode Standard",
        }[scaled.group]
        made.note(
            f"{scaled.title} cannot be scaled by it: {scaled.kind} has no scale subresource (FailedGetScale), so "
            f"nothing happens. {way_out[0].upper()}{way_out[1:]}",
            place(root, "spec.scaleTargetRef"),
        )
        return
    read = decode(scaled.node, scaled.kind)
    if read.misfits:  # it is refused, and says so itself
        return
    workload: Spec = read.value.get("spec") or {}
    pod: Spec = (workload.get("template") or {}).get("spec") or {}
    for words in _unmeasurable(spec, pod, scaled.title):
        made.note(words, place(root, "spec.metrics"))
    if workload.get("replicas") == 0:
        words = f"{scaled.title} says replicas 0, which switches the autoscaler off (ScalingDisabled): nothing runs"
        made.note(words, place(scaled.node, "spec.replicas"))
    elif "replicas" in workload:
        made.note(
            f"{scaled.title} says replicas {workload['replicas']}: each `kubectl apply` of it sets that again, "
            "whatever the autoscaler wants; leave it out",
            place(scaled.node, "spec.replicas"),
        )


def _unmeasurable(spec: Spec, pod: Spec, title: str) -> Iterator[str]:
    """What is said of metrics that the controller can make nothing of."""
    policy, _ = spec_of(spec)
    if spec.get("metrics") and not policy.metrics:  # an adapter has all of them
        return
    requested = {str(one.get("name", "?")): requested_by(one) for one in counting(pod)}
    for one in unmeasurable(policy, requested, requested_by(pod)):
        if one.absent:
            yield (
                f"{title} has no container {one.containers[0]}: its {one.metric.name} is never read "
                f"({one.reason}: {one.words}), and the metric scales nothing"
            )
            continue
        for container in one.containers:
            yield (
                f"container {container} of {title} requests no {one.metric.name}: no share of its requests can be "
                f"made ({one.reason}: missing request for {one.metric.name} in container {container}), and the "
                "metric scales nothing"
            )
