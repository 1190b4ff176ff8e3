"""Facts of this machine, each asked for with a deadline: a Docker socket or a /dev/kvm may exist and never answer."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import docker
import psutil
from docker.errors import DockerException

from cgroups.errors import CgroupError
from cgroups.mount import find_cgroup2
from emu.errors import EmuError
from emu.machine import command, zram, zswap
from emu.machine.disks import swap_areas
from emu.machine.paths import home_dir
from emu.sandbox.qemu import accelerator, image, kvm_probe
from emu.sandbox.uml import fetching, guest, kernels, parts, shape

_PROBE_S = 4.0
EngineCause = Literal["no socket", "refused", "permission", "silent", "other"]
_ENGINE_PACKAGES = (
    "docker.io",
    "docker-ce",
    "docker-ce-cli",
    "docker-ee",
    "docker-desktop",
    "docker-engine",
    "moby-engine",
    "moby-cli",
    "containerd.io",
    "podman-docker",
)
"""Packages that are an engine, a part of one, or stand in for one; several of them exclude each other."""


@dataclass(frozen=True)
class DockerFacts:
    """What a Docker engine says of itself."""

    version: str
    cgroup_driver: str
    cgroup_version: str
    storage_driver: str
    kernel: str
    """The kernel it runs on: another than ours where the engine is in a virtual machine or far away."""
    rootless: bool


@dataclass(frozen=True)
class HostFacts:
    """What this machine offers. A `…_problem` is why something is not usable, None where it is."""

    kernel: str
    architecture: str
    distribution: str
    cpus: int
    memory_bytes: int
    swap_bytes: int
    cgroup_mode: str
    """unified (cgroup v2 alone), hybrid (v2 beside v1), legacy (v1 alone) or none."""
    cgroup_path: str | None
    """Where cgroup v2 is mounted."""
    controllers: tuple[str, ...]
    """What cgroup v2 offers there."""
    delegation_problem: str | None
    psi: bool
    kmsg_problem: str | None
    journald_problem: str | None
    docker: DockerFacts | None
    docker_problem: str | None
    uml_missing: dict[str, str]
    """Parts of the sandbox that are not installed: program → package."""
    uml_problem: str | None
    """Why the sandbox could not boot although its parts are there."""
    kvm_problem: str | None
    inside_sandbox: bool
    root: bool = True
    """Whether we are root, who may make networks and mounts."""
    docker_cause: EngineCause | None = None
    """What kind of problem it is with Docker; None where there is none."""
    engine_signs: tuple[str, ...] = ()
    """What shows that a Docker engine is installed here in some form, whether it answers or not."""
    fetched_kernel: str | None = None
    """The release of the newer kernel that the sandbox boots; None: it boots the distribution's."""
    io_weight: bool = False
    """Whether cgroups here can share a disk by weight."""
    zswap: Literal["on", "off", "no"] = "no"
    """Whether pages are compressed in memory on their way to swap; `no`: this kernel has no zswap."""
    zram: bool = False
    """Whether swap can be on a device of compressed memory."""
    vm_missing: dict[str, str] = field(default_factory=dict)
    """Programs of the virtual machine that are not installed: program → package."""
    vm_problem: tuple[str, str] | None = None
    """Why the virtual machine cannot be made although its programs are there, and what to do about it."""
    fetch_problem: str | None = None
    """Why a newer kernel cannot be fetched on this machine."""
    image_tools_missing: dict[str, str] = field(default_factory=dict)
    """What making the images needs and is not installed: program → package."""

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)


def _fetched_kernel() -> str | None:
    try:
        chosen = kernels.choose()
    except EmuError:  # the environment asks for what there is not; a run says so
        return None
    return None if chosen is None else chosen.release


