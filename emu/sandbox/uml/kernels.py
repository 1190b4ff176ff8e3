"""The kernels that a guest can boot: the distribution's, and a newer one that emu keeps in its cache (fetching.py).

The newer one lies beside the machine's own programs with the C library that it was linked with, in a folder named
after its package's version. It is used only once a guest has booted it here: the file `BOOTED` says so.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.machine.paths import own_cache_dir
from emu.sandbox.uml.keeper import LIBC

AUTO, DISTRIBUTION, FETCHED = "auto", "distribution", "fetched"
CHOICES = (AUTO, FETCHED, DISTRIBUTION)
"""`auto`: the fetched kernel where there is one, else the distribution's."""
CHOICE = "EMU_SANDBOX_KERNEL"
"""The environment variable that says what `auto` stands for."""
LOADER = f"./{LIBC}/ld.so"
"""The loader as the fetched kernel names it: relative to the scratch directory, in which it is started."""
HOW = "emu sandbox kernel --fetch"
BOOTED = "booted"
_PROGRAM = "linux.uml"
_MODULES = "modules"


@dataclass(frozen=True)
class Kernel:
    """A User-Mode Linux kernel that was fetched into the cache."""

    folder: Path

    @property
    def version(self) -> str:
        """Its package's version."""
        return self.folder.name

    @property
    def program(self) -> Path:
        """The kernel as an executable of this machine."""
        return self.folder / _PROGRAM

    @property
    def modules(self) -> Path:
        """The folder with a folder of modules for its release."""
        return self.folder / _MODULES

    @property
    def libc(self) -> Path:
        """Its C library and loader."""
        return self.folder / LIBC

    @property
    def release(self) -> str:
        """What `uname -r` says in a guest that it runs; "" before one has booted here."""
        try:
            return (self.folder / BOOTED).read_text().strip()
        except OSError:
            return ""

    def booted(self, release: str) -> None:
        """Note that a guest has: from here on `auto` means it."""
        unfinished = self.folder / f"{BOOTED}.{os.getpid()}"
        unfinished.write_text(f"{release}\n")
        unfinished.rename(self.folder / BOOTED)


def folder() -> Path:
    """Where fetched kernels are."""
    return own_cache_dir() / "kernel"


def fetched() -> Kernel | None:
    """The newest that has booted here."""
    there = [Kernel(path) for path in folder().glob("[!.]*") if (path / BOOTED).is_file()]
    return max(there, key=lambda kernel: _order(kernel.version), default=None)


def _order(version: str) -> list[tuple[int, str]]:
    """Versions by their numbers: 7.10 is after 7.9."""
    return [(int(number or 0), word) for number, word in re.findall(r"(\d+)|([^\d.]+)", version)]


def choose(wanted: str = AUTO) -> Kernel | None:
    """The fetched kernel to boot, or None for the distribution's.

    Raises:
        EmuError: A fetched one is asked for and none has booted here; or the environment asks for what there is not.

    """
    if wanted == AUTO:
        wanted = os.environ.get(CHOICE) or AUTO
        if wanted not in CHOICES:
            raise EmuError(
                f"cannot choose the sandbox's kernel: {CHOICE}={wanted}",
                "there is no such choice",
                f"use one of {', '.join(CHOICES)}, or unset it",
            )
    if wanted == DISTRIBUTION:
        return None
    kernel = fetched()
    if kernel is None and wanted == FETCHED:
        raise EmuError(
            "cannot start the sandbox",
            "it is to boot a fetched kernel, and none has been fetched",
            f"fetch one: {HOW}; or use the distribution's (sandbox.kernel: {DISTRIBUTION})",
        )
    return kernel


def remove(keep: Kernel | None = None) -> list[Path]:
    """Remove the fetched kernels, but for one to keep; return what was removed. Guests on a removed one keep running:
    they hold its files open, though they cannot load a further module.
    """
    gone = [path for path in sorted(folder().glob("[!.]*")) if keep is None or path != keep.folder]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone
