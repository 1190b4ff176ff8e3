"""What the sandbox is made of: programs of the distribution, each with the package that brings it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.sandbox.uml.kernels import Kernel

ENGINE_PACKAGE = "docker.io"
"""The one package of the sandbox that a user may have in another form, from elsewhere."""
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # an ordinary user's PATH often lacks these
_JOURNALD = ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")


@dataclass(frozen=True)
class Parts:
    """Where the sandbox's programs are; absolute paths, the same outside and inside."""

    kernel: Path
    modules: Path
    dockerd: Path | None
    """None: not looked for, as is `iptables`."""
    iptables: Path | None
    journald: Path
    mkfs: Path
    copy: Path
    compiler: Path
    libc: Path | None = None
    """The C library that the kernel is loaded with, where it is not the machine's."""


def which(program: str) -> Path | None:
    """The program on PATH, or in the directories that only root's PATH usually has."""
    found = shutil.which(program) or shutil.which(program, path=_SBIN)
    return Path(found).absolute() if found else None


def _first(*candidates: str) -> Path | None:
    return next((path for path in map(Path, candidates) if path.exists()), None)


def compiler() -> Path | None:
    """Any C compiler."""
    return next((path for name in ("cc", "gcc", "clang", "tcc") if (path := which(name)) is not None), None)


# name → (how it is found, the package that brings it)
_WANTED: dict[str, tuple[Callable[[], Path | None], str]] = {
    "linux.uml": (lambda: which("linux.uml"), "user-mode-linux"),
    "/usr/lib/uml/modules": (lambda: _first("/usr/lib/uml/modules"), "user-mode-linux"),
    "dockerd": (lambda: which("dockerd"), "docker.io"),
    "containerd": (lambda: which("containerd"), "docker.io"),
    "runc": (lambda: which("runc"), "docker.io"),
    "xtables-legacy-multi": (lambda: which("xtables-legacy-multi"), "iptables"),
    "modprobe": (lambda: which("modprobe"), "kmod"),
    "mkfs.ext4": (lambda: which("mkfs.ext4"), "e2fsprogs"),
    "e2fsck": (lambda: which("e2fsck"), "e2fsprogs"),
    "ip": (lambda: which("ip"), "iproute2"),
    "systemd-journald": (lambda: _first(*_JOURNALD), "systemd"),
    "cp": (lambda: which("cp"), "coreutils"),
    "cc": (compiler, "tcc"),
}


FOR_DOCKER = frozenset(("dockerd", "containerd", "runc", "xtables-legacy-multi"))
"""What only a sandbox with a Docker engine needs."""


def missing_parts() -> dict[str, str]:
    """Programs that are not installed → the package that brings each."""
    return {name: package for name, (find, package) in _WANTED.items() if find() is None}


def install_line(packages: list[str]) -> str:
    """The command that installs packages, and removes none that are there."""
    return f"sudo apt-get install -y --no-install-recommends --no-remove {' '.join(packages)}"


def find_parts(*, docker: bool = True, kernel: Kernel | None = None) -> Parts:
    """Every program of the sandbox; one EmuError that names all that is missing, and the packages.

    `kernel`: a fetched one to boot instead of the distribution's.
    """
    wanted = {name: how for name, how in _WANTED.items() if docker or name not in FOR_DOCKER}
    found = {name: find() for name, (find, _package) in wanted.items()}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        packages = sorted({_WANTED[name][1] for name in absent})
        raise EmuError(
            "cannot start the sandbox",
            f"not installed: {', '.join(absent)}",
            f"{install_line(packages)}   (from a checkout: make install)",
        )
    there = {name: path for name, path in found.items() if path is not None}
    return Parts(
        kernel=there["linux.uml"] if kernel is None else kernel.program,
        modules=there["/usr/lib/uml/modules"] if kernel is None else kernel.modules,
        dockerd=there.get("dockerd"),
        iptables=there.get("xtables-legacy-multi"),
        journald=there["systemd-journald"],
        mkfs=there["mkfs.ext4"],
        copy=there["cp"],
        compiler=there["cc"],
        libc=None if kernel is None else kernel.libc,
    )
