"""A pod that is scaled: what its other keys contradict, and an autoscaler that could never do anything."""

from __future__ import annotations

from collections.abc import Mapping

from emu.messages import QUEUE_PROXY
from emu.policy.hpa.measurable import Unmeasurable, stuck
from emu.spec.autoscaling import AutoscalingSpec
from emu.spec.container import ContainerSpec, InitContainerSpec
from emu.spec.values import SpecError, in_a_row
from emu.spec.volumes import Place

_KNATIVE_REQUEST = "25m"
"""What Knative gives queue-proxy of cpu."""


def check(
    scaling: AutoscalingSpec,
    containers: Mapping[str, ContainerSpec],
    *,
    restart_policy: str,
    stops: bool,
    has_queue_proxy: bool,
    has_freezer: bool,
) -> None:
    """SpecError where the pod of an autoscaler has what it cannot have; `stops`: it has `stopAfter`."""
    if stops:
        raise SpecError(
            "a pod has either `stopAfter` or `autoscaling`, not both",
            why="`stopAfter` stops it for good, and `autoscaling` would recreate it on the next request",
            fix="remove one of them",
            at=("stopAfter",),
        )
    if restart_policy != "Always":
        refused = (
            "Knative refuses the field: containers of a revision always restart"
            if has_queue_proxy
            else f'Kubernetes refuses it in a Deployment: Unsupported value: "{restart_policy}": supported values: '
            '"Always"'
        )
        raise SpecError(
            f"a pod that is scaled cannot have `restartPolicy: {restart_policy}`",
            why=refused,
            fix="remove `restartPolicy`, or `autoscaling`",
            at=("restartPolicy",),
        )
    if has_freezer and scaling.most != 1:
        most = f"up to {scaling.most} are asked for" if scaling.most else "`maxScale: 0` is no limit"
        raise SpecError(
            "`freezer` looks after one pod, and there may be several",
            why=most,
            fix="set maxScale to 1, or remove `freezer`",
            at=("freezer",),
        )
    if scaling.is_hpa:
        _check_metrics(scaling, containers)


def _check_metrics(scaling: AutoscalingSpec, containers: Mapping[str, ContainerSpec]) -> None:
    """SpecError for a HorizontalPodAutoscaler none of whose metrics ever has a value."""
    requested = {
        name: {resource for resource in ("cpu", "memory") if _requests(one, resource)}
        for name, one in containers.items()
        if not isinstance(one, InitContainerSpec) or one.is_sidecar
    }
    try:
        found = stuck(scaling.asked, requested)
    except (ValueError, AssertionError):  # its own mistakes are being looked for; they are reported where they are
        return
    if found is None:
        return
    at = _place(scaling, found)
    why = f"in a cluster it never changes the number of pods: {found.reason}: {found.words}"
    if found.absent:
        raise SpecError(
            f"the pod has no container {found.metric.container!r}, whose {found.metric.name} it is to be scaled by",
            why=why,
            fix=f"name one of {', '.join(requested)}",
            at=at,
        )
    name = found.metric.name
    who = in_a_row(found.containers)
    plural = "" if len(found.containers) > 1 else "s"
    raise SpecError(
        f"no share of the {name} requests can be made: {who} request{plural} none",
        why=why,
        fix=f"give {_ways(found)}",
        at=at,
    )


def _requests(one: ContainerSpec, resource: str) -> bool:
    """A limit without a request is a request."""
    kinds = (one.resources.requests, one.resources.limits)
    return any(getattr(kind, resource) is not None for kind in kinds)


def _ways(found: Unmeasurable) -> str:
    name = found.metric.name
    others = [one for one in found.containers if one != QUEUE_PROXY]
    ways = [f"{in_a_row(others)} `resources.requests.{name}`"] if others else []
    if QUEUE_PROXY in found.containers:
        usual = f" ({_KNATIVE_REQUEST} is Knative's)" if name == "cpu" else ""
        ways.append(f"queueProxy `resources.requests.{name}`{usual}")
    return " and ".join(ways)


def _place(scaling: AutoscalingSpec, found: Unmeasurable) -> Place:
    if scaling.scaled_object is not None:
        return "autoscaling", "scaledObject", "triggers"
    if (own := scaling.horizontal_pod_autoscaler) is not None:
        own_place: Place = ("autoscaling", "horizontalPodAutoscaler")
        return (*own_place, "metrics", found.number) if own.metrics else own_place
    return "autoscaling", "metric" if scaling.metric is not None else "class"
