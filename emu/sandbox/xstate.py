"""A library preloaded into `linux.uml` where the processor has AMX, without which it panics (native/xstate.c)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from emu import command
from emu.errors import EmuError
from emu.sandbox.parts import install_line, which

COMPILERS = ("cc", "gcc", "clang", "tcc")
_SOURCE = Path(__file__).parent / "native" / "xstate.c"


def needed(cpuinfo: str | None = None) -> bool:
    """Whether this processor saves more floating point state than UML before Linux 6.13 has room for.

    A kernel that is new enough loses nothing by it, so versions are not compared.
    """
    text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    return any(line.startswith("flags") and " amx_tile" in line for line in text.splitlines())


def compiler() -> Path | None:
    """Any C compiler."""
    return next((path for name in COMPILERS if (path := which(name)) is not None), None)


def library(directory: Path) -> Path:
    """The built library, kept in `directory` under a name that changes with its source."""
    built = directory / f"xstate-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if built.exists():
        return built
    cc = compiler()
    if cc is None:
        raise EmuError(
            "cannot start the sandbox",
            "this processor has AMX, which User-Mode Linux needs a small library for, and there is no C compiler",
            install_line(["gcc"]),
        )
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = built.with_suffix(f".{os.getpid()}.tmp")
    command.run(
        [str(cc), "-shared", "-fPIC", "-O2", "-nostdlib", "-o", str(unfinished), str(_SOURCE)],
        what="cannot build the library that lets User-Mode Linux run on a processor with AMX",
        fix=f"use a working C compiler: {install_line(['gcc'])}",
        timeout_s=60,
    )
    unfinished.rename(built)
    return built
