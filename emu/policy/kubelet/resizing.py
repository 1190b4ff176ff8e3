"""What the API server says to a resize of a running pod (pkg/apis/core/validation/validation.go, ValidatePodResize).

Pods are defaulted before; a refusal has the API server's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from emu.policy.effective import CPU, MEMORY, Init, Resources, effective
from emu.policy.kubelet.version import NEWEST, RESIZE_OF_INIT_CONTAINERS, RESIZE_SHRINKS_MEMORY, Version
from emu.policy.quantity import Quantity

RESTART = "RestartContainer"
Quantities = Mapping[str, Quantity]


@dataclass(frozen=True)
class Sizes:
    """Requests and limits, as they are written."""

    requests: Quantities = field(default_factory=dict)
    limits: Quantities = field(default_factory=dict)


@dataclass(frozen=True)
class ResizedContainer:
    """A container with the sizes that it has and is to have."""

    name: str
    sizes: Sizes
    sidecar: bool = False
    restart_for: frozenset[str] = frozenset()
    """Resources with the resize policy RestartContainer."""
    rest: str = ""
    """All else in it, in a form that is equal only if that is."""


@dataclass(frozen=True)
class ResizedPod:
    """A pod before or after a resize."""

    qos: str
    """Its class: before, as its status has it; after, as its resources make it."""
    containers: Sequence[ResizedContainer]
    init_containers: Sequence[ResizedContainer] = ()
    sizes: Sizes | None = None
    """Of the pod itself."""
    mirror: bool = False
    windows: bool = False
    supported: bool = True
    """The status of its first running container has resources: its node can resize."""
    status_qos: str = ""
    """What its status has, after."""
    rest: str = ""


def form_of(rest: Any) -> str:
    """What `rest` is made of."""
    return json.dumps(rest, sort_keys=True)


def defaulted(pod: ResizedPod) -> ResizedPod:
    """With the requests of the pod itself that follow from its containers' and from its limits."""
    own = pod.sizes
    if own is None or not own.limits:
        return pod
    total = {name: one for name, one in _total(pod).items() if name in (CPU, MEMORY)}
    return replace(pod, sizes=Sizes({**own.limits, **total, **own.requests}, own.limits))


def refusals(new: ResizedPod, old: ResizedPod, version: Version = NEWEST) -> list[str]:
    """Why the resize is refused, sorted; none where it is taken."""
    return sorted(_refusals(new, old, version))


def _refusals(new: ResizedPod, old: ResizedPod, version: Version) -> Iterator[str]:
    if old.mirror:
        yield "[]: Forbidden: static pods cannot be resized"
        return
    if old.windows:
        yield "[]: Forbidden: windows pods cannot be resized"
        return
    found = [*_well_formed(new), *_whole(new, old)]
    if any(one.sizes is not None and (one.sizes.requests or one.sizes.limits) for one in (new, old)):
        if version < RESIZE_OF_INIT_CONTAINERS:
            found.append(
                "[]: Forbidden: resize of pods with pod-level resources is forbidden when "
                "InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled"
            )
            yield from found
            return
        found += _pod_level(new, old)
    order = [*_order(new.containers, old.containers, "containers")]
    order += _order(new.init_containers, old.init_containers, "initContainers")
    found += order
    if not order:
        found += _containers(new, old, version)
        if not found and new.rest != old.rest:
            found.append(_ONLY)
    yield from found


_HUGE = "hugepages-"
_ONLY = "spec: Forbidden: only cpu and memory resources are mutable"


def _whole(new: ResizedPod, old: ResizedPod) -> Iterator[str]:
    if new.qos != old.qos:
        yield f'spec: Invalid value: "{new.status_qos}": Pod QOS Class may not change as a result of resizing'
    if not old.supported:
        yield "spec: Forbidden: Pod running on node without support for resize"


def _well_formed(pod: ResizedPod) -> Iterator[str]:
    """No request above its limit, nothing negative, and the pod itself above its containers."""
    for index, one in enumerate(pod.containers):
        yield from _sizes(one.sizes, f"spec.containers[{index}].resources")
    for index, one in enumerate(pod.init_containers):
        yield from _sizes(one.sizes, f"spec.initContainers[{index}].resources")
    names = [one.name for one in pod.containers]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f'spec.containers[{index}].name: Duplicate value: "{name}"'
    if pod.sizes is not None:
        yield from _sizes(pod.sizes, "spec.resources")
        yield from _consistent(pod, pod.sizes)


def _sizes(sizes: Sizes, path: str) -> Iterator[str]:
    for side, amounts in (("requests", sizes.requests), ("limits", sizes.limits)):
        for name, one in amounts.items():
            if one.nano < 0:
                yield f'{path}.{side}[{name}]: Invalid value: "{one}": must be greater than or equal to 0'
            if _is_extended(name) and one.nano % 10**9:
                yield f'{path}.{side}[{name}]: Invalid value: "{one}": must be an integer'
    names = sizes.requests.keys() | sizes.limits.keys()
    if any(name.startswith(_HUGE) for name in names) and not names & {CPU, MEMORY}:
        yield f"{path}: Forbidden: HugePages require cpu or memory"
    for name, request in sizes.requests.items():
        limit = sizes.limits.get(name)
        whole = _is_extended(name) or name.startswith(_HUGE)
        if limit is None and whole:
            yield f"{path}.limits: Required value: Limit must be set for non overcommitable resources"
        elif limit is not None and whole and request.nano != limit.nano:
            text = f"must be equal to {name} limit of {limit}"
            yield f'{path}.requests: Invalid value: "{request}": {text}'
        elif limit is not None and request.nano > limit.nano:
            text = f"must be less than or equal to {name} limit of {limit}"
            yield f'{path}.requests: Invalid value: "{request}": {text}'


