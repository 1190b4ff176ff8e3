"""Boots User-Mode Linux and runs commands in it.

The guest's kernel is one ordinary process, `linux.uml`, held by a keeper (keeper.py). Its root is the host's own tree
with a guest-only layer above it; shared directories are written straight through (inside/init.sh). A serial line on a
pair of pipes carries everything between `Guest` and the guest's agent (inside/wire.py). The console is only ever read
to show what went wrong.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import emu
from emu.errors import EmuError
from emu.machine.silence import Silence
from emu.sandbox.uml import disk, keeper, kernels, leftovers, mconsole, shape, terminal
from emu.sandbox.uml.console import GuestConsole, SandboxError
from emu.sandbox.uml.inside import wire
from emu.sandbox.uml.launch import STOP_S, Descriptors, launch
from emu.sandbox.uml.line import Line
from emu.sandbox.uml.parts import Parts, find_parts
from emu.sandbox.uml.session import Session
from emu.units import format_bytes

MEMORY_BYTES = 3 * 2**30
"""The guest's memory by default."""
SWAP_BYTES = 2 * 2**30
"""The guest's swap by default."""
BOOT_DEADLINE_S = 180.0
"""A boot takes five seconds, and thirty times that beside other guests on a machine with few processors."""
EXIT_SANDBOX = 125
"""What `emu sandbox run` ends with when the sandbox itself failed (as `docker run` does)."""


@dataclass(frozen=True)
class GuestFacts:
    """What came up: the guest kernel's release, Docker's version (None: it was not wanted), and how long it took."""

    kernel: str
    docker: str | None
    boot_s: float


