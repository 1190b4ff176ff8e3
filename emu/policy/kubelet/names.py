"""The names of the cgroups that a kubelet makes (pkg/kubelet/cm/cgroup_manager_linux.go,
pod_container_manager_linux.go).
"""

from __future__ import annotations

from typing import Literal

from emu.policy.qos import QosClass

Driver = Literal["cgroupfs", "systemd"]
KUBEPODS = "kubepods"


def qos_cgroup(qos: QosClass, driver: Driver, root: str = "/") -> str:
    """A class's cgroup, below the cgroup mount; Guaranteed pods have none of their own beside kubepods."""
    return _path(_of_class(qos, root), driver)


def pod_cgroup(uid: str, qos: QosClass, driver: Driver, root: str = "/") -> str:
    """A pod's cgroup, below the cgroup mount."""
    return _path([*_of_class(qos, root), pod_name(uid)], driver)


def qos_name(qos: QosClass) -> str:
    """What a class's own cgroup is called."""
    return qos.lower()


def pod_name(uid: str) -> str:
    """What a pod's own cgroup is called."""
    return f"pod{uid}"


def _of_class(qos: QosClass, root: str) -> list[str]:
    own = [] if qos == "Guaranteed" else [qos_name(qos)]
    return [*(part for part in root.split("/") if part), KUBEPODS, *own]


def _path(parts: list[str], driver: Driver) -> str:
    """systemd's slices carry the names of all above them, parted by dashes, so that a dash in a name is written _."""
    if driver == "cgroupfs":
        return "/" + "/".join(parts)
    names = [part.replace("-", "_") for part in parts]
    return "".join(f"/{'-'.join(names[:end])}.slice" for end in range(1, len(names) + 1))
