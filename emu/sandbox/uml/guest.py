"""Boots User-Mode Linux and runs commands in it.

The guest's kernel is one ordinary process, `linux.uml`, held by a keeper (keeper.py). Its root is the host's own tree
with a guest-only layer above it; shared directories are written straight through (inside/init.sh). A serial line on a
pair of pipes carries everything between `Guest` and the guest's agent (inside/wire.py). The console is only ever read
to tell what went wrong.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import emu
from emu.errors import EmuError
from emu.machine import command
from emu.machine.paths import own_cache_dir
from emu.sandbox.uml import disk, keeper, leftovers, preload, shape, terminal
from emu.sandbox.uml.inside import wire
from emu.sandbox.uml.parts import Parts, find_parts
from emu.sandbox.uml.session import Session
from emu.units import format_bytes

MEMORY_BYTES = 3 * 2**30
"""The guest's memory, unless told otherwise."""
SWAP_BYTES = 2 * 2**30
"""The guest's swap, unless told otherwise."""
EXIT_SANDBOX = 125
"""What `emu sandbox run` ends with when the sandbox itself failed (as `docker run` does)."""

_KEEPER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from emu.sandbox.uml.keeper import main; main()"
_CONSOLE_LINES = 30
_STACK = re.compile(r"\s*\[<[0-9a-f]+>\]")  # a kernel's stack trace would push out what tells the cause
_KILLED = re.compile(f"{keeper.SAYS}|ptrace [sg]et regs failed|wait_stub_done : failed")
"""On a console: somebody ended a process of the kernel's (the keeper's words, and the kernel's)."""
_STOP_S = 30.0


