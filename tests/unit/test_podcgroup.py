"""Where a pod's cgroup lies under Docker's two drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups.mount import Mount
from emu.errors import EmuError
from emu.runtime.podcgroup import existing_pods, pod_cgroup

MOUNT = Mount(Path("/sys/fs/cgroup"), frozenset({"memory"}), False)


def test_cgroupfs_takes_a_path() -> None:
    """Docker's cgroupfs driver puts containers below a path, by id."""
    pod = pod_cgroup("cgroupfs", MOUNT, "emu-x-1")
    assert pod.docker_parent == "/emu/emu-x-1"
    assert pod.container_path("abc") == Path("/sys/fs/cgroup/emu/emu-x-1/abc")


def test_systemd_takes_a_slice() -> None:
    """systemd's dashes nest slices, so the pod's name has none of its own."""
    pod = pod_cgroup("systemd", MOUNT, "emu-x-1")
    assert pod.docker_parent == "emu-emu_x_1.slice"
    assert pod.container_path("abc") == Path("/sys/fs/cgroup/emu.slice/emu-emu_x_1.slice/docker-abc.scope")


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_a_pod_that_is_there_is_found_by_its_own_path(tmp_path: Path, driver: str) -> None:
    """What `emu clean` finds is what a run made, under either driver."""
    mount = Mount(tmp_path, frozenset({"memory"}), False)
    made = pod_cgroup(driver, mount, "emu-queue-proxy-oom-a1b2c3")
    made.path.mkdir(parents=True)
    assert [pod.path for pod in existing_pods(driver, mount)] == [made.path]


def test_another_driver_is_refused() -> None:
    """A driver that puts containers elsewhere gets an error that says what to do."""
    with pytest.raises(EmuError, match="cgroup driver 'none'"):
        pod_cgroup("none", MOUNT, "x")