@dataclass
class Guest:
    """A booted guest, as a context manager; `run` runs a command in it. Leaving it powers the guest off.

    `shares` are mounted at the same path besides the working directory; `shown` are there too, read-only.
    `console_log` gets a copy of the console.
    `say` is called with progress, a line at a time. `hang_s`: a guest silent for so long is given up; it is long,
    because a guest short of memory is slow and not dead.
    """

    memory_bytes: int = MEMORY_BYTES
    swap_bytes: int = SWAP_BYTES
    shares: Sequence[Path] = ()
    console_log: Path | None = None
    say: Callable[[str], None] = lambda _text: None
    boot_deadline_s: float = BOOT_DEADLINE_S
    hang_s: float = 180.0
    docker: bool = True
    """Whether a Docker engine is started, which takes most of the boot."""
    shown: Sequence[Path] = ()
    kernel: str = kernels.AUTO
    """Which kernel it boots: one of kernels.CHOICES."""
    fetched: kernels.Kernel | None = None
    """A fetched kernel to boot whatever `kernel` says: one that has yet to show that it boots."""
    facts: GuestFacts | None = field(default=None, init=False)
    scratch: Path | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with ExitStack() as undo:
            self._stack = undo
            self._boot(undo)
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._launched.keeper.poll() is None and not isinstance(error, SandboxError):
                self._power_off()

    # -- boot

    def _boot(self, undo: ExitStack) -> None:
        began = time.monotonic()
        shape.check_sizes(self.memory_bytes, self.swap_bytes)
        parts = find_parts(docker=self.docker, kernel=self.fetched or kernels.choose(self.kernel))
        shares = shape.shared_directories([Path.cwd(), *self.shares])
        memory_place = shape.memory_directory(self.memory_bytes)
        memory = leftovers.make_owned(memory_place, "emu-")
        undo.callback(_remove_if_empty, memory)
        image_disk = disk.take(parts, self.say)
        lock = undo.enter_context(Descriptors(image_disk.lock_fd))
        log: IO[bytes] | None = None
        if self.console_log is not None:
            log = undo.enter_context(_open_log(self.console_log))
        scratch = self.scratch = leftovers.make_scratch()
        undo.callback(self._remove_scratch, scratch)
        self._fill_scratch(scratch, parts, shares, image_disk.path, memory)
        self.say(f"booting the User-Mode Linux sandbox ({format_bytes(self.memory_bytes)} of memory) …")
        launched = self._launched = launch(
            undo,
            parts,
            memory_bytes=self.memory_bytes,
            swap_bytes=self.swap_bytes,
            scratch=scratch,
            memory=memory,
            lock_fd=image_disk.lock_fd,
        )
        lock.close()  # from here on the guest's processes hold it
        self._line = Line(
            to_guest=launched.to_guest,
            from_guest=launched.from_guest,
            console=GuestConsole(launched.console, log),
            keeper=launched.keeper,
            keeper_fd=launched.keeper_fd,
            hang_s=self.hang_s,
            diagnose=partial(mconsole.diagnosis, scratch),
        )
        self._await_ready(began, image_disk.path)
        _remove_if_empty(memory)  # what it was for has no name, and needs it no more

    def _fill_scratch(
        self, scratch: Path, parts: Parts, shares: Sequence[Path], image_disk: Path, memory: Path
    ) -> None:
        settings = {
            "EMU_MODULES": parts.modules.resolve(),
            "EMU_IPTABLES": parts.iptables or "",
            "EMU_ENGINE": "docker" if self.docker else "none",
            "EMU_DOCKERD": parts.dockerd or "",
            "EMU_JOURNALD": parts.journald,
            "EMU_PYTHON": Path(sys.executable).resolve(),
            "EMU_ROOT": Path(emu.__file__).resolve().parents[1],
        }
        text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in settings.items())
        (scratch / "settings.sh").write_text(text)
        (scratch / "shares").write_text(_lines(shares))
        (scratch / "programs").write_text(_lines(shape.programs(shares, self.shown)))
        (scratch / shape.SOCKETS).mkdir()
        disk.make_sparse(scratch / "swap.img", self.swap_bytes)
        own = [scratch / shape.SOCKETS, scratch / "swap.img"]  # not all of it: what it says of the guest is believed
        (scratch / keeper.WRITABLE).write_text(_lines([*own, *shares, image_disk, memory]))
        shutil.copy(Path(__file__).parent / "inside" / "init.sh", scratch / "init.sh")
        (scratch / "init.sh").chmod(0o755)
        (scratch / "docker.ext4").symlink_to(image_disk)
        if parts.libc is not None:
            (scratch / keeper.LIBC).symlink_to(parts.libc)

    def _remove_scratch(self, scratch: Path) -> None:
        """Usually the keeper did it. Where it was killed, what it kept is ended here, and its record goes last."""
        if scratch.exists() and not leftovers.remove(scratch):
            self.say(f"some of the guest's processes cannot be killed now; emu clean will retry ({scratch})")

    def _await_ready(self, began: float, image_disk: Path) -> None:
        waited = Silence(time.monotonic())  # not from when its disk began to be made
        while True:
            while self._line.frames:
                frame = self._line.frames.popleft()
                if frame.kind == wire.FAILED:
                    said = boot_failure(frame.payload.decode(), image_disk, self.scratch)
                    raise self._line.failure("the guest did not boot", *said, console=False)
                if frame.kind == wire.READY:
                    self._line.up = True
                    ready = frame.json()
                    self.facts = GuestFacts(ready["kernel"], ready["docker"], time.monotonic() - began)
                    up = f"Linux {self.facts.kernel}"
                    up += f" with Docker {self.facts.docker}" if self.facts.docker else ""
                    self.say(f"{up} ready after {self.facts.boot_s:.1f} s")
                    return
            if waited.seconds(time.monotonic()) > self.boot_deadline_s:
                raise self._line.failure(
                    "the guest did not boot",
                    f"it was not ready after {self.boot_deadline_s:.0f} s",
                    "try again when the machine is less busy, or allow more time: --boot-deadline 10m",
                )
            self._line.turn({}, 0.5)

    # -- one command

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = 0,
        stdout: int = 1,
        stderr: int = 2,
        interactive: bool = False,
        grace_s: float = 60.0,
        quiet_s: float | None = None,
        pulse: Callable[[], object] = lambda: None,
    ) -> int:
        """Run a command; pass its streams through live, byte for byte; return its exit status (128+n for signal n).

        Streams that are terminals here are terminals there. SIGINT, SIGTERM and SIGHUP are passed to the command; if
        it has not ended `grace_s` later, or at the third signal, the guest is ended. `interactive`: Ctrl-C is a key
        like any other. `stdin` None is an empty input. `quiet_s`: a command is given up that has said
        nothing for so long, and whose `pulse` is what it was then.
        """
        rows, columns = terminal.size(stdout, stderr, stdin)
        session = Session(self._line, self.say, stdin, stdout, stderr, grace_s, quiet_s, pulse)
        with (
            terminal.caught_signals() as signals,
            terminal.passing_keys(stdin, keep_interrupt=not interactive) as keys,
        ):
            self._line.send(
                wire.message(
                    wire.START,
                    argv=list(argv),
                    cwd=str(cwd or Path.cwd()),
                    env=shape.guest_environment(os.environ if env is None else env),
                    tty=[terminal.is_terminal(fd) for fd in (stdin, stdout, stderr)],
                    raw=keys and terminal.is_terminal(stdin),
                    rows=rows,
                    columns=columns,
                )
            )
            return session.serve(signals, read_stdin=keys)

    def _power_off(self) -> None:
        """Ask the guest to write everything and end; then see it end."""
        self._line.send(wire.encode(wire.Frame(wire.STOP)))
        deadline = time.monotonic() + STOP_S
        with suppress(SandboxError):
            while time.monotonic() < deadline:
                self._line.frames.clear()
                self._line.turn({}, 0.5)


def boot_failure(why: str, image_disk: Path, scratch: Path | None) -> tuple[str, str]:
    """Why a guest did not come up, and what to do, by what its agent said."""
    others = leftovers.strangers(disk.users(image_disk), scratch or Path())
    if others:
        _verdict, *said = why.splitlines()  # what a disk looks like that another writes to says nothing
        why = "\n".join([f"the image disk {image_disk} is in use by pid {', '.join(map(str, others))}", *said])
        return why, "wait for that sandbox to end, or stop it; emu clean removes what killed runs left behind"
    if "damaged" in why.splitlines()[0]:
        return why, "drop the image disk; images are built again on the next run: emu sandbox reset"
    return why, "look at the messages above; emu doctor lists what the sandbox needs"


def _open_log(path: Path) -> IO[bytes]:
    """EmuError where a log cannot go, or would wait for a reader (a pipe)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_char_device()):
            raise OSError(errno.EINVAL, "it is neither a file nor a terminal")
        return path.open("wb")
    except OSError as error:
        raise EmuError(f"cannot keep the console in {path}", error.strerror or str(error), "name a file") from error


def _lines(paths: Iterable[Path]) -> str:
    return "".join(f"{path}\n" for path in paths)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def run(guest: Guest, argv: Sequence[str], *, env: Mapping[str, str] | None = None, interactive: bool = False) -> int:
    """Boot a guest, run one command in it with this process's streams, power off; return its exit status."""
    with terminal.interrupting_signals(), guest:
        return guest.run(argv, env=env, interactive=interactive)