class SandboxError(EmuError):
    """The sandbox itself failed: it did not come up, panicked, or stopped answering."""

    cause = ""
    """`why` without the end of the guest's console."""


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
    `say` is told of progress, a line at a time. `hang_s`: a guest silent for so long is given up; it is long,
    because a guest short of memory is slow and not dead.
    """

    memory_bytes: int = MEMORY_BYTES
    swap_bytes: int = SWAP_BYTES
    shares: Sequence[Path] = ()
    console_log: Path | None = None
    say: Callable[[str], None] = lambda _text: None
    boot_deadline_s: float = 60.0
    hang_s: float = 180.0
    docker: bool = True
    """Whether a Docker engine is started, which takes most of the boot."""
    shown: Sequence[Path] = ()
    facts: GuestFacts | None = field(default=None, init=False)
    scratch: Path | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._console: deque[str] = deque([""], maxlen=400)
        self.frames: deque[wire.Frame] = deque()
        self._unsent = bytearray()
        self._in_flight = 0
        self._decoder = wire.Decoder()
        self._heard = time.monotonic()
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
            if self._keeper.poll() is None and not isinstance(error, SandboxError):
                self._power_off()

    # -- boot

    def _boot(self, undo: ExitStack) -> None:
        began = time.monotonic()
        shape.check_sizes(self.memory_bytes, self.swap_bytes)
        parts = find_parts(docker=self.docker)
        shares = shape.shared_directories([Path.cwd(), *self.shares])
        memory_place = shape.memory_directory(self.memory_bytes)
        self._memory = leftovers.make_owned(memory_place, "emu-")
        undo.callback(_remove_if_empty, self._memory)
        image_disk = disk.take(parts, self.say)
        self._disk = image_disk.path
        lock = undo.enter_context(_Descriptors(image_disk.lock_fd))
        log: IO[bytes] | None = None
        if self.console_log is not None:
            log = undo.enter_context(_open_log(self.console_log))
        self._log = log
        scratch = self.scratch = leftovers.make_scratch()
        undo.callback(self._remove_scratch, scratch)
        self._fill_scratch(scratch, parts, shares, image_disk.path)
        self.say(f"booting our own kernel (User-Mode Linux, {format_bytes(self.memory_bytes)} of memory) …")
        self._start_keeper(undo, parts, scratch, image_disk.lock_fd)
        lock.close()  # from here on the guest's processes hold it
        self._await_ready(began)

    def _fill_scratch(self, scratch: Path, parts: Parts, shares: Sequence[Path], image_disk: Path) -> None:
        settings = {
            "EMU_MODULES": parts.modules,
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
        (scratch / keeper.WRITABLE).write_text(_lines([*own, *shares, image_disk, self._memory]))
        shutil.copy(Path(__file__).parent / "inside" / "init.sh", scratch / "init.sh")
        (scratch / "init.sh").chmod(0o755)
        (scratch / "docker.ext4").symlink_to(image_disk)

    def _start_keeper(self, undo: ExitStack, parts: Parts, scratch: Path, lock_fd: int) -> None:
        to_guest_read, self._to_guest = os.pipe()
        self._from_guest, from_guest_write = os.pipe()
        self._console_fd, console_write = os.pipe()
        life_read, life_write = os.pipe()
        theirs = undo.enter_context(_Descriptors(to_guest_read, from_guest_write, console_write, life_read))
        undo.enter_context(_Descriptors(self._to_guest, self._from_guest, self._console_fd))
        life = undo.enter_context(_Descriptors(life_write))
        for fd in (self._to_guest, self._from_guest, self._console_fd):
            os.set_blocking(fd, False)
        argv = shape.kernel_command_line(
            parts,
            memory_bytes=self.memory_bytes,
            swap=self.swap_bytes > 0,
            scratch=scratch,
            line_in=to_guest_read,
            line_out=from_guest_write,
        )
        fds = [life_read, console_write, to_guest_read, from_guest_write]
        (scratch / "ptrace.so").symlink_to(preload.library(own_cache_dir(), parts.compiler))
        # LD_PRELOAD is split at spaces, so no path of the user's may be in it
        env = {**os.environ, "TMPDIR": str(self._memory), "EMU_PRELOAD": "./ptrace.so"}
        self._keeper = command.spawn(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _KEEPER,
                str(Path(emu.__file__).parents[1]),
                str(scratch),
                str(own_cache_dir()),
                *map(str, fds),
                *argv,
            ],
            stderr=console_write,
            stdout=console_write,
            env=env,
            pass_fds=(*fds, lock_fd),
        )
        theirs.close()
        undo.callback(self._end_keeper, life)
        self._keeper_fd = os.pidfd_open(self._keeper.pid)
        undo.enter_context(_Descriptors(self._keeper_fd))
        leftovers.GuestState(
            str(scratch), leftovers.mark(os.getpid()), leftovers.mark(self._keeper.pid), leftovers.boot_id()
        ).save()

    def _end_keeper(self, life: _Descriptors) -> None:
        """End whatever still runs: the keeper sees its pipe close, and kills the guest."""
        life.close()
        try:
            self._keeper.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.wait()

    def _remove_scratch(self, scratch: Path) -> None:
        """Usually the keeper did it. Where it was killed, what it kept is ended here, and its record goes last."""
        if scratch.exists() and not leftovers.remove(scratch):
            self.say(f"some of the guest's processes cannot be ended now; emu clean tries again ({scratch})")

    def _await_ready(self, began: float) -> None:
        deadline = began + self.boot_deadline_s
        while True:
            while self.frames:
                frame = self.frames.popleft()
                if frame.kind == wire.FAILED:
                    self._boot_failed(frame.payload.decode())
                if frame.kind == wire.READY:
                    _remove_if_empty(self._memory)  # what it was for has no name, and needs it no more
                    ready = frame.json()
                    self.facts = GuestFacts(ready["kernel"], ready["docker"], time.monotonic() - began)
                    up = f"Linux {self.facts.kernel}"
                    up += f" with Docker {self.facts.docker}" if self.facts.docker else ""
                    self.say(f"{up} ready after {self.facts.boot_s:.1f} s")
                    return
            if time.monotonic() > deadline:
                raise self.failure(
                    "the guest did not come up",
                    f"it was not ready after {self.boot_deadline_s:.0f} s",
                    "try again when the machine is less busy, or allow more time: --boot-deadline 3m",
                )
            self.turn({}, 0.5)

    def _boot_failed(self, why: str) -> None:
        fix = "look at the messages above; emu doctor lists what the sandbox needs"
        others = sorted({*disk.users(self._disk)} - {*leftovers.processes(self.scratch or Path())})
        if others:
            _verdict, *said = why.splitlines()  # what a disk looks like that another writes to says nothing
            why = "\n".join([f"the image disk {self._disk} is in use by pid {', '.join(map(str, others))}", *said])
            fix = "wait for that sandbox to end, or end it; emu clean ends what killed runs left behind"
        elif "damaged" in why.splitlines()[0]:
            fix = "drop the image disk; images are built again on the next run: emu sandbox reset"
        raise self.failure("the guest did not come up", why, fix, console=False)

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
        session = Session(self, stdin, stdout, stderr, grace_s, quiet_s, pulse)
        with (
            terminal.caught_signals() as signals,
            terminal.passing_keys(stdin, keep_interrupt=not interactive) as keys,
        ):
            self.send(
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

    # -- the line

    def send(self, data: bytes) -> None:
        """Queue encoded frames for the guest."""
        self._unsent += data

    def turn(self, wanted: Mapping[int, int], wait_s: float, *, listen: bool = True) -> dict[int, int]:
        """Wait for something to happen, handle our own channels; return which of `wanted` are ready."""
        poller = select.poll()
        for fd, events in wanted.items():
            poller.register(fd, events)
        poller.register(self._console_fd, select.POLLIN)
        if listen:
            poller.register(self._from_guest, select.POLLIN)
            poller.register(self._keeper_fd, select.POLLIN)
        else:
            self._heard = time.monotonic()  # we do not listen, so silence proves nothing
        if self._unsent and self._in_flight < wire.LINE_WINDOW:
            poller.register(self._to_guest, select.POLLOUT)
        ready = dict(poller.poll(wait_s * 1000))
        if self._console_fd in ready:
            self._read_console()
            if self.facts is not None and self._killed() is not None:
                self._gone()
        if self._to_guest in ready:
            with suppress(BlockingIOError, BrokenPipeError):
                sent = os.write(self._to_guest, self._unsent[: wire.LINE_WINDOW - self._in_flight])
                del self._unsent[:sent]
                self._in_flight += sent
        if self._from_guest in ready:
            self._read_line()
        elif self._keeper_fd in ready:  # and nothing more on the line
            self._gone()
        if time.monotonic() - self._heard > self.hang_s and self.facts is not None:
            raise self.failure(
                "the guest hangs",
                f"its agent has not answered for {self.hang_s:.0f} s",
                "run it again; if it recurs, give the guest more memory (--memory)",
            )
        return {fd: events for fd, events in ready.items() if fd in wanted}

    def _read_line(self) -> None:
        data = os.read(self._from_guest, 2**18)
        if not data:
            self._gone()
        self._heard = time.monotonic()
        for frame in self._decoder.feed(data):
            if frame.kind == wire.RECEIVED:
                self._in_flight -= frame.json()["bytes"]
            elif frame.kind != wire.BEAT:
                self.frames.append(frame)

    def _read_console(self) -> None:
        with suppress(BlockingIOError):
            while data := os.read(self._console_fd, 65536):
                if self._log is not None:
                    self._log.write(data)
                    self._log.flush()
                first, *others = data.decode(errors="replace").replace("\r", "").split("\n")
                self._console[-1] += first
                self._console.extend(others)

    def _gone(self) -> None:
        """The line is at its end, or the keeper or a process of the kernel has ended: the guest has gone, or goes."""
        if self._killed() is None:
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(timeout=5)
            self._read_console()
        panic = next((line.strip() for line in self._console if "Kernel panic" in line), None)
        if panic is not None:
            raise self.failure("the guest's kernel panicked", panic, "run it again; report it if it recurs")
        code = self._keeper.returncode
        killed = self._killed()
        if killed is not None:
            why = killed
        elif code is not None and code < 0:
            why = f"the process that keeps it was ended by signal {-code} ({signal.Signals(-code).name})"
        elif code is not None and code > 128:
            why = f"linux.uml was ended by signal {code - 128}"
        else:
            why = "linux.uml was killed" if code is None else f"linux.uml ended with status {code}"
        raise self.failure(
            "the guest ended by itself",
            why,
            "run it again; if nobody ended that process, this machine may be short of memory: give the guest less "
            "(sandbox.memory in a scenario, --memory of emu sandbox)",
        )

    def _killed(self) -> str | None:
        """What the console says of a process of the kernel's that somebody ended; None if nothing."""
        line = next((line.strip() for line in self._console if _KILLED.search(line)), None)
        if line is None or line.startswith(keeper.SAYS):
            return line and line.removeprefix(keeper.SAYS)
        return f"a process of the guest's kernel was killed ({line})"

    def failure(self, what: str, why: str, fix: str, *, console: bool = True) -> SandboxError:
        """The error that ends the guest, with the end of its console."""
        with suppress(OSError):
            self._read_console()
        told = [line for line in self._console if line.strip() and not _STACK.match(line)]
        lines = told[-_CONSOLE_LINES:]
        cause = why
        if console and lines:
            why += "; the end of its console:\n" + "\n".join(f"    {line}" for line in lines)
        failure = SandboxError(what, why, fix)
        failure.cause = cause
        return failure

    def give_up(self) -> None:
        """End it at once."""
        self._keeper.terminate()

    def _power_off(self) -> None:
        """Ask the guest to write everything and end; then see it end."""
        self.send(wire.encode(wire.Frame(wire.STOP)))
        deadline = time.monotonic() + _STOP_S
        with suppress(SandboxError):
            while time.monotonic() < deadline:
                self.frames.clear()
                self.turn({}, 0.5)


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


class _Descriptors:
    """Descriptors closed together, once."""

    def __init__(self, *fds: int) -> None:
        self._fds = list(fds)

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def run(
    argv: Sequence[str],
    *,
    memory_bytes: int = MEMORY_BYTES,
    swap_bytes: int = SWAP_BYTES,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    shares: Sequence[Path] = (),
    console_log: Path | None = None,
    say: Callable[[str], None] = lambda _text: None,
    boot_deadline_s: float = 60.0,
    interactive: bool = False,
    docker: bool = True,
    quiet_s: float | None = None,
    stdin: int | None = 0,
    shown: Sequence[Path] = (),
) -> int:
    """Boot a guest, run one command in it with our own streams, power off; return the command's exit status."""
    shares = [*shares, *([cwd] if cwd is not None else [])]
    with (
        terminal.interrupting_signals(),
        Guest(
            memory_bytes, swap_bytes, shares, console_log, say, boot_deadline_s, docker=docker, shown=shown
        ) as guest,
    ):
        return guest.run(argv, cwd=cwd, env=env, stdin=stdin, interactive=interactive, quiet_s=quiet_s)
