"""The metrics that there are of a Deployment's pods: emu's app's, and the kubelet's of their containers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from emu.policy import app_metrics
from emu.policy.kubelet.environment import NAMESPACE
from emu.policy.promql.parsing import Expression, selectors
from emu.policy.promql.series import Memory, Sample

CPU, WORKING_SET = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
"""As cAdvisor names them."""
_OF_CONTAINER = ("namespace", "pod", "container")
_OF_TARGET = (*_OF_CONTAINER, "service", "job", "instance")
LABELS: dict[str, tuple[str, ...]] = {
    **{name: (*labels, *_OF_TARGET) for name, labels in app_metrics.LABELS.items()},
    CPU: _OF_CONTAINER,
    WORKING_SET: _OF_CONTAINER,
}
"""Those of a pod with emu's app, each with its labels."""
_OF_QUEUE_PROXY = ("revision_", "kn_", "queue_", "activator_")
_MOST_NAMES = 12


def unknown(expression: Expression) -> tuple[str, str] | None:
    """What a query asks for and no pod with emu's app ever has, and why; None where all of it may be there."""
    for one in selectors(expression):
        if one.name not in LABELS:
            why = f"pods with emu's app have {', '.join(LABELS)}"
            if one.name.startswith(_OF_QUEUE_PROXY):
                why = f"it is queue-proxy's or the activator's, and a Deployment has neither; {why}"
            return f"there is no metric {one.name}", why
        for matcher in one.matchers:
            if matcher.label not in LABELS[one.name] and not matcher.holds(""):
                why = f"its labels are {', '.join(LABELS[one.name])}"
                return f"{one.name} has no label {matcher.label}", why
            if matcher.label == "namespace" and not matcher.holds(NAMESPACE):
                return f"no series has {matcher}", f"all pods of a run are in the namespace {NAMESPACE}"
    return None


def why_empty(memory: Memory, expression: Expression, since: float) -> str:
    """Why a query has no result: which of its selectors finds nothing, and what there is instead. `since`: the
    beginning of its longest range.
    """
    return next(_reasons(memory, expression, since), "operands with different labels do not match")


def _reasons(memory: Memory, expression: Expression, since: float) -> Iterator[str]:
    for one in selectors(expression):
        if not (known := memory.labels_of(one.name)):
            yield _no_metric(memory, one.name)
        elif not (found := memory.matching(one)):
            wanted = ", ".join(str(matcher) for matcher in one.matchers)
            there = ", ".join(f'{name}="{value}"' for name, value in known[0])
            yield f"no {one.name} has {wanted}; there is one with {there}"
        elif all(samples[-1].value is None for samples in found.values()):
            yield f"the pods with {one.name} are gone"
        elif one.range_s is not None and all(_few(samples, since) for samples in found.values()):
            yield f"fewer than two samples of {one.name} in its range"


def _few(samples: list[Sample], since: float) -> bool:
    return sum(at > since and value is not None for at, value in samples) < 2


def _no_metric(memory: Memory, name: str) -> str:
    if memory.scraped_s is None:
        return "nothing was scraped yet"
    if name in LABELS and memory.seen:
        return f"no pod that was scraped has {name} yet"
    if not memory.seen:
        return f"no {name}: no pod was there to scrape"
    others = sorted(memory.seen)
    more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
    return f"no {name}: scraped were {', '.join(others[:_MOST_NAMES])}{more}"
