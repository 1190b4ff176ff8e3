"""Where a pod's cgroup lies under Docker's two drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups.mount import Mount
from emu.errors import EmuError
from emu.policy.kubelet.names import KUBEPODS, Driver, pod_cgroup, pod_name, qos_cgroup, qos_name
from emu.policy.qos import QosClass
from emu.runtime.podcgroup import existing_runs, run_cgroup

MOUNT = Mount(Path("/sys/fs/cgroup"), frozenset({"memory"}), False)


def test_cgroupfs_takes_a_path() -> None:
    """Docker's cgroupfs driver puts containers below a path, by id."""
    run = run_cgroup("cgroupfs", MOUNT, "emu-x-1")
    assert run.path == Path("/sys/fs/cgroup/emu/emu-x-1")
    pod = run.child("app-00001")
    assert pod.docker_parent == "/emu/emu-x-1/app-00001"
    assert pod.container_path("abc") == Path("/sys/fs/cgroup/emu/emu-x-1/app-00001/abc")


def test_systemd_takes_a_slice() -> None:
    """systemd's dashes nest slices, so the run's name and the pod's have none of their own."""
    run = run_cgroup("systemd", MOUNT, "emu-x-1")
    assert run.path == Path("/sys/fs/cgroup/emu.slice/emu-emu_x_1.slice")
    pod = run.child("app-00001")
    assert pod.docker_parent == "emu-emu_x_1-app_00001.slice"
    assert pod.container_path("abc") == run.path / pod.docker_parent / "docker-abc.scope"


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_a_pod_that_is_there_is_found_by_its_own_path(tmp_path: Path, driver: str) -> None:
    """What `emu clean` finds is what a run made, under either driver."""
    mount = Mount(tmp_path, frozenset({"memory"}), False)
    made = run_cgroup(driver, mount, "emu-queue-proxy-oom-a1b2c3")
    made.path.mkdir(parents=True)
    assert [run.path for run in existing_runs(driver, mount)] == [made.path]


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
@pytest.mark.parametrize("qos", ["Guaranteed", "Burstable", "BestEffort"])
def test_cgroups_have_the_names_that_a_kubelet_gives_them(driver: Driver, qos: QosClass) -> None:
    """Those of a kubelet whose --cgroup-root is the run's cgroup; the pod's name stands for its UID."""
    run = run_cgroup(driver, MOUNT, "emu-x-1")
    kubepods = run.child(KUBEPODS)
    class_ = kubepods if qos == "Guaranteed" else kubepods.child(qos_name(qos))
    root = "/emu/emu-x-1"
    assert str(class_.path) == f"{MOUNT.path}{qos_cgroup(qos, driver, root)}"
    assert str(class_.child(pod_name("web-1")).path) == f"{MOUNT.path}{pod_cgroup('web-1', qos, driver, root)}"


def test_another_driver_is_refused() -> None:
    """A driver that puts containers elsewhere gets an error that says what to do."""
    with pytest.raises(EmuError, match="cgroup driver 'none'"):
        run_cgroup("none", MOUNT, "x")
