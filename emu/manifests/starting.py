"""Manifests → a scenario for one workload: its pods' containers, what scales them, and a load that comes from its
target. What the manifest asks for and the scenario leaves out is named in `leftOut`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from emu.errors import EmuError
from emu.manifests.containers_explained import serving_container
from emu.manifests.documents import Manifests
from emu.manifests.explaining import cluster_of
from emu.manifests.priority import priority_keys
from emu.manifests.queueproxy import queue_proxy_resources
from emu.manifests.starting_env import objects_for, objects_of
from emu.manifests.starting_pod import Pod, pod_of, standard_pod_of
from emu.manifests.starting_scaling import Scaling, of_deployment, of_revision
from emu.manifests.starting_workload import Chosen, chosen_of
from emu.manifests.yamltext import Lines, Said, written


class _Made(NamedTuple):
    """What becomes of the workload."""

    chosen: Chosen
    serving: Mapping[str, Any]
    """The container that has the port."""
    pod: Pod
    scaling: Scaling


def scenario_of(manifests: Manifests, *, masked: bool = False) -> str:
    """The text of a scenario file; `masked`: without the values of Secrets. EmuError where there is not one workload,
    or it is refused.
    """
    chosen, serving, pod, scaling = _made(manifests, masked=masked)
    scenario: Lines = {"name": _slug(chosen.name), "question": _question(chosen, scaling)}
    if chosen.rollout_s:
        only = f"rollout-duration {chosen.rollout_s} s: this scenario has one revision, and nothing to roll out"
        pod.keys = {"leftOut": [*pod.keys.pop("leftOut", []), only], **pod.keys}
    scenario["pod"] = pod.keys
    scenario["load"] = {"phases": scaling.phases}
    scenario["expect"] = {"pod.oom_kills": "== 0", "requests.reached_no_pod": "< requests.sent"}
    return "\n".join([*_head(chosen, serving, pod), *written(scenario)]) + "\n"


def service_of(manifests: Manifests, place: str) -> Lines:
    """The keys of a scenario's service. EmuError as of `scenario_of`; `place` is where the scenario names it."""
    chosen, _, pod, scaling = _made(manifests)
    if scaling.keys is None:
        why = scaling.left_out[0] if scaling.left_out else "it has no autoscaler"
        raise EmuError(
            f"{place}: no autoscaler that emu has scales {chosen.title}",
            f"a service is scaled; left out is: {why}" if scaling.left_out else why,
            "give the manifest an autoscaler, or write its pod in the scenario, as `emu init` does",
        )
    rollout = {"rolloutDuration": f"{chosen.rollout_s}s"} if chosen.rollout_s else {}
    made: Lines = _plainly({"name": _slug(chosen.name), **pod.keys, **rollout})
    return made


def _plainly(keys: Any) -> Any:
    """Without comments."""
    if isinstance(keys, Said):
        return keys.value
    if isinstance(keys, Mapping):
        return {key: _plainly(value) for key, value in keys.items()}
    return [_plainly(one) for one in keys] if isinstance(keys, list) else keys


def _made(manifests: Manifests, *, masked: bool = False) -> _Made:
    config = cluster_of(manifests.maps)
    chosen = chosen_of(manifests, config)
    serving = serving_container(chosen.spec)
    objects = objects_of((*manifests.other_maps, *manifests.secrets))
    if chosen.deployment:
        pod = standard_pod_of(chosen.spec, serving, chosen.of, objects)
        scaling = of_deployment(chosen, serving)
    else:
        sidecar = queue_proxy_resources(chosen.annotations, serving, config)
        pod = pod_of(chosen.spec, serving, sidecar, chosen.of, objects)
        scaling = of_revision(chosen, manifests, serving, sidecar)
    pod.add_containers(chosen.init_containers, chosen.sidecars)
    containers = [*chosen.spec.get("initContainers", []), *chosen.spec["containers"]]
    named, unreadable = objects_for(containers, objects, masked=masked, volumes=pod.keys.get("volumes", ()))
    pod.keys |= named
    pod.left_out += unreadable
    if scaling.keys is not None:
        pod.keys["autoscaling"] = scaling.keys
    priority, no_class = priority_keys(chosen.spec, manifests)
    pod.keys = {**priority, **pod.keys}
    left_out = dict.fromkeys([*chosen.left_out, *pod.left_out, *no_class, *scaling.left_out, *_unread(manifests)])
    pod.keys = {**({"leftOut": [_plain(one, 500) for one in left_out]} if left_out else {}), **pod.keys}
    return _Made(chosen, serving, pod, scaling)


def _unread(manifests: Manifests) -> list[str]:
    """The objects beside the workload that emu does not read, but for those that change no pod."""
    titles = [one.title for one in manifests.passed_over if one.kind not in _NO_MATTER]
    return [f"what emu does not read: {', '.join(titles)}"] if titles else []


_NO_MATTER = ("Service", "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:40] or "revision"


def _question(chosen: Chosen, scaling: Scaling) -> str:
    name = _slug(chosen.name)
    if scaling.keys is not None and scaling.several:
        return f"How many pods of {name} does its autoscaler want under this load, and what do they do?"
    load = "this load" if scaling.keys is None else "the load that it is scaled for"
    return f"What does one pod of {name} do under {load}?"


def _head(chosen: Chosen, serving: Mapping[str, Any], pod: Pod) -> list[str]:
    image = _plain(str(serving.get("image", "")), 90)
    runs = "program" in pod.keys.get("app", {})
    return [
        f"# {_plain(chosen.title, 80)}, as {'Kubernetes' if chosen.deployment else 'Knative'} runs it. "
        "Made of its manifest by emu.",
        f"# If the engine has its image {image}, that runs; else emu's own app stands in (pod.images)."
        if runs
        else f"# Its image {image} is not run: emu's own app stands in.",
    ]


def _plain(text: str, length: int) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:length]
