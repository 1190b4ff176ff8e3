"""Boots a whole Debian with systemd in QEMU and runs one command in it.

It shows what User-Mode Linux cannot (emu.sandbox.uml): Docker's systemd cgroup driver, journald as PID 1's own,
several CPUs, PSI and cpuset. Everything that a job needs goes in on disks made before the boot, so the guest has no
network:

    vda  root       the distribution, shared by all guests (image.py)
    vdb  docker     /var/lib/docker, with our container images built on it
    vdc  job        the project's files, run.sh, the command: this guest's own
    vdd  packages   what the project imports (image.py)
    vde  swap       empty, this guest's own

A guest's writes go to files that vanish with it; only a results directory, mounted by 9p, lasts. A guest serves one
job, so there is nothing to talk about with it: it is ended as soon as it has reported the exit status.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import emu
from emu.machine import command, paths
from emu.runtime import images
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu import leftovers
from emu.sandbox.qemu.accelerator import MEMORY, accelerator
from emu.sandbox.qemu.image import GuestImage, Say
from emu.sandbox.qemu.job import STDIN_NAME, Job, Share, copy_program, copy_project, write_job
from emu.sandbox.qemu.listener import CONTROL, PORTS, GuestError, Listener, Outcome
from emu.sandbox.qemu.watch import Watch

PROJECT = Path(emu.__file__).resolve().parents[1]
"""The tree that a guest gets a copy of."""
_APPEND = (
    "root=/dev/vda rw console=ttyS0 loglevel=5 systemd.show_status=yes panic=-1 log_buf_len=4M "
    "psi=1 apparmor=0 mitigations=off net.ifnames=0 tsc=reliable"
)
_WITHOUT_DOCKER = " ".join(
    f"systemd.mask={unit}" for unit in ("docker.service", "docker.socket", "containerd.service")
)
_JOB_BYTES = 8 * 2**30
DOCKER_BYTES = 24 * 2**30
_DOCKER_DISKS = 2


@dataclass(frozen=True)
class Machine:
    """The hardware that QEMU gives the guest, and how long its boot may take."""

    memory_bytes: int = 4 * 2**30
    cpus: int = 2
    swap_bytes: int = 2 * 2**30
    boot_deadline_s: float = 300.0


@dataclass(frozen=True)
class Disk:
    """One of the guest's disks, a file."""

    path: Path
    kept: bool = False
    """Whether what the guest writes to it lasts."""


def run(
    argv: Sequence[str],
    *,
    say: Say,
    machine: Machine | None = None,
    env: Mapping[str, str] | None = None,
    shares: Sequence[Share] = (),
    results: Path | None = None,
    with_images: bool = False,
    timeout_s: float | None = None,
    sources: Path | None = None,
) -> Outcome:
    """Run a command as root in a fresh guest, in a copy of the project's working tree, its output on ours.

    `results` is made if need be and is /results inside, the one place that lasts. `with_images`: what our container
    images are built from is in it, and the images as they were built last; whatever needs them builds those whose
    sources have changed since (emu.runtime.images). EmuError if a guest cannot be made here, GuestError if it failed.
    """
    machine = machine or Machine()
    guest = disks.build_image(say, sources=sources)
    packages = disks.python_packages(guest, disks.guest_requirements((PROJECT / "pyproject.toml").read_text()), say)
    all_shares = list(shares)
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        all_shares.append(Share(results.resolve(), "/results", writable=True))
    built = None
    if with_images:
        base, share, _ = _image_sources(guest, say)
        all_shares.append(share)
        built = next(reversed(_docker_disks(base)), None)
    with scratch_directory() as scratch:
        if built is None:
            disks.format_ext4(scratch / "docker.ext4", "emu-docker", DOCKER_BYTES)
        docker = Disk(built or scratch / "docker.ext4")
        job = Job(argv, env or {}, all_shares, timeout_s)
        copy_project(PROJECT, scratch / "job/project", python=guest.python)
        return boot_and_run(guest, packages, docker, machine, job, scratch)


def docker_disk(guest: GuestImage, packages: Path, machine: Machine, say: Say) -> tuple[Path, Share]:
    """A /var/lib/docker with our container images, built once in a guest of its own: without KVM that takes minutes.

    The share has what emu.runtime.images needs for that where there is no network; each run looks at it again.
    """
    base, share, artifacts = _image_sources(guest, say)
    sources = disks.digest(image.digest for image in images.ensure(_NoEngine(), artifacts))
    disk = disks.cache_directory() / "docker" / f"{base}-{sources}.ext4"

    def make(place: Path) -> None:
        say("building the container images in the guest's Docker, once for these sources")
        older = _docker_disks(base)
        if older:  # most of the work is in it: only images whose sources have changed are built
            disks.copy_sparse(older[-1], place)
        else:
            disks.format_ext4(place, "emu-docker", DOCKER_BYTES)
        for path in older[:-_DOCKER_DISKS]:
            disks.remove(path)
        job = Job(["python3", "-m", "emu.sandbox.qemu.inside.build_images"], shares=[share])
        with scratch_directory() as scratch:
            copy_program(PROJECT, scratch / "job/project", python=guest.python)
            outcome = boot_and_run(guest, packages, Disk(place, kept=True), machine, job, scratch)
        if outcome.status != 0:
            raise GuestError(
                "cannot build the container images in the virtual machine",
                f"that ended with status {outcome.status}; what it said is above",
                "see whether they can be built elsewhere: emu images",
            )

    disks.made_once(disk, make)
    return disk, share


