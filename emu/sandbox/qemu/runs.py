"""A user's run in the virtual machine (`emu run --on vm`): what it needs is made, then emu records in it.

The run directory is the host's own, mounted in the guest at the same path, so that what was recorded is there however
the guest ends. emu's cache is there too, read-only, for the images that containers run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emu.machine import paths
from emu.machine.paths import ACCELERATOR, TRACEBACKS, own_cache_dir
from emu.runtime import images
from emu.sandbox.qemu import image as disks
from emu.sandbox.qemu.accelerator import KVM, MEMORY, accelerator, remembered
from emu.sandbox.qemu.guest import (
    DOCKER_BYTES,
    PROJECT,
    Disk,
    Machine,
    boot_and_run,
    docker_disk,
    scratch_directory,
)
from emu.sandbox.qemu.image import GuestImage, Say
from emu.sandbox.qemu.job import Job, Share, copy_program
from emu.sandbox.qemu.watch import Watch
from emu.sandbox.uml import terminal
from emu.spec.values import UNDESCRIBED
from emu.units import format_bytes

EMULATED = (
    "no usable KVM on this machine, so the virtual machine is emulated: it boots in some minutes, and what runs in "
    "it takes about ten times as long. Its memory figures are real; its times and rates are not those of hardware"
)
BOOT_DEADLINE_S = 900.0
"""An emulated boot takes half a minute on a quiet machine, and several on a busy one."""
_SLOWER = 4
"""So many times as long an emulated run may show no progress."""
_DISK_BYTES = 9 * 2**30
"""Of its root disk, where pods as processes write."""


@dataclass(frozen=True)
class Run:
    """What `record` is for: the command, the scenario it reads, the folder it may write to, what it needs of the
    machine, and when to give it up (watch.py).
    """

    argv: Sequence[str]
    scenario: str
    directory: Path
    memory_bytes: int
    swap_bytes: int
    docker: bool
    pulse: Callable[[], object]
    quiet_s: float


def room_bytes() -> int:
    """What may be written in it at most."""
    return paths.room_bytes(_DISK_BYTES)


def cpus() -> int:
    """As many as this machine has, and at least two, to be a machine of several."""
    return max(2, os.cpu_count() or 1)


def record(run: Run, say: Say, end_step: Callable[[], None]) -> int:
    """Run it in a fresh guest; its exit status (128+n for a signal that it did not end by in time). `end_step` is
    called when the guest is about to write. EmuError if a guest cannot be made here, GuestError if it failed.
    """
    own_cache_dir()
    guest = disks.build_image(say)
    packages = disks.python_packages(guest, disks.program_requirements(PROJECT), say)
    emulated = _is_emulated(guest, say)
    machine = Machine(run.memory_bytes, cpus(), run.swap_bytes, BOOT_DEADLINE_S)
    images.prepare(say)

    def plainly(text: str) -> None:  # the guest that builds images says which one
        say(text)
        end_step()

    usual = Machine(cpus=cpus(), boot_deadline_s=BOOT_DEADLINE_S)  # a scenario's may be too small to build in
    built = docker_disk(guest, packages, usual, plainly)[0] if run.docker else None
    with scratch_directory() as scratch:
        if built is None:
            disks.format_ext4(scratch / "docker.ext4", "emu-docker", DOCKER_BYTES)
        copy_program(PROJECT, scratch / "job/project", python=guest.python)
        job = Job(
            run.argv,
            _environment(emulated=emulated),
            _shares(run.directory),
            stdin=run.scenario.encode(),
            docker=run.docker,
        )
        say(booting(machine, emulated=emulated))

        def ready(kernel: str, after_s: float) -> None:
            say(f"Linux {kernel} ready after {after_s:.0f} s")
            end_step()

        with terminal.caught_signals() as signals:
            quiet_s = run.quiet_s * (_SLOWER if emulated else 1)
            watching = partial(Watch, signals=signals, on_ready=ready, pulse=run.pulse, quiet_s=quiet_s)
            docker = Disk(built or scratch / "docker.ext4")
            return boot_and_run(guest, packages, docker, machine, job, scratch, watching).status


def booting(machine: Machine, *, emulated: bool) -> str:
    """The line that is shown as it begins to boot."""
    sizes = f"{machine.cpus} CPUs, {format_bytes(machine.memory_bytes)} of memory, "
    sizes += f"{format_bytes(machine.swap_bytes)} of swap" if machine.swap_bytes else "no swap"
    return f"booting the virtual machine ({sizes}, {'emulated' if emulated else 'with KVM'}) …"


def _is_emulated(guest: GuestImage, say: Say) -> bool:
    memory = disks.cache_directory() / MEMORY
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and remembered(memory) is None:
        say("checking whether a guest boots with KVM here, for up to 12 s")
    emulated = accelerator(guest.kernel, memory) != KVM
    if emulated:
        say(EMULATED)
    return emulated


def _environment(*, emulated: bool) -> dict[str, str]:
    environment = {ACCELERATOR: "tcg" if emulated else "kvm", UNDESCRIBED: "1"}
    return environment | {"XDG_CACHE_HOME": str(paths.cache_dir().absolute().parent)}


def _shares(directory: Path) -> list[Share]:
    """In the order in which they are mounted: the folder for tracebacks lies in the cache."""
    cache = paths.cache_dir().absolute()
    tracebacks = cache / TRACEBACKS
    tracebacks.mkdir(mode=0o700, exist_ok=True)
    readable, writable = [cache], [tracebacks, directory]
    return [Share(path.resolve(), str(path), writable=path in writable) for path in (*readable, *writable)]