def gather_facts() -> HostFacts:
    """Ask everything. Takes a few seconds at most, whatever hangs."""
    mode, path, controllers = _cgroup()
    engine, engine_problem, engine_cause = _docker()
    uml_problem = _uml_never()
    missing = {} if uml_problem else parts.missing_parts()
    return HostFacts(
        kernel=platform.release(),
        architecture=platform.machine(),
        distribution=_distribution(),
        cpus=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        swap_bytes=parse_swap(Path("/proc/swaps").read_text()),
        cgroup_mode=mode,
        cgroup_path=str(path) if path else None,
        controllers=controllers,
        delegation_problem=_delegation(path),
        psi=Path("/proc/pressure/memory").exists(),
        kmsg_problem=_kmsg(),
        journald_problem=_journald(),
        docker=engine,
        docker_problem=engine_problem,
        docker_cause=engine_cause,
        engine_signs=engine_signs(),
        image_tools_missing={} if parts.which("mmdebstrap") else {"mmdebstrap": "mmdebstrap"},
        uml_missing=missing,
        fetched_kernel=None if uml_problem else _fetched_kernel(),
        fetch_problem=fetching.obstacle(),
        uml_problem=uml_problem or (None if missing else _uml()),
        kvm_problem=_kvm(),
        io_weight=_io_weight(path),
        zswap="on" if zswap.is_on() else "off" if zswap.is_offered() else "no",
        zram=zram.is_offered(),
        vm_missing=image.missing_programs(),
        vm_problem=_vm(),
        root=os.geteuid() == 0,
        inside_sandbox=os.environ.get("EMU_SANDBOX") is not None,
    )


def parse_swap(text: str) -> int:
    """Bytes of swap in /proc/swaps; 0 where there is none."""
    return sum(size for _, size in swap_areas(text))


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def cgroup_mode(mountinfo: str) -> str:
    """unified, hybrid, legacy or none, from the text of /proc/self/mountinfo."""
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in mountinfo.splitlines()}
    if "cgroup2" in kinds:
        return "hybrid" if "cgroup" in kinds else "unified"
    return "legacy" if "cgroup" in kinds else "none"


def _cgroup() -> tuple[str, Path | None, tuple[str, ...]]:
    mode = cgroup_mode(Path("/proc/self/mountinfo").read_text(errors="replace"))
    try:
        mount = find_cgroup2()
    except CgroupError:
        return mode, None, ()
    return mode, mount.path, tuple(sorted(mount.controllers))


def _delegation(path: Path | None) -> str | None:
    """Why cgroups cannot be made and limited here."""
    if path is None:
        return "there is no cgroup v2"
    for file in (path, path / "cgroup.procs", path / "cgroup.subtree_control"):
        if not os.access(file, os.W_OK):
            return f"{file} is not writable for user {os.geteuid()}"
    return None


def _kmsg() -> str | None:
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as wrong:
        return f"/dev/kmsg: {os.strerror(wrong.errno or 0)}"
    try:
        os.read(fd, 8192)
    except OSError as wrong:
        if wrong.errno not in (errno.EAGAIN, errno.EPIPE):  # empty, or overwritten meanwhile: readable all the same
            return f"/dev/kmsg: {os.strerror(wrong.errno or 0)}"
    finally:
        os.close(fd)
    return None


def _journald() -> str | None:
    if shutil.which("journalctl") is None:
        return "there is no journalctl"
    try:
        said = command.run(
            ["journalctl", "-k", "-o", "json", "-n", "1", "--no-pager"],
            what="cannot read the journal",
            fix="",
            timeout_s=_PROBE_S,
        )
        json.loads(said)
    except EmuError as wrong:
        return wrong.why
    except ValueError:
        return "the journal has no kernel messages"
    return None


def _docker() -> tuple[DockerFacts | None, str | None, EngineCause | None]:
    """The engine's facts, or why there is none and what kind of reason that is. The deadline covers an engine that
    accepts and never answers.
    """
    answers: list[tuple[DockerFacts | None, str | None, EngineCause | None]] = []

    def ask() -> None:
        try:
            client = docker.from_env(timeout=3)
            info: dict[str, Any] = client.info()
            answers.append((docker_facts(info), None, None))
        except (DockerException, OSError, ValueError) as wrong:  # ValueError: of a DOCKER_HOST that is no address
            answers.append((None, *_root_cause(wrong)))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PROBE_S)
    return answers[0] if answers else (None, f"it did not answer within {_PROBE_S:.0f} s", "silent")