def _is_extended(name: str) -> bool:
    """Whether a resource is a device's or the like, which is not shared: request and limit are one whole number."""
    return "/" in name and "kubernetes.io/" not in name


def _consistent(pod: ResizedPod, own: Sizes) -> Iterator[str]:
    for name, total in _total(pod).items():
        if name in own.requests and total.nano > own.requests[name].nano:
            text = f"must be greater than or equal to aggregate container requests of {total}"
            yield f'spec.resources.requests[{name}]: Invalid value: "{own.requests[name]}": {text}'
    for index, one in enumerate(pod.containers):
        for name, limit in one.sizes.limits.items():
            if name in own.limits and limit.nano > own.limits[name].nano:
                text = f"must be less than or equal to pod limits of {own.limits[name]}"
                yield f'spec.resources.containers[{index}][{name}].limits: Invalid value: "{limit}": {text}'


def _total(pod: ResizedPod) -> dict[str, Quantity]:
    """What the containers request together, in the form of the first of them; in an init container's own where it is
    what counts.
    """
    inits = [Init(_requests(one), one.sidecar) for one in pod.init_containers]
    containers = [_requests(one) for one in pod.containers]
    total = effective(containers, inits).requests
    running = effective(containers, [one for one in inits if one.sidecar]).requests
    stay = [*pod.containers, *(one for one in pod.init_containers if one.sidecar)]
    found = {}
    for name, nano in total.items():
        among = stay if running.get(name) == nano else pod.init_containers
        quantities = [one.sizes.requests[name] for one in among if name in one.sizes.requests]
        first = quantities[0] if among is stay else max(quantities, key=lambda one: one.nano)
        found[name] = Quantity(nano, first.form)
    return found


def _requests(one: ResizedContainer) -> Resources:
    return Resources({name: quantity.nano for name, quantity in one.sizes.requests.items()})


def _pod_level(new: ResizedPod, old: ResizedPod) -> Iterator[str]:
    if old.sizes is None:
        return
    if new.sizes is None:
        yield "spec.resources: Forbidden: pod-level resources cannot be removed"
        return
    for side in ("requests", "limits"):
        if getattr(old.sizes, side).keys() - getattr(new.sizes, side).keys():
            yield f"spec.resources.{side}: Forbidden: pod-level resource {side} cannot be removed"


def _order(new: Sequence[ResizedContainer], old: Sequence[ResizedContainer], where: str) -> Iterator[str]:
    if len(new) != len(old):
        yield f"spec.{where}: Forbidden: {where} may not be added or removed on resize"
        return
    for index, (one, before) in enumerate(zip(new, old, strict=True)):
        if one.name != before.name:
            yield f"spec.{where}[{index}].name: Forbidden: {where} may not be renamed or reordered on resize"


def _containers(new: ResizedPod, old: ResizedPod, version: Version) -> Iterator[str]:
    for index, (one, before) in enumerate(zip(new.init_containers, old.init_containers, strict=True)):
        path = f"spec.initContainers[{index}]"
        resizable = one.sidecar or version >= RESIZE_OF_INIT_CONTAINERS
        if resizable:
            yield from _one(one, before, path, version)
            if _fixed(one) != _fixed(before):
                yield f"{path}: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"
            if one != before and not one.sidecar and one.restart_for:
                yield (
                    f"{path}: Forbidden: non-sidecar init containers with a resize policy of RestartContainer "
                    "cannot be resized"
                )
        elif one != before:
            yield "spec: Forbidden: resources for non-sidecar init containers are immutable"
    for index, (one, before) in enumerate(zip(new.containers, old.containers, strict=True)):
        yield from _one(one, before, f"spec.containers[{index}]", version)
        if _fixed(one) != _fixed(before):
            yield _ONLY


def _one(new: ResizedContainer, old: ResizedContainer, path: str, version: Version) -> Iterator[str]:
    for side in ("requests", "limits"):
        before, after = getattr(old.sizes, side), getattr(new.sizes, side)
        if before.keys() - after.keys():
            yield f"{path}.resources.{side}: Forbidden: resource {side} cannot be removed"
    if version < RESIZE_SHRINKS_MEMORY and MEMORY not in new.restart_for:
        before, after = old.sizes.limits.get(MEMORY), new.sizes.limits.get(MEMORY)
        if after is not None and (before is None or after.nano < before.nano):
            what = "added" if before is None else "decreased"
            why = f"memory limits cannot be {what} unless resizePolicy is {RESTART}"
            yield f"{path}.resources.limits[memory]: Forbidden: {why}"


def _fixed(one: ResizedContainer) -> tuple[Any, ...]:
    """What of a container may not change."""
    sizes = (_others(one.sizes.requests), _others(one.sizes.limits))
    return one.name, one.sidecar, sorted(one.restart_for), one.rest, sizes


def _others(amounts: Quantities) -> dict[str, int]:
    return {name: one.nano for name, one in amounts.items() if name not in (CPU, MEMORY)}
