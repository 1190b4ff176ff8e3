"""What the emulator needs of a machine, what this one has, and so where a run can take place. Pure: facts in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from emu.errors import EmuError
from emu.sandbox.uml.parts import ENGINE_PACKAGE, FOR_DOCKER, install_line
from emu.units import format_bytes

if TYPE_CHECKING:
    from emu.doctor.facts import HostFacts

Status = Literal["ok", "degraded", "missing"]
Where = Literal["host", "sandbox", "vm"]

_UNIFIED = "boot with systemd.unified_cgroup_hierarchy=1"
_NO_SECOND_ENGINE = (
    "put dockerd, containerd and runc of the installed engine on PATH; emu installs no second engine. "
    "In the sandbox a scenario with pod.runtime: process needs none"
)
_ELSE_SANDBOX = "or use the sandbox: emu run --on sandbox …"


@dataclass(frozen=True)
class Requirement:
    """One thing a run needs or can use: whether it is there, what was found, why it matters, how to get it.

    `degraded`: a run works without it, but reports less. `fix` is empty where nothing is wrong.
    """

    name: str
    status: Status
    found: str
    why: str
    fix: str = ""


def requirements(facts: HostFacts) -> list[Requirement]:
    """Every requirement, in the order in which to read them."""
    return [*_kernel(facts), *_logs(facts), *_engine(facts), *_sandbox(facts)]


def _row(name: str, trouble: str | None, found: str, why: str, fix: str, worst: Status = "missing") -> Requirement:
    """A row that is ok unless there is trouble."""
    if trouble is None:
        return Requirement(name, "ok", found, why)
    return Requirement(name, worst, trouble, why, fix)


def _kernel(facts: HostFacts) -> Iterator[Requirement]:
    machine = f"Linux {facts.kernel} {facts.architecture}, {facts.cpus} CPUs, {format_bytes(facts.memory_bytes)}"
    yield Requirement(
        "kernel",
        "ok",
        machine,
        "the kernel that runs on this host measure; runs in the sandbox measure the sandbox's",
    )
    mode = "cgroup v2 alone (unified)" if facts.cgroup_mode == "unified" else f"cgroups are {facts.cgroup_mode}"
    yield Requirement(
        "cgroup mode",
        "ok" if facts.cgroup_mode == "unified" else "degraded" if "memory" in facts.controllers else "missing",
        mode,
        "limits, memory.events and the freezer are cgroup v2's",
        "" if facts.cgroup_mode == "unified" else f"{_UNIFIED}, {_ELSE_SANDBOX}",
    )
    offered = ", ".join(facts.controllers) or "none"
    yield _row(
        "memory controller",
        None if "memory" in facts.controllers else f"cgroup v2 offers: {offered}",
        f"cgroup v2 at {facts.cgroup_path} offers: {offered}",
        "memory.max, memory.swap.max and the OOM killer's counts",
        f"{_UNIFIED} (and cgroup_enable=memory where a distribution turns it off), {_ELSE_SANDBOX}",
    )
    yield _row(
        "delegation",
        facts.delegation_problem,
        "this user can create and limit cgroups",
        "emu creates and limits the pod's cgroup",
        f"run as root (sudo), {_ELSE_SANDBOX}",
    )
    yield _row(
        "swap",
        None if facts.swap_bytes else "no swap is enabled",
        format_bytes(facts.swap_bytes),
        "scenarios with memory.swap.max above 0 swap to it",
        "fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
        "degraded",
    )
    yield _row(
        "PSI",
        None if facts.psi else "this kernel has no PSI",
        "/proc/pressure/memory",
        "how long tasks stalled for memory",
        "boot with psi=1, on a kernel built with CONFIG_PSI",
        "degraded",
    )


def _logs(facts: HostFacts) -> Iterator[Requirement]:
    yield _row(
        "/dev/kmsg",
        facts.kmsg_problem,
        "readable",
        "the kernel's report of each OOM kill",
        "run as root, or allow it: sysctl kernel.dmesg_restrict=0",
        "degraded",
    )
    yield _row(
        "journald",
        facts.journald_problem,
        "journalctl -k answers",
        "the kernel log with timestamps, in addition to /dev/kmsg",
        "install systemd's journal, or add yourself to the group systemd-journal",
        "degraded",
    )


def _engine(facts: HostFacts) -> Iterator[Requirement]:
    engine = facts.docker
    found = ""
    if engine is not None:
        found = f"Docker {engine.version}, {engine.cgroup_driver} cgroups v{engine.cgroup_version}, "
        found += engine.storage_driver
    trouble, fix = _engine_trouble(facts) or (None, "")
    yield _row("Docker engine", trouble, found, "the pod's containers are real Docker containers", fix)


def _root(facts: HostFacts) -> Iterator[Requirement]:
    """What pods as processes need of the user: more than cgroups, so that delegation is not enough."""
    yield _row(
        "root",
        None if facts.root else "this user is not root",
        "root",
        "pods as processes need their own networks and mounts",
        f"run as root (sudo), {_ELSE_SANDBOX}",
    )


def _engine_trouble(facts: HostFacts) -> tuple[str, str] | None:
    """Why the engine cannot serve a run on this host, and what to do about that very reason."""
    engine = facts.docker
    if engine is None:
        trouble = facts.docker_problem or "there is none"
        return trouble, f"{_unreachable(facts)}, {_ELSE_SANDBOX}; a scenario with pod.runtime: process needs none"
    name = f"Docker {engine.version}"
    if engine.kernel != facts.kernel:
        return (
            f"{name} runs on another kernel ({engine.kernel}): its cgroups are not visible here",
            "run emu on the machine that runs Docker, or set DOCKER_HOST to an engine of this machine, "
            + _ELSE_SANDBOX,
        )
    if engine.cgroup_version != "2":
        return f"{name} uses cgroup v{engine.cgroup_version}", f"{_UNIFIED}, {_ELSE_SANDBOX}"
    if engine.rootless:
        return (
            f"{name} is rootless: its containers' cgroups belong to a user's systemd",
            "use the system's engine, if there is one, and run as root "
            f"(sudo DOCKER_HOST=unix:///var/run/docker.sock emu …), {_ELSE_SANDBOX}",
        )
    return None


def _unreachable(facts: HostFacts) -> str:
    """What to do about an engine that gives no answer. One that is there is never to be installed again."""
    if facts.docker_cause == "permission":
        return "run as root (sudo), or join the group and log in again (sudo usermod -aG docker $USER)"
    if facts.docker_cause == "silent":
        return "restart it (sudo systemctl restart docker), and check that docker info answers"
    if facts.docker_cause == "other":
        return "check the output of docker info, and whether DOCKER_HOST names an engine of this machine"
    if facts.engine_signs:
        where = f"it is installed ({facts.engine_signs[0]})"
        return f"start it: sudo systemctl start docker, or systemctl --user start docker; {where}"
    return f"{install_line(['docker.io'])} && sudo systemctl start docker"


def _sandbox(facts: HostFacts) -> Iterator[Requirement]:
    missing, fix = facts.uml_problem, "use this host: see the rows above" if facts.uml_problem else ""
    if facts.uml_missing:
        missing = f"not installed: {', '.join(facts.uml_missing)}"
        packages = sandbox_packages(facts)
        fix = install_line(list(packages)) if packages else _NO_SECOND_ENGINE
    yield _row(
        "UML",
        missing,
        "User-Mode Linux and its parts are installed",
        "the sandbox: a User-Mode Linux kernel for what this machine lacks above",
        fix,
    )
    if missing is None:
        yield _uml_kernel(facts)
    lacks, how = facts.vm_problem or (None, "")
    if facts.vm_missing:
        lacks = f"not installed: {', '.join(facts.vm_missing)}"
        how = install_line(sorted(set(facts.vm_missing.values())))
    yield _row(
        "QEMU",
        lacks,
        "QEMU and what makes its disks are installed",
        "not needed; the virtual machine (--on vm) has PSI, several CPUs and io.weight",
        how,
    )
    yield _row(
        "KVM",
        facts.kvm_problem,
        "/dev/kvm works",
        "not needed; it only makes the virtual machine fast",
        "enable (nested) virtualization in the firmware or the hypervisor, and add yourself to the group kvm",
    )


def _uml_kernel(facts: HostFacts) -> Requirement:
    name, why = "UML kernel", "runs in the sandbox are faster on a newer one"
    if facts.fetched_kernel is not None:
        return Requirement(name, "ok", f"Linux {facts.fetched_kernel}, fetched", why)
    if facts.fetch_problem is not None:
        return Requirement(name, "ok", f"the distribution's; no newer one can be fetched: {facts.fetch_problem}", why)
    fix = "emu sandbox kernel --fetch, which puts Debian's newest into emu's cache and installs nothing"
    return Requirement(name, "degraded", "the distribution's", why, fix)


def sandbox_packages(facts: HostFacts) -> tuple[str, ...]:
    """The packages that the sandbox lacks. Not an engine's where one is here in any form: the two may exclude each
    other, and what is here is the user's.
    """
    wanted = sorted(set(facts.uml_missing.values()))
    return tuple(name for name in wanted if name != ENGINE_PACKAGE or not facts.engine_signs)


_NEEDED: dict[Where, tuple[str, ...]] = {
    "host": ("memory controller", "delegation", "Docker engine"),
    "sandbox": ("UML",),
    "vm": ("QEMU",),
}
_WITHOUT_DOCKER: dict[Where, tuple[str, ...]] = {**_NEEDED, "host": ("memory controller", "root")}
"""What is needed where every pod runs as processes."""


def obstacles(facts: HostFacts, where: Where, *, docker: bool = True) -> list[Requirement]:
    """What stands in the way of a run in a place; empty where it can run. `docker`: some pod needs an engine."""
    if docker:
        return [row for row in requirements(facts) if row.name in _NEEDED[where] and row.status == "missing"]
    missing = {name: package for name, package in facts.uml_missing.items() if name not in FOR_DOCKER}
    rows = [*_kernel(facts), *_root(facts), *_sandbox(replace(facts, uml_missing=missing))]
    return [row for row in rows if row.name in _WITHOUT_DOCKER[where] and row.status == "missing"]


def possible_place(facts: HostFacts, *, docker: bool = True) -> Where | None:
    """Where a run takes place by default: the host if it can, else the sandbox; None if neither can. The virtual
    machine is for those who ask for it: it is a download, and may be slow.
    """
    return next((where for where in _BY_DEFAULT if not obstacles(facts, where, docker=docker)), None)


def choose_where(facts: HostFacts, forced: str | None = None, *, docker: bool = True) -> Where:
    """Where a run takes place. EmuError if the place asked for (`host`, `sandbox`, `vm`) cannot run it, or none can.
    `docker`: some pod of it needs a Docker engine.
    """
    place = next((where for where in NAMES if where == forced), None)
    if place is not None:
        in_the_way = obstacles(facts, place, docker=docker)
        if not in_the_way:
            return place
        raise EmuError(f"cannot run {NAMES[place]}", _because(in_the_way), in_the_way[0].fix)
    chosen = possible_place(facts, docker=docker)
    if chosen is None:
        host, sandbox = (obstacles(facts, place, docker=docker) for place in _BY_DEFAULT)
        raise EmuError(
            "no run can take place on this machine yet",
            f"the host lacks: {_because(host)}. The sandbox lacks: {_because(sandbox)}",
            sandbox[0].fix,
        )
    return chosen


NAMES: dict[Where, str] = {"host": "on this host", "sandbox": "in the sandbox", "vm": "in the virtual machine"}
_BY_DEFAULT: tuple[Where, ...] = ("host", "sandbox")


def _because(rows: list[Requirement]) -> str:
    return "; ".join(f"{row.name}: {row.found}" for row in rows)
