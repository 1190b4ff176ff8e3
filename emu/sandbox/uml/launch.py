"""Starts a guest's kernel under its keeper (keeper.py), with the pipes that lead to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import emu
from emu.machine import command
from emu.machine.paths import own_cache_dir
from emu.sandbox.uml import leftovers, preload, shape
from emu.sandbox.uml.keeper import PRELOAD
from emu.sandbox.uml.parts import Parts

STOP_S = 30.0
"""How long a guest may take to end in order."""
_KEEPER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from emu.sandbox.uml.keeper import main; main()"


class Descriptors:
    """Descriptors closed together, once."""

    def __init__(self, *fds: int) -> None:
        self._fds = list(fds)

    def close(self) -> None:
        """Close those that are open yet."""
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@dataclass(frozen=True)
class Launched:
    """A running keeper, and the host's ends of the guest's channels."""

    keeper: subprocess.Popen[bytes]
    keeper_fd: int
    """Readable once it has ended."""
    to_guest: int
    from_guest: int
    console: int


def launch(
    undo: ExitStack,
    parts: Parts,
    *,
    memory_bytes: int,
    swap_bytes: int,
    scratch: Path,
    memory: Path,
    lock_fd: int,
) -> Launched:
    """Start it in its scratch directory, its memory a file in `memory`. `undo` gets what ends it. The image disk's
    lock passes to the guest's processes.
    """
    to_guest_read, to_guest = os.pipe()
    from_guest, from_guest_write = os.pipe()
    console, console_write = os.pipe()
    life_read, life_write = os.pipe()
    theirs = undo.enter_context(Descriptors(to_guest_read, from_guest_write, console_write, life_read))
    undo.enter_context(Descriptors(to_guest, from_guest, console))
    life = undo.enter_context(Descriptors(life_write))
    for fd in (to_guest, from_guest, console):
        os.set_blocking(fd, False)
    kernel = shape.kernel_command_line(
        parts,
        memory_bytes=memory_bytes,
        swap=swap_bytes > 0,
        scratch=scratch,
        line_in=to_guest_read,
        line_out=from_guest_write,
    )
    fds = [life_read, console_write, to_guest_read, from_guest_write]
    (scratch / PRELOAD).symlink_to(preload.library(own_cache_dir(), parts.compiler))
    keeper = command.spawn(
        _keeper_command_line(scratch, fds, kernel),
        stderr=console_write,
        stdout=console_write,
        env={**os.environ, "TMPDIR": str(memory)},
        pass_fds=(*fds, lock_fd),
    )
    theirs.close()
    undo.callback(_end, keeper, life)
    keeper_fd = os.pidfd_open(keeper.pid)
    undo.enter_context(Descriptors(keeper_fd))
    marks = (leftovers.mark(os.getpid()), leftovers.mark(keeper.pid))
    leftovers.GuestState(str(scratch), *marks, leftovers.boot_id()).save()
    return Launched(keeper, keeper_fd, to_guest, from_guest, console)


def _keeper_command_line(scratch: Path, fds: Sequence[int], kernel: Sequence[str]) -> list[str]:
    root = Path(emu.__file__).parents[1]
    python = [sys.executable, "-I", "-S", "-c", _KEEPER, str(root)]
    return [*python, str(scratch), str(own_cache_dir()), *map(str, fds), *kernel]


def _end(keeper: subprocess.Popen[bytes], life: Descriptors) -> None:
    """End whatever still runs: the keeper sees its pipe close, and kills the guest."""
    life.close()
    try:
        keeper.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()
