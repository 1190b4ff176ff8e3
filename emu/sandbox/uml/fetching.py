"""Fetches a newer User-Mode Linux kernel from Debian's development distribution into the cache.

With apt's own means: apt checks the signature of the distribution's index with Debian's keyring on this machine, and
each package by the index. Nothing is installed, and apt's own lists, sources and cache are left alone.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.sandbox.uml import kernels
from emu.sandbox.uml.keeper import LIBC
from emu.sandbox.uml.kernels import Kernel
from emu.sandbox.uml.launch import Descriptors
from emu.sandbox.uml.locks import locked

SUITE = "sid"
_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = ("user-mode-linux", "libc6")
_WHAT = "cannot fetch a newer kernel for the sandbox"
_FIX = f"the distribution's kernel works too; try again later: {kernels.HOW}"
_TIMEOUT_S = 600.0
_LIBRARIES = {"ld-linux-x86-64.so.2": "ld.so", "libc.so.6": "libc.so.6"}
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"
_PT_INTERP = 3


def obstacle() -> str | None:
    """Why none can be fetched on this machine; None if nothing is in the way but the network."""
    lacking = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if lacking:
        return f"it comes from Debian, and there is no {lacking[0]} here"
    if _keyring() is None:
        return "it comes from Debian, and Debian's keys are not on this machine (package debian-archive-keyring)"
    return None


def _keyring() -> str | None:
    return next((path for path in _KEYRINGS if Path(path).is_file()), None)


def fetch(say: Callable[[str], None]) -> Kernel:
    """The newest there is, unpacked in the cache; it has yet to boot.

    Raises:
        EmuError: This machine cannot fetch it, the mirror fails, or the packages are not as expected.

    """
    why = obstacle()
    if why is not None:
        raise EmuError(_WHAT, why, _FIX)
    place = kernels.folder()
    place.mkdir(mode=0o700, exist_ok=True)
    lock = locked(place / _LOCK)
    if lock is None:
        raise EmuError(_WHAT, "another emu fetches one now", "wait for it to end")
    with (
        Descriptors(lock),
        tempfile.TemporaryDirectory(dir=place, prefix=_UNFINISHED, ignore_cleanup_errors=True) as work,
    ):
        packages = _download(Path(work), say)
        version = packages["user-mode-linux"].name.split("_")[1]
        kernel = Kernel(place / version)
        if kernel.program.is_file():
            say(f"User-Mode Linux {version} is here already")
            return kernel
        say(f"unpacking User-Mode Linux {version}")
        made = _unpack(Path(work), packages)
        made.rename(kernel.folder)
        return kernel


def unfinished() -> list[Path]:
    """What a killed fetch left; empty while one is under way."""
    place = kernels.folder()
    if not place.is_dir() or (lock := locked(place / _LOCK)) is None:
        return []
    with Descriptors(lock):
        return sorted(place.glob(f"{_UNFINISHED}*"))


def _download(work: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """Package → its file."""
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    mirror = _mirror()
    (work / "apt.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nArchitectures: amd64\n"
        f"Signed-By: {_keyring()}\n"
    )
    options = {
        "Dir::Etc::SourceList": work / "apt.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::State::Status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",  # the folder is this user's alone
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    words = ["apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    env = {**os.environ, "LC_ALL": "C"}
    say(f"reading the list of Debian's packages ({SUITE}, 11 MB)")
    command.run([*words, "update", "--error-on=any"], what=_WHAT, fix=_FIX, timeout_s=_TIMEOUT_S, env=env)
    say("fetching User-Mode Linux and its C library (40 MB)")
    command.run(
        [*words, "download", *_PACKAGES], what=_WHAT, fix=_FIX, timeout_s=_TIMEOUT_S, env=env, cwd=work / "debs"
    )
    found = {name: next((work / "debs").glob(f"{name}_*.deb"), None) for name in _PACKAGES}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        raise EmuError(_WHAT, f"{mirror} has no package {' and '.join(absent)} in {SUITE}", _FIX)
    return {name: path for name, path in found.items() if path is not None}


def _mirror() -> str:
    """The one that this machine's apt uses for Debian, else Debian's own."""
    try:
        said = command.run(
            ["apt-get", "indextargets", "--format", "$(ORIGIN)/$(LABEL) $(REPO_URI)", "Created-By: Packages"],
            what=_WHAT,
            fix=_FIX,
            timeout_s=60,
        )
    except EmuError:
        return _MIRROR
    its_own = (line.removeprefix("Debian/Debian ") for line in said.splitlines() if line.startswith("Debian/Debian "))
    return next(its_own, _MIRROR)


def _unpack(work: Path, packages: dict[str, Path]) -> Path:
    """A folder as `Kernel` describes it."""
    for name, package in packages.items():
        command.run(["dpkg-deb", "-x", str(package), str(work / name)], what=_WHAT, fix=_FIX, timeout_s=_TIMEOUT_S)
    root, made = work / "user-mode-linux" / "usr", work / "made"
    try:
        (made / LIBC).mkdir(parents=True)
        program = (root / "bin/linux.uml").read_bytes()
        kernel = Kernel(made)
        kernel.program.write_bytes(with_loader(program, kernels.LOADER))
        kernel.program.chmod(0o755)
        (root / "lib/uml/modules").rename(kernel.modules)
        for library, as_name in _LIBRARIES.items():
            there = next(path for path in sorted((work / "libc6").rglob(library)) if path.is_file())
            shutil.copy(there, kernel.libc / as_name)
            (kernel.libc / as_name).chmod(0o755)
    except (OSError, StopIteration, ValueError) as wrong:
        raise EmuError(_WHAT, f"Debian's packages are not as expected: {wrong}", _FIX) from wrong
    return made


def with_loader(program: bytes, loader: str) -> bytes:
    """An ELF program of 64 bits that asks for another loader, whose name is no longer than that of its own.

    ValueError: it is no such program, asks for none, or the name is longer.
    """
    if program[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no ELF program of 64 bits")
    (at,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for header in range(at, at + size * count, size):
        (kind,) = struct.unpack_from("<I", program, header)
        if kind == _PT_INTERP:
            (offset,) = struct.unpack_from("<Q", program, header + 8)
            (room,) = struct.unpack_from("<Q", program, header + 32)
            if len(loader) >= room:
                raise ValueError(f"no room for the name {loader!r} of a loader")
            return program[:offset] + loader.encode().ljust(room, b"\0") + program[offset + room :]
    raise ValueError("the program asks for no loader")
