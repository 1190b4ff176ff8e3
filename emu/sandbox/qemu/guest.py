"""Boots a whole Debian with systemd in QEMU and runs one command in it.

It shows what User-Mode Linux cannot (emu.sandbox.uml): Docker's systemd cgroup driver, journald as PID 1's own,
several CPUs, PSI and cpuset. Everything that a job needs goes in on disks made before the boot, so the guest has no
network:

    vda  root       the distribution, shared by all guests (image.py)
    vdb  docker     /var/lib/docker, with our container images built on it
    vdc  swap       empty, this guest's own
    vdd  job        the project's files, run.sh, the command: this guest's own
    vde  packages   what the project imports (image.py)

A guest's writes go to files that vanish with it; only a results directory, mounted by 9p, lasts. A guest serves one
job, so there is nothing to talk about with it: it is ended as soon as it has reported the exit status.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import emu
from emu.machine import command, paths
from emu.runtime import images
from emu.runtime.docker_images import DockerImages
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu.accelerator import accelerator
from emu.sandbox.qemu.image import GuestImage, Say
from emu.sandbox.qemu.job import Job, Share, copy_project, write_job
from emu.sandbox.qemu.listener import PORTS, GuestError, Listener, Outcome

PROJECT = Path(emu.__file__).resolve().parents[1]
"""The tree that a guest gets a copy of."""
_APPEND = (
    "root=/dev/vda rw console=ttyS0 loglevel=5 systemd.show_status=yes panic=-1 log_buf_len=4M "
    "psi=1 apparmor=0 mitigations=off net.ifnames=0 tsc=reliable"
)
_JOB_BYTES = 8 * 2**30
_DOCKER_BYTES = 24 * 2**30
_DOCKER_DISKS = 2


@dataclass(frozen=True)
class Machine:
    """What the guest has."""

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

    `results` is made if need be and is /results inside, the one place that lasts. `with_images`: the
    guest's Docker has our container images. EmuError if a guest cannot be made here, GuestError if it failed.
    """
    machine = machine or Machine()
    guest = disks.build_image(say, sources=sources)
    packages = disks.python_packages(guest, PROJECT, say)
    all_shares = list(shares)
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
        all_shares.append(Share(results.resolve(), "/results", writable=True))
    built = None
    if with_images:
        built, share = docker_disk(guest, packages, machine, say)
        all_shares.append(share)
    with scratch_directory() as scratch:
        if built is None:
            disks.format_ext4(scratch / "docker.ext4", "emu-docker", _DOCKER_BYTES)
        docker = Disk(built or scratch / "docker.ext4")
        job = Job(argv, env or {}, all_shares, timeout_s)
        return _boot_and_run(guest, packages, docker, machine, job, scratch)


def docker_disk(guest: GuestImage, packages: Path, machine: Machine, say: Say) -> tuple[Path, Share]:
    """A /var/lib/docker with our container images, built once in a guest of its own: without KVM that takes minutes.

    The share has what emu.runtime.images needs for that where there is no network; each run looks at it again.
    """
    artifacts = images.prepare(say)
    share = Share(paths.cache_dir() / "images", "/root/.cache/emu/images")
    base = disks.digest([guest.key, artifacts.key])
    sources = disks.digest(image.digest for image in images.ensure(_NoEngine(), artifacts))
    disk = disks.cache_directory() / "docker" / f"{base}-{sources}.ext4"

    def make(place: Path) -> None:
        say("building the container images in the guest's Docker, once for these sources")
        older = sorted(place.parent.glob(f"{base}-*.ext4"), key=lambda path: path.stat().st_mtime)
        if older:  # most of the work is in it: only images whose sources have changed are built
            disks.copy_sparse(older[-1], place)
        else:
            disks.format_ext4(place, "emu-docker", _DOCKER_BYTES)
        for path in older[:-_DOCKER_DISKS]:
            disks.remove(path)
        job = Job(["python3", "-m", "emu.sandbox.qemu.inside.build_images"], shares=[share])
        with scratch_directory() as scratch:
            outcome = _boot_and_run(guest, packages, Disk(place, kept=True), machine, job, scratch)
        if outcome.status != 0:
            raise GuestError(
                "cannot build the container images in the systemd guest",
                f"that ended with status {outcome.status}; what it said is above",
                "see whether they can be built elsewhere: emu images",
            )

    disks.made_once(disk, make)
    return disk, share


class _NoEngine(DockerImages):
    """Has no image and builds none: emu.runtime.images passes it what it would build, and from what."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        return None

    def build(self, tag: str, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> None:
        pass


def _boot_and_run(
    guest: GuestImage, packages: Path, docker: Disk, machine: Machine, job: Job, scratch: Path
) -> Outcome:
    copy_project(PROJECT, scratch / "job/project", python=guest.python)
    write_job(scratch / "job", job, keep_docker=docker.kept)
    disks.format_ext4(scratch / "job.ext4", "emu-job", _JOB_BYTES, scratch / "job")
    disks.format_swap(scratch / "swap.img", machine.swap_bytes)
    used = [Disk(guest.root), docker, Disk(scratch / "swap.img", kept=True), Disk(scratch / "job.ext4", kept=True)]
    used.append(Disk(packages))
    how = accelerator(guest.kernel, disks.cache_directory() / "accelerator")
    with ExitStack() as undo:
        ports = {name: socket.socketpair() for name in PORTS}
        for ours, theirs in ports.values():
            undo.callback(ours.close)
            undo.callback(theirs.close)
        fds = {name: theirs.fileno() for name, (_ours, theirs) in ports.items()}
        console = scratch / "console.log"
        words = qemu_command_line(guest, how, machine, used, fds, job.shares, console)
        with (scratch / "qemu.log").open("wb") as log:
            qemu = command.spawn(
                ["setpriv", "--pdeathsig", "KILL", *words],
                stdout=log.fileno(),
                stderr=log.fileno(),
                env={**os.environ, "TMPDIR": str(scratch)},
                pass_fds=list(fds.values()),
            )
        undo.callback(_end, qemu)
        for _ours, theirs in ports.values():
            theirs.close()
        heard = {name: ours for name, (ours, _theirs) in ports.items()}
        return Listener(qemu, heard, machine.boot_deadline_s, job.timeout_s, scratch).serve()


def qemu_command_line(
    guest: GuestImage,
    how: Sequence[str],
    machine: Machine,
    used: Sequence[Disk],
    ports: Mapping[str, int],
    shares: Sequence[Share],
    console: Path,
) -> list[str]:
    """The words that start the guest. `ports` are connected sockets, by the name that the guest finds them under."""
    words = ["qemu-system-x86_64", *how, "-smp", str(machine.cpus), "-m", f"{machine.memory_bytes // 2**20}M"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
    words += ["-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", _APPEND]
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
    parent = disks.cache_directory() / "scratch"
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        with disks.locked(parent / "lock"):
            for left in parent.glob("run-*"):
                if disks.is_unlocked(left):
                    disks.remove(left)
            scratch = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
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
