"""The kubelet's families: classes, requests and limits, and the files that they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.conformance import pod_manifests
from emu.policy.effective import CPU, MEMORY, Amounts, Resources, memory_volume_bytes
from emu.policy.kubelet import cpu, memory, names, node
from emu.policy.kubelet.admission import fits, resize_pending
from emu.policy.kubelet.pod import Container, Pod
from emu.policy.kubelet.version import Version
from emu.policy.kubelet.volumes import mount_options
from emu.policy.qos import oom_score_adj, qos_class
from emu.policy.quantity import json_quantity

Given = Mapping[str, Any]


def _class(given: Given) -> dict[str, Any]:
    return {"qos": qos_class(_pod(given))}


def _pod(given: Given) -> Pod:
    return pod_manifests.pod(given["pod"], pod_manifests.version(given))


def _oom(given: Given) -> dict[str, Any]:
    pod, version = _pod(given), pod_manifests.version(given)
    return {
        "qos": qos_class(pod),
        "oom_score_adj": {
            one.name: oom_score_adj(pod, one, given["node_memory"], version) for one in pod.all_containers
        },
    }


def _effective(given: Given) -> dict[str, Any]:
    pod, version, node_memory = _pod(given), pod_manifests.version(given), given["node_memory"]
    cgroup = pod.cgroup(best_effort=qos_class(pod) == "BestEffort")
    level = {} if pod.resources is None else {"pod_level_after_defaulting": _both(pod.resources)}
    return {
        **_both(pod.effective),
        **level,
        "qos": qos_class(pod),
        "containers_after_defaulting": {one.name: _both(one.resources) for one in pod.all_containers},
        "pod_cgroup": {
            "cpu_shares": cgroup.cpu_shares,
            "cpu_weight": cgroup.cpu_weight,
            "cpu_quota_us": cgroup.cpu_quota_usec,
            "memory_max": cgroup.memory_max,
        },
        "container_cgroups": {
            one.name: {
                **_base(pod, one, version),
                "cpu_shares": cpu.cpu_shares(memory.cpu_request(pod, one)),
                "cpu_quota_us": cpu.cpu_quota_usec(memory.limit(pod, one, CPU)),
                "cpu_period_us": cpu.PERIOD_USEC,
                "oom_score_adj": oom_score_adj(pod, one, node_memory, version),
            }
            for one in pod.all_containers
        },
    }


def _both(resources: Resources) -> dict[str, Any]:
    return {"requests": _named(resources.requests), "limits": _named(resources.limits)}


def _named(amounts: Amounts) -> dict[str, int]:
    return {"cpu_m" if name == CPU else name: value for name, value in amounts.items()}


def _base(pod: Pod, container: Container, version: Version, *, single_process: bool = False) -> dict[str, Any]:
    limit = memory.limit(pod, container, MEMORY)
    files: dict[str, Any] = {"memory.max": limit} if limit else {}
    if memory.kills_the_group(version, single_process=single_process):
        files["memory.oom.group"] = "1"
    return files


def _settings(given: Given) -> memory.MemoryQos:
    policy: Any = given.get("policy") or "None"
    return memory.MemoryQos(
        "None" if policy == "on" else policy, given.get("throttling_factor"), given.get("allocatable", 0)
    )


def _memory_qos(given: Given) -> dict[str, Any]:
    pod, version, settings = _pod(given), pod_manifests.version(given), _settings(given)
    single = bool(given.get("single_process_oom_kill") or given.get("singleProcessOOMKill"))
    limit = pod.cgroup(best_effort=qos_class(pod) == "BestEffort").memory_max
    return {
        "qos": qos_class(pod),
        "pod": {
            **({} if limit is None else {"memory.max": limit}),
            **memory.pod_qos(pod, settings, version),
        },
        "containers": {
            one.name: {
                **_base(pod, one, version, single_process=single),
                **memory.container_qos(pod, one, settings, version),
            }
            for one in pod.all_containers
        },
    }


def _qos_level(given: Given) -> dict[str, Any]:
    version = pod_manifests.version(given)
    settings = None if given.get("policy") == "off" else _settings(given)
    found = memory.levels((pod_manifests.pod(one, version) for one in given["pods"]), settings, version)
    return {
        "kubepods": found.kubepods,
        "burstable": {
            **found.burstable,
            "cpu_shares": found.burstable_shares,
            "cpu.weight": found.burstable_weight,
        },
        "besteffort": {"cpu_shares": found.besteffort_shares, "cpu.weight": found.besteffort_weight},
    }


def _swap(given: Given) -> dict[str, Any]:
    pod, version = _pod(given), pod_manifests.version(given)

    def swap(one: Container) -> dict[str, str]:
        if not given.get("swap_controller", True):
            return {}
        return {
            "memory.swap.max": memory.swap_max(
                pod,
                one,
                given.get("swap_behavior", ""),
                node_memory_bytes=given["node_memory"],
                node_swap_bytes=given["node_swap"],
                version=version,
            )
        }

    return {
        "qos": qos_class(pod),
        "containers": {one.name: {**_base(pod, one, version), **swap(one)} for one in pod.all_containers},
    }


def _cpu_weight(given: Given) -> dict[str, Any]:
    shares, period = cpu.cpu_shares(given["milli_cpu"]), given.get("period_us", cpu.PERIOD_USEC)
    return {
        "shares": shares,
        "cpu_weight_by_kubelet": cpu.cpu_weight(shares),
        "cpu_weight_by_runtime_old": cpu.cpu_weight(shares),
        "cpu_weight_by_runtime_new": cpu.runtime_cpu_weight(shares),
        "period_us": period,
        "quota_us": cpu.cpu_quota_usec(given["milli_cpu"], period, pod_manifests.version(given)),
    }


def _names(given: Given) -> dict[str, Any]:
    qos, driver, root = given["qos"], given["driver"], given.get("root", "/")
    return {
        "qos_cgroup": names.qos_cgroup(qos, driver, root),
        "pod_cgroup": names.pod_cgroup(given["uid"], qos, driver, root),
    }


def _working_set(given: Given) -> dict[str, Any]:
    return {"working_set": node.working_set(given["memory_current"], given["inactive_file"])}


def _emptydir(given: Given) -> dict[str, Any]:
    pod = _pod(given)
    limit = pod.cgroup(best_effort=qos_class(pod) == "BestEffort").memory_max
    found = {}
    for volume in given["pod"]["spec"].get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("medium") != "Memory":
            continue
        wanted = json_quantity(source["sizeLimit"]).value if source.get("sizeLimit") is not None else None
        size = memory_volume_bytes(wanted, limit, given["node_allocatable_memory"])
        noswap = bool(given.get("tmpfs_noswap_supported", False))
        found[volume["name"]] = {
            "size": size,
            "mount_options": mount_options(size, noswap=noswap, version=pod_manifests.version(given)),
        }
    return found


def _admission(given: Given) -> dict[str, Any]:
    version = pod_manifests.version(given)
    others = [pod_manifests.pod(one, version) for one in given.get("other_pods") or ()]
    verdict = fits(_pod(given), others, pod_manifests.amounts(given["node_allocatable"]))
    return {"admit": verdict.admitted, "reason": verdict.reason, "message": verdict.message}


def _resize_pending(given: Given) -> dict[str, Any]:
    verdict = resize_pending(
        given["pod_request_new"], given["others"], given["node_allocatable_memory"], pod_manifests.version(given)
    )
    return {"reason": verdict.reason or None, "message": verdict.message or None}


FAMILIES = {
    "qos_class": _class,
    "oom_score_adj": _oom,
    "effective_resources": _effective,
    "memory_qos": _memory_qos,
    "qos_level": _qos_level,
    "swap_limit": _swap,
    "cpu_weight": _cpu_weight,
    "cgroup_names": _names,
    "working_set": _working_set,
    "emptydir_memory": _emptydir,
    "admission": _admission,
    "resize_pending": _resize_pending,
}
