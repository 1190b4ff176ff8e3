"""Resources of a pod itself (`spec.resources`, KEP-2837): what the API server refuses of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emu.policy.effective import CPU, MEMORY, Asked, Init, Resources, effective
from emu.policy.kubelet.version import POD_LEVEL, Version, shown
from emu.spec.container import ContainerSpec
from emu.spec.container import Resources as ResourcesSpec
from emu.spec.values import SpecError
from emu.units import format_bytes

_AT = ("resources",)


def asked(one: ResourcesSpec) -> Resources:
    """In the kubelet's terms."""
    requests, limits = one.requests, one.limits
    return Resources.of(Asked(requests.memory, limits.memory, requests.cpu, limits.cpu))


def of_containers(containers: Mapping[str, ContainerSpec], inits: Mapping[str, bool]) -> Resources:
    """What containers come to; `inits` are those of them that are init containers, and whether each is a sidecar."""
    known = {name: asked(one.resources).defaulted for name, one in containers.items()}
    return effective(
        [one for name, one in known.items() if name not in inits],
        [Init(known[name], sidecar) for name, sidecar in inits.items()],
    )


def check(own: ResourcesSpec, containers: Mapping[str, ContainerSpec], inits: Mapping[str, bool]) -> None:
    """SpecError where a pod's resources and its containers' contradict each other."""
    for problem in _problems(asked(own), containers, inits):
        raise problem


def check_version(own: ResourcesSpec | None, version: Version, at: tuple[str | int, ...]) -> None:
    """SpecError where that version drops them."""
    if own is not None and version < POD_LEVEL:
        raise SpecError(
            f"a pod has no resources of its own in Kubernetes {shown(version)}",
            why=f"the API server drops them: the gate PodLevelResources is on by default from {shown(POD_LEVEL)} on",
            fix=f'raise node.kubernetes to "{shown(POD_LEVEL)}" or more, or give the containers resources',
            at=(*at, *_AT),
        )


def _problems(
    own: Resources, containers: Mapping[str, ContainerSpec], inits: Mapping[str, bool]
) -> Iterator[SpecError]:
    total = of_containers(containers, inits).requests
    for what in (MEMORY, CPU):
        if what in own.requests and total.get(what, 0) > own.requests[what]:
            yield SpecError(
                f"the pod requests less {_word(what)} than its containers: {_shown(what, own.requests[what])}",
                why=f"together they request {_shown(what, total[what])} (a limit without a request counts as one), "
                "and the API server refuses that",
                fix="raise the pod's request, or lower those of its containers",
                at=(*_AT, "requests", what),
            )
        for name, one in containers.items():
            limit = asked(one.resources).limits.get(what, 0)
            if name not in inits and what in own.limits and limit > own.limits[what]:
                yield SpecError(
                    f"the {_word(what)} limit of {name} is above the pod's: {_shown(what, limit)}",
                    why=f"the pod's is {_shown(what, own.limits[what])}, and the API server refuses that",
                    fix="lower the container's limit, or raise the pod's",
                    at=(*_AT, "limits", what),
                )


def _word(what: str) -> str:
    return "CPU" if what == CPU else what


def _shown(what: str, value: int) -> str:
    return f"{value}m" if what == CPU else format_bytes(value)
