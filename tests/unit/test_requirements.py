"""Facts of a machine → what is met, what is not, and where a run takes place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from emu.doctor.facts import DockerFacts, HostFacts
from emu.doctor.requirements import choose_where, possible_place, requirements
from emu.errors import EmuError

ENGINE = DockerFacts("27.1", "systemd", "2", "overlay2", "6.1.0", rootless=False)
GOOD = HostFacts(
    kernel="6.1.0",
    architecture="x86_64",
    distribution="Debian GNU/Linux 12",
    cpus=4,
    memory_bytes=8 * 2**30,
    swap_bytes=2**30,
    cgroup_mode="unified",
    cgroup_path="/sys/fs/cgroup",
    controllers=("cpu", "io", "memory", "pids"),
    delegation_problem=None,
    psi=True,
    kmsg_problem=None,
    journald_problem=None,
    docker=ENGINE,
    docker_problem=None,
    uml_missing={},
    uml_problem=None,
    kvm_problem=None,
    inside_sandbox=False,
    fetched_kernel="7.2.7",
)
HYBRID = replace(GOOD, cgroup_mode="hybrid", cgroup_path="/sys/fs/cgroup/unified", controllers=("hugetlb",))
NO_DOCKER = replace(GOOD, docker=None, docker_problem="there is no Docker socket")
NO_UML = {"uml_missing": {"linux.uml": "user-mode-linux", "dockerd": "docker.io"}}


def test_a_machine_that_has_everything() -> None:
    """All is ok, and nothing is left to do."""
    rows = requirements(GOOD)
    assert {row.status for row in rows} == {"ok"}
    assert all(row.why and not row.fix for row in rows)


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({"cgroup_mode": "legacy", "controllers": (), "cgroup_path": None}, "cgroup mode", "missing"),
        ({"cgroup_mode": "hybrid"}, "cgroup mode", "degraded"),
        ({"controllers": ("cpu",)}, "memory controller", "missing"),
        ({"delegation_problem": "not writable for user 1000"}, "delegation", "missing"),
        ({"swap_bytes": 0}, "swap", "degraded"),
        ({"psi": False}, "PSI", "degraded"),
        ({"kmsg_problem": "Operation not permitted"}, "/dev/kmsg", "degraded"),
        ({"journald_problem": "there is no journalctl"}, "journald", "degraded"),
        ({"docker": None, "docker_problem": "nothing answers"}, "Docker engine", "missing"),
        ({"docker": replace(ENGINE, kernel="6.6.0-linuxkit")}, "Docker engine", "missing"),
        ({"docker": replace(ENGINE, cgroup_version="1")}, "Docker engine", "missing"),
        ({"docker": replace(ENGINE, rootless=True)}, "Docker engine", "missing"),
        (NO_UML, "UML", "missing"),
        ({"uml_problem": "no room for 3 GiB of guest memory"}, "UML", "missing"),
        ({"vm_missing": {"qemu-system-x86_64": "qemu-system-x86"}}, "QEMU", "missing"),
        ({"vm_problem": ("only root can unpack a distribution", "run it as root")}, "QEMU", "missing"),
        ({"kvm_problem": "/dev/kvm exists, but does not work"}, "KVM", "missing"),
        ({"fetched_kernel": None}, "UML kernel", "degraded"),
    ],
)
def test_what_is_lacking_is_said(change: dict[str, Any], name: str, status: str) -> None:
    """Each thing that is not there has its row, what was found, and how to get it."""
    (row,) = [row for row in requirements(replace(GOOD, **change)) if row.name == name]
    assert row.status == status
    assert row.found and row.why and row.fix


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"docker_cause": "permission"}, "usermod -aG docker"),
        ({"docker_cause": "silent"}, "systemctl restart docker"),
        ({"docker_cause": "refused", "engine_signs": ("/usr/bin/dockerd",)}, "systemctl start docker"),
        ({"docker_cause": "no socket", "engine_signs": ("the package docker-ce",)}, "systemctl start docker"),
        ({"docker_cause": "other"}, "docker info"),
        ({"docker": replace(ENGINE, rootless=True)}, "DOCKER_HOST=unix:///var/run/docker.sock"),
        ({"docker": replace(ENGINE, cgroup_version="1")}, "unified_cgroup_hierarchy"),
        ({"docker": replace(ENGINE, kernel="6.6.0-linuxkit")}, "the machine that runs Docker"),
    ],
)
def test_each_reason_that_docker_cannot_serve_has_its_own_advice(change: dict[str, Any], advice: str) -> None:
    """And nobody who has an engine is advised to install one."""
    facts = replace(NO_DOCKER, engine_signs=("/usr/bin/dockerd",))
    (row,) = [row for row in requirements(replace(facts, **change)) if row.name == "Docker engine"]
    assert advice in row.fix
    assert "apt-get" not in row.fix


def test_who_has_no_engine_is_advised_to_install_one() -> None:
    """In a way that removes nothing."""
    facts = replace(NO_DOCKER, docker_cause="no socket")
    (row,) = [row for row in requirements(facts) if row.name == "Docker engine"]
    assert "--no-remove docker.io" in row.fix


def test_the_sandbox_asks_for_no_second_engine() -> None:
    """Where there is an engine in any form, its package is not among what the sandbox lacks."""
    facts = replace(HYBRID, **NO_UML, engine_signs=("the package podman-docker",))
    (row,) = [row for row in requirements(facts) if row.name == "UML"]
    assert "user-mode-linux" in row.fix and "docker.io" not in row.fix
    (row,) = [row for row in requirements(replace(facts, uml_missing={"dockerd": "docker.io"})) if row.name == "UML"]
    assert "apt-get" not in row.fix and "pod.runtime: process" in row.fix


def test_what_is_not_needed_does_not_decide() -> None:
    """Without swap, pressure figures, logs and KVM a host still runs."""
    poor = replace(GOOD, swap_bytes=0, psi=False, kmsg_problem="x", journald_problem="x", kvm_problem="x")
    assert possible_place(poor) == "host"


@pytest.mark.parametrize(
    ("facts", "forced", "where"),
    [
        (GOOD, None, "host"),
        (GOOD, "auto", "host"),
        (GOOD, "sandbox", "sandbox"),
        (GOOD, "vm", "vm"),
        (HYBRID, None, "sandbox"),
        (NO_DOCKER, None, "sandbox"),
        (replace(GOOD, delegation_problem="x"), None, "sandbox"),
        (replace(GOOD, **NO_UML), None, "host"),
    ],
)
def test_where_a_run_takes_place(facts: HostFacts, forced: str | None, where: str) -> None:
    """On the host if it can, else in the sandbox, unless one is asked for."""
    assert choose_where(facts, forced) == where


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        (NO_DOCKER, "host"),
        (replace(GOOD, docker=replace(ENGINE, kernel="6.6.0-linuxkit")), "host"),
        (replace(NO_DOCKER, root=False), "sandbox"),
        (replace(NO_DOCKER, controllers=("cpu",)), "sandbox"),
        (replace(HYBRID, uml_missing={"dockerd": "docker.io", "runc": "runc"}), "sandbox"),
    ],
)
def test_where_pods_run_as_processes(facts: HostFacts, where: str) -> None:
    """No engine is needed, neither on the host nor in the sandbox; cgroup v2 with memory and root are."""
    assert choose_where(facts, docker=False) == where


def test_a_user_who_is_not_root_runs_no_processes_on_the_host() -> None:
    """That cgroups are delegated to a user is not enough, and the error says so."""
    with pytest.raises(EmuError) as caught:
        choose_where(replace(GOOD, root=False), "host", docker=False)
    assert "not root" in caught.value.why and "sudo" in caught.value.fix
    assert choose_where(replace(GOOD, root=False), "host") == "host"


def test_a_host_that_is_asked_for_and_cannot() -> None:
    """The error says everything that stands in the way, and what to do."""
    with pytest.raises(EmuError) as caught:
        choose_where(replace(HYBRID, docker=None, docker_problem="there is no Docker socket"), "host")
    assert "hugetlb" in caught.value.why and "no Docker socket" in caught.value.why
    assert "--on sandbox" in caught.value.fix
    assert caught.value.exit_status == 2


def test_a_sandbox_that_is_asked_for_and_cannot() -> None:
    """The error names the packages."""
    with pytest.raises(EmuError) as caught:
        choose_where(replace(GOOD, **NO_UML), "sandbox")
    assert "linux.uml" in caught.value.why
    assert "docker.io user-mode-linux" in caught.value.fix


def test_a_virtual_machine_that_is_asked_for_and_cannot() -> None:
    """The error names the package; what KVM lacks is no obstacle, only a matter of time."""
    with pytest.raises(EmuError) as caught:
        choose_where(replace(GOOD, vm_missing={"qemu-system-x86_64": "qemu-system-x86"}), "vm")
    assert caught.value.what == "cannot run in the virtual machine"
    assert "--no-remove qemu-system-x86" in caught.value.fix
    assert choose_where(replace(GOOD, kvm_problem="there is no /dev/kvm"), "vm") == "vm"


def test_nobody_gets_a_virtual_machine_unasked() -> None:
    """It is a download and may be slow: where neither host nor sandbox can run, nothing runs."""
    assert possible_place(replace(HYBRID, **NO_UML)) is None


def test_a_machine_that_can_run_nothing() -> None:
    """Both places are explained; the way out is the one that always works."""
    facts = replace(HYBRID, **NO_UML)
    assert possible_place(facts) is None
    with pytest.raises(EmuError) as caught:
        choose_where(facts)
    assert "hugetlb" in caught.value.why and "linux.uml" in caught.value.why
    assert "apt-get install" in caught.value.fix


def test_a_newer_kernel_is_advised_only_where_it_can_be_fetched() -> None:
    """Elsewhere the distribution's is all there is, and nothing is wrong."""
    facts = replace(GOOD, fetched_kernel=None, fetch_problem="there is no apt-get here")
    (row,) = [row for row in requirements(facts) if row.name == "UML kernel"]
    assert row.status == "ok" and "there is no apt-get here" in row.found and not row.fix