def engine_signs() -> tuple[str, ...]:
    """What shows that there is an engine here, though it may be stopped, another user's, or not ours to ask."""
    user = os.getuid()
    programs = [parts.which(name) for name in ("dockerd", "dockerd-rootless.sh")]
    places = [
        Path("/snap/bin/docker"),
        Path("/var/run/docker.sock"),
        Path(f"/run/user/{user}/docker.sock"),
        *([] if (home := home_dir()) is None else [home / ".docker/desktop"]),
        Path("/run/podman/podman.sock"),
        Path(f"/run/user/{user}/podman/podman.sock"),
    ]
    signs = [str(path) for path in (*programs, *(place for place in places if _there(place))) if path is not None]
    if named := os.environ.get("DOCKER_HOST"):
        signs.append(f"DOCKER_HOST={named}")
    return (*signs, *(f"the package {name}" for name in _installed(_ENGINE_PACKAGES)))


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a directory that is not ours to look into
        return False


def _installed(packages: tuple[str, ...]) -> list[str]:
    """Those of the packages that are installed; none where there is no dpkg."""
    try:
        said = command.run(
            ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n"],
            what="cannot ask dpkg",
            fix="",
            timeout_s=_PROBE_S,
        )
    except EmuError:
        return []
    known = {name for name, _, status in (line.partition(" ") for line in said.splitlines()) if status == "installed"}
    return [name for name in packages if name in known]


def docker_facts(info: dict[str, Any]) -> DockerFacts:
    """From the engine's /info."""
    return DockerFacts(
        version=str(info.get("ServerVersion", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        storage_driver=str(info.get("Driver", "")),
        kernel=str(info.get("KernelVersion", "")),
        rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
    )


def _root_cause(error: BaseException) -> tuple[str, EngineCause]:
    """The innermost reason in plain words, and its kind: the SDK wraps it in three layers."""
    seen = str(error)
    if "FileNotFoundError" in seen:
        return "there is no Docker socket", "no socket"
    if "PermissionError" in seen:
        return "this user cannot read the Docker socket (not in the group docker?)", "permission"
    if "ConnectionRefusedError" in seen:
        return "no process listens on the Docker socket", "refused"
    if "timed out" in seen.lower():
        return "the Docker socket exists, but the engine does not answer", "silent"
    return seen.splitlines()[0] if seen else type(error).__name__, "other"


def _uml_never() -> str | None:
    """Why the sandbox can never boot here, whatever is installed."""
    if platform.machine() != "x86_64":
        return f"User-Mode Linux runs on x86-64 only, this is {platform.machine()}"
    return None


def _uml() -> str | None:
    """Why the sandbox could not boot, its parts being there."""
    try:
        shape.memory_directory(guest.MEMORY_BYTES)
    except EmuError as wrong:
        return f"{wrong.what}: {wrong.why}"
    return None


def _io_weight(path: Path | None) -> bool:
    """The kernel shows how a disk is shared by weight (io.cost.qos) in the root, and a BFQ disk's weight below it."""
    if path is None:
        return False
    return (path / "io.cost.qos").exists() or any(path.glob("*/io.bfq.weight"))


def _vm() -> tuple[str, str] | None:
    """Why the virtual machine's disk could not be made here, its programs being there."""
    if platform.machine() != "x86_64":
        return f"it is made for x86-64, this is {platform.machine()}", "use an x86-64 machine"
    try:
        image.require_rights(image.this_distribution())
    except EmuError as wrong:
        return wrong.why, wrong.fix
    return None


def _kvm() -> str | None:
    """Why KVM cannot be used. In a process of its own: entering a guest may hang."""
    if not Path("/dev/kvm").exists():
        return "there is no /dev/kvm"
    probe = Path(kvm_probe.__file__)
    try:
        command.run([sys.executable, "-I", "-S", str(probe)], what="KVM does not work", fix="", timeout_s=_PROBE_S)
    except EmuError as wrong:
        return f"/dev/kvm exists, but does not work: {wrong.why.rpartition(': ')[2]}"
    with suppress(EmuError):  # the cache is not ours
        if accelerator.remembered(image.cache_directory() / accelerator.MEMORY) == "tcg":
            return "/dev/kvm exists, but a guest did not get through its boot with it"
    return None
