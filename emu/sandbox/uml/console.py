"""The console of a guest's kernel: only ever read to say what went wrong."""

from __future__ import annotations

import os
import re
from collections import deque
from contextlib import suppress
from typing import IO

from emu.errors import EmuError
from emu.sandbox.uml import keeper

_KEPT_LINES = 400
_SHOWN_LINES = 30
_STACK = re.compile(r"\s*\[<[0-9a-f]+>\]")  # a kernel's stack trace would push out the line with the cause
_KILLED = re.compile(f"{keeper.SAYS}|ptrace [sg]et regs failed|wait_stub_done : failed")
"""Somebody ended a process of the kernel's (the keeper's words, and the kernel's)."""


class SandboxError(EmuError):
    """The sandbox itself failed: it did not come up, panicked, or stopped answering."""

    cause = ""
    """`why` without the end of the guest's console."""


class GuestConsole:
    """The last lines of a console. `log` gets a copy of everything."""

    def __init__(self, fd: int, log: IO[bytes] | None) -> None:
        self.fd = fd
        self._log = log
        self._lines: deque[str] = deque([""], maxlen=_KEPT_LINES)

    def read(self) -> None:
        """Take in what the guest has printed so far, without waiting."""
        with suppress(BlockingIOError):
            while data := os.read(self.fd, 65536):
                if self._log is not None:
                    self._log.write(data)
                    self._log.flush()
                first, *others = data.decode(errors="replace").replace("\r", "").split("\n")
                self._lines[-1] += first
                self._lines.extend(others)

    def panic(self) -> str | None:
        """The line of a kernel panic."""
        return next((line.strip() for line in self._lines if "Kernel panic" in line), None)

    def killed(self) -> str | None:
        """What it says of a process of the kernel's that somebody ended; None if nothing."""
        line = next((line.strip() for line in self._lines if _KILLED.search(line)), None)
        if line is None or line.startswith(keeper.SAYS):
            return line and line.removeprefix(keeper.SAYS)
        return f"a process of the guest's kernel was killed ({line})"

    def failure(self, what: str, why: str, fix: str, *, shown: bool = True) -> SandboxError:
        """The error that ends the guest, with the end of its console unless it is not to be `shown`."""
        with suppress(OSError):
            self.read()
        kept = [line for line in self._lines if line.strip() and not _STACK.match(line)]
        lines = kept[-_SHOWN_LINES:] if shown else []
        end = "; the end of its console:\n" + "\n".join(f"    {line}" for line in lines) if lines else ""
        failure = SandboxError(what, why + end, fix)
        failure.cause = why
        return failure
