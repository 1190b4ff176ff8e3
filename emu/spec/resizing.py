"""In-place resizes of a scenario's pods: what the API server says to each, in the order of the phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emu.policy.effective import CPU, MEMORY, Amounts, Asked, Resources
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.resizing import ResizedContainer, ResizedPod, Sizes, refusals
from emu.policy.kubelet.version import IN_PLACE_RESIZE, Version, shown
from emu.policy.qos import qos_class
from emu.policy.quantity import Quantity
from emu.spec.container import ContainerSpec, InitContainerSpec
from emu.spec.container import Resources as Wanted
from emu.spec.limits import own_resources
from emu.spec.load import PhaseModel
from emu.spec.pod import PodSpec
from emu.spec.values import SpecError

_NANO = {CPU: 10**6, MEMORY: 10**9}
"""Nanos in the unit of an amount."""


def merged(before: Wanted, patch: Wanted) -> Wanted:
    """What a container has after a resize: what the patch gives, and the rest as before."""
    data = {
        side: {
            **getattr(before, side).model_dump(exclude_none=True),
            **getattr(patch, side).model_dump(exclude_none=True),
        }
        for side in ("requests", "limits")
    }
    return Wanted.model_validate(data)


def check(
    phases: Sequence[PhaseModel], asked: Mapping[str, str], pods: Mapping[str, PodSpec], version: Version
) -> None:
    """SpecError for the first resize that the API server refuses. `asked`: the pod of each phase."""
    sizes = {name: {one: spec.resources for one, spec in pod.containers.items()} for name, pod in pods.items()}
    for index, phase in enumerate(phases):
        if phase.resize is None:
            continue
        at = ("load", "phases", index, "resize")
        if version < IN_PLACE_RESIZE:
            why = f"it is there from {shown(IN_PLACE_RESIZE)} on"
            raise SpecError(
                "this Kubernetes version does not resize pods in place", why=why, fix="raise node.kubernetes", at=at
            )
        if asked[phase.name] not in pods or pods[asked[phase.name]].autoscaling is not None:
            why = "a pod that comes and goes has the resources of its template"
            raise SpecError("a pod under an autoscaler is not resized", why=why, fix="remove `resize`", at=at)
        pod, name = pods[asked[phase.name]], phase.resize.container
        if own_resources(pod) is not None:
            why = "Kubernetes has a gate for that, InPlacePodLevelResourcesVerticalScaling, and emu has not"
            fix = "remove `resize`, or the pod's `resources`"
            raise SpecError("a pod with resources of its own is not resized", why=why, fix=fix, at=at)
        if name not in pod.containers or isinstance(pod.containers[name], InitContainerSpec):
            names = ", ".join(one for one, spec in pod.containers.items() if not isinstance(spec, InitContainerSpec))
            why = f"those that can be resized are: {names}"
            raise SpecError(
                f"this pod has no container {name!r} to resize",
                why=why,
                fix="name one of them",
                at=(*at, "container"),
            )
        mine = sizes[asked[phase.name]]
        try:
            new = {**mine, name: merged(mine[name], phase.resize.resources)}
        except ValueError:
            raise SpecError(
                "the resize leaves a request above its limit",
                why="what it does not name stays as it was, and a limit without a request counts as one",
                fix="give the request too",
                at=(*at, "resources"),
            ) from None
        refused = refusals(_resized(pod, new, mine, version), _resized(pod, mine, mine, version), version)
        if refused:
            raise SpecError(
                f"the API server refuses the resize: {refused[0]}", fix="change resources", at=(*at, "resources")
            )
        sizes[asked[phase.name]] = new


def _resized(pod: PodSpec, sizes: Mapping[str, Wanted], before: Mapping[str, Wanted], version: Version) -> ResizedPod:
    inits = [name for name, one in pod.containers.items() if isinstance(one, InitContainerSpec)]
    made = {name: _container(name, pod.containers[name], one) for name, one in sizes.items()}
    return ResizedPod(
        qos=_qos(sizes, inits, version),
        containers=[one for name, one in made.items() if name not in inits],
        init_containers=[made[name] for name in inits],
        status_qos=_qos(before, inits, version),
    )


def _qos(sizes: Mapping[str, Wanted], inits: Sequence[str], version: Version) -> str:
    known = {name: Container(name, _resources(one)) for name, one in sizes.items()}
    containers = [one for name, one in known.items() if name not in inits]
    return qos_class(stored(Pod(containers, [known[name] for name in inits]), version))


def _container(name: str, spec: ContainerSpec, wanted: Wanted) -> ResizedContainer:
    defaulted = _resources(wanted).defaulted
    sidecar = isinstance(spec, InitContainerSpec) and spec.is_sidecar
    return ResizedContainer(name, Sizes(_quantities(defaulted.requests), _quantities(defaulted.limits)), sidecar)


def _quantities(amounts: Amounts) -> dict[str, Quantity]:
    return {name: Quantity(value * _NANO[name]) for name, value in amounts.items()}


def _resources(wanted: Wanted) -> Resources:
    requests, limits = wanted.requests, wanted.limits
    return Resources.of(Asked(requests.memory, limits.memory, requests.cpu, limits.cpu))
