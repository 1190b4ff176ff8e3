"""A run's own processes beside its pod: the recorder, the load generator, the freezer daemon, the activator.

Each is a child of the run in a session of its own, so that Ctrl-C reaches only the run. What it says on standard
error is kept in the run directory, and shown if it does not start.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired

from emu.daemon.signals import name_of
from emu.errors import EmuError
from emu.machine import command
from emu.record.events import Note, now

START_S = 60.0
"""A start of Python on a busy machine takes seconds."""
END_S = 20.0
"""Longer than any of them takes to write what it knows; then it is killed."""
_MOST_SAID = 2000


def how_ended(status: int | None) -> str:
    """What became of a process with this exit status, -n after signal n."""
    return f"was ended by {name_of(-status)}" if status is not None and status < 0 else f"ended with status {status}"


class Helper:
    """One such process, which may be started again after it ended. Nothing is started by the constructor."""

    def __init__(self, name: str, said: Path) -> None:
        """`name` as people call it, with its article; `said` is the file for its standard error."""
        self.name = name
        self._said = said
        self._process: Popen[bytes] | None = None
        # No SimpleQueue: up to Python 3.12 its `get` waits for ever when a signal is handled as its timeout ends.
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader: threading.Thread | None = None

    def start(
        self,
        module: str,
        words: Iterable[str],
        *,
        stdin: bool = True,
        stdout: bool = True,
        pass_fds: Sequence[int] = (),
        on_line: Callable[[], None] = lambda: None,
    ) -> None:
        """Start `python -m MODULE WORDS`. `stdin`: it reads standard input, and exits with it. `stdout`: it writes
        lines to standard output, which `lines` yields; else they go to the file. `pass_fds` are open in it, too.
        `on_line` is called, in a thread, for each line.
        """
        with self._said.open("ab") as errors:
            process = self._process = command.spawn(
                [sys.executable, "-m", module, *words],
                stdin=PIPE if stdin else None,
                stdout=PIPE if stdout else errors.fileno(),
                stderr=errors.fileno(),
                pass_fds=pass_fds,
            )
        self._lines = queue.Queue()
        if stdout:
            self._reader = threading.Thread(target=_read, args=(process, self._lines, on_line), daemon=True)
            self._reader.start()

    @property
    def pid(self) -> int | None:
        """Of the process that was started last."""
        return None if self._process is None else self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, -n after signal n; None while it runs or where it was never started."""
        return None if self._process is None else self._process.poll()

    def line(self, wait_s: float) -> bytes:
        """The next line that it said on standard output; b"" when it says no more, or nothing in this time."""
        try:
            return self._lines.get(timeout=wait_s) if wait_s > 0 else self._lines.get_nowait()
        except queue.Empty:
            return b""

    def lines(self) -> Iterator[bytes]:
        """All lines since the last call."""
        while line := self.line(0.0):
            yield line

    def send(self, line: str) -> None:
        """Write a line to its standard input. If it has ended, the line is dropped: `status` says so."""
        assert self._process is not None and self._process.stdin is not None
        if self._process.stdin.closed:
            return
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def said(self) -> str:
        """The end of what it said on standard error."""
        return self._said.read_text(errors="replace").strip()[-_MOST_SAID:]

    def not_started(self) -> EmuError:
        """The error for one that is not there, whose output has ended or that was waited for long enough."""
        assert self._process is not None
        with suppress(TimeoutExpired):
            self._process.wait(1.0)
        what, status = f"{self.name} did not start", self.status
        if status is None:
            return EmuError(
                what, f"it printed nothing in {START_S:g} s", "run it again when the machine is less busy"
            )
        if status < 0:
            fix = "run it again; if nobody killed it, this machine may be short of memory"
            return EmuError(what, f"its process {how_ended(status)}", fix)
        return EmuError(
            what, self.said() or "it printed nothing", "this is a bug in emu; please report it with this message"
        )

    def ended_early(self, consequence: str, level: str = "warning") -> Note:
        """The event for one that exited before the end of the run."""
        why = f"its process {how_ended(self.status)}; {consequence}"
        return Note(t=now(), what=f"{self.name} exited before the end of the run", why=why, level=level)

    def end(self, *, terminate: bool = False) -> None:
        """End it and reap it: by the end of its standard input, by SIGTERM if asked, by SIGKILL if it does not. One
        that the kernel does not let go even then is left to it: no run waits for it for ever.
        """
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                # First: a helper ends by itself when its standard input does, and writes what it knows.
                process.stdin.close()
        if terminate and process.poll() is None:
            process.terminate()
        try:
            process.wait(END_S)
        except TimeoutExpired:
            process.kill()
            with suppress(TimeoutExpired):
                process.wait(END_S)
        if self._reader is not None:
            self._reader.join(END_S)


def _read(process: Popen[bytes], lines: queue.Queue[bytes], on_line: Callable[[], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
        on_line()
    lines.put(b"")
    on_line()
