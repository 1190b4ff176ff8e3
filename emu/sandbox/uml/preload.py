"""A library preloaded into `linux.uml` (native/ptrace.c): without it the guest's processes would run on as the host's
when their kernel is killed, and the guest panics where the processor has AMX.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from emu.machine import command
from emu.sandbox.uml.parts import install_line

_SOURCE = Path(__file__).parent / "native" / "ptrace.c"


def has_amx(cpuinfo: str | None = None) -> bool:
    """Whether this processor saves more floating point state than UML before Linux 6.13 has room for.

    A kernel that is new enough loses nothing by it, so versions are not compared.
    """
    text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    return any(line.startswith("flags") and " amx_tile" in line for line in text.splitlines())


def library(directory: Path, cc: Path) -> Path:
    """The built library, kept in `directory` under a name that changes with its source and the processor's kind.

    Raises:
        EmuError: The compiler does not work.

    """
    options = ["-DWHOLE_XSTATE"] if has_amx() else []
    version = hashlib.sha256(_SOURCE.read_bytes() + " ".join(options).encode()).hexdigest()[:12]
    built = directory / f"ptrace-{version}.so"
    if built.exists():
        return built
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = built.with_suffix(f".{os.getpid()}.tmp")
    command.run(
        [str(cc), *options, "-shared", "-fPIC", "-O2", "-nostdlib", "-o", str(unfinished), str(_SOURCE)],
        what="cannot build the library that User-Mode Linux needs",
        fix=f"use a working C compiler: {install_line(['tcc'])}",
        timeout_s=60,
    )
    unfinished.rename(built)
    return built