def _image_sources(guest: GuestImage, say: Say) -> tuple[str, Share, images.Artifacts]:
    """What the names of the disks with images begin with, and what images are built from, on the host and inside."""
    artifacts = images.prepare(say)
    share = Share(paths.cache_dir() / "images", "/root/.cache/emu/images")
    return disks.digest([guest.key, artifacts.key]), share, artifacts


def _docker_disks(base: str) -> list[Path]:
    """The disks with images that were built on this base, the newest last."""
    found = (disks.cache_directory() / "docker").glob(f"{base}-*.ext4")
    return sorted(found, key=lambda path: path.stat().st_mtime)


class _NoEngine:
    """Has no image and builds none: emu.runtime.images passes it what it would build, and from what."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        return None

    def build(self, tag: str, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> None:
        pass


def boot_and_run(
    guest: GuestImage,
    packages: Path,
    docker: Disk,
    machine: Machine,
    job: Job,
    scratch: Path,
    watching: Callable[[socket.socket], Watch] | None = None,
) -> Outcome:
    """A fresh guest for one job; what the job is to find in /job/project is in `scratch` by now. `watching` makes,
    from the socket to the guest, what passes signals on to the job; without it they end this process as usual.
    """
    write_job(scratch / "job", job, keep_docker=docker.kept)
    disks.format_ext4(scratch / "job.ext4", "emu-job", _JOB_BYTES, scratch / "job")
    used = [Disk(guest.root), docker, Disk(scratch / "job.ext4", kept=True), Disk(packages)]
    if machine.swap_bytes:
        disks.format_swap(scratch / "swap.img", machine.swap_bytes)
        used.append(Disk(scratch / "swap.img", kept=True))
    how = accelerator(guest.kernel, disks.cache_directory() / MEMORY)
    with ExitStack() as undo:
        ports = {name: socket.socketpair() for name in (*PORTS, CONTROL)}
        for ours, theirs in ports.values():
            undo.callback(ours.close)
            undo.callback(theirs.close)
        fds = {name: theirs.fileno() for name, (_ours, theirs) in ports.items()}
        console = scratch / "console.log"
        words = qemu_command_line(guest, how, machine, used, fds, job.shares, console, docker=job.docker)
        passed = list(fds.values())
        if job.stdin is not None:
            passed.append(undo.enter_context(_in_memory(job.stdin)))
            words += ["-fw_cfg", f"name={STDIN_NAME},file=/dev/fd/{passed[-1]}"]
        with (scratch / "qemu.log").open("wb") as log:
            qemu = command.spawn(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdout=log.fileno(),
                stderr=log.fileno(),
                env={**os.environ, "TMPDIR": str(scratch)},
                cwd=scratch,
                pass_fds=passed,
            )
        undo.callback(_end, qemu)
        for _ours, theirs in ports.values():
            theirs.close()
        heard = {name: ports[name][0] for name in PORTS}
        watch = None if watching is None else watching(ports[CONTROL][0])
        return Listener(qemu, heard, machine.boot_deadline_s, job.timeout_s, scratch, watch).serve()


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """A descriptor from which to read it, without a file."""
    fd = os.memfd_create("emu")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def qemu_command_line(
    guest: GuestImage,
    how: Sequence[str],
    machine: Machine,
    used: Sequence[Disk],
    ports: Mapping[str, int],
    shares: Sequence[Share],
    console: Path,
    *,
    docker: bool = True,
) -> list[str]:
    """The words that start the guest. `ports` are connected sockets, by the name that the guest finds them under.
    Without `docker` none is started in it.
    """
    append = " ".join(
        [_APPEND, *([] if docker else [_WITHOUT_DOCKER]), *([] if machine.swap_bytes else ["systemd.swap=no"])]
    )
    words = ["qemu-system-x86_64", *how, "-smp", str(machine.cpus), "-m", f"{machine.memory_bytes // 2**20}M"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
    words += ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", append]
    words += ["-serial", f"file:{_escaped(console)}", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    for disk in used:
        lasting = "off" if disk.kept else "on"
        words += ["-drive", f"file={_escaped(disk.path)},if=virtio,format=raw,cache=unsafe,snapshot={lasting}"]
    for name, fd in ports.items():
        words += ["-chardev", f"socket,id={name},fd={fd},server=off"]
        words += ["-device", f"virtserialport,chardev={name},name={name}"]
    for number, share in enumerate(shares):
        readonly = "off" if share.writable else "on"
        words += ["-virtfs", f"local,path={_escaped(share.host)},mount_tag=share{number},security_model=none"]
        words[-1] += f",readonly={readonly},multidevs=remap"
    return words


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory for one guest's own disks, gone afterwards; what killed runs left behind goes now.

    The lock that its owner holds on each shows that it is alive.
    """
    parent = leftovers.scratch_home()
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        with disks.locked(parent / "lock"):
            leftovers.remove_unowned(parent)
            scratch = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX, dir=parent)).resolve()
            undo.callback(disks.remove, scratch)
            undo.enter_context(disks.locked(scratch))
        yield scratch


def _end(qemu: subprocess.Popen[bytes]) -> None:
    qemu.terminate()
    try:
        qemu.wait(5)
    except subprocess.TimeoutExpired:
        qemu.kill()
        qemu.wait()


def _escaped(path: Path) -> str:
    """QEMU's option syntax: a comma in a name is doubled."""
    return str(path).replace(",", ",,")
