"""Boots User-Mode Linux and runs commands in it.

The guest's kernel is one ordinary process, `linux.uml`, held by a keeper (keeper.py). Its root is the host's own tree
with a guest-only layer above it; shared directories are written straight through (guest/init.sh). A serial line on a
pair of pipes carries everything between `Guest` and the guest's agent (guest/wire.py). The console is only ever read
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
from emu import command
from emu.errors import EmuError
from emu.paths import own_cache_dir
from emu.sandbox import disk, keeper, leftovers, terminal, xstate
from emu.sandbox.guest import wire
from emu.sandbox.parts import Parts, find_parts
from emu.units import format_bytes

MEMORY_BYTES = 3 * 2**30
"""The guest's memory, unless told otherwise."""
SWAP_BYTES = 2 * 2**30
"""The guest's swap, unless told otherwise."""
EXIT_SANDBOX = 125
"""What `emu sandbox run` ends with when the sandbox itself failed (as `docker run` does)."""

_KEEPER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from emu.sandbox.keeper import main; main()"
_SOCKETS = "sockets"
"""In the scratch directory: where the kernel has its own."""
_LEAST_MEMORY = 128 * 2**20
_MOST_SWAP = 64
_CONSOLE_LINES = 30
_STACK = re.compile(r"\s*\[<[0-9a-f]+>\]")  # a kernel's stack trace would push out what tells the cause
_KILLED = re.compile(f"{keeper.SAYS}|ptrace [sg]et regs failed|wait_stub_done : failed")
"""On a console: somebody ended a process of the kernel's (the keeper's words, and the kernel's)."""
_STOP_S = 30.0
_OUTPUT_BACKLOG = 2**20
_SYSTEM = frozenset(
    map(
        Path,
        ("/", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/var", "/run", "/dev", "/proc", "/sys", "/boot"),
    )
)
_NOT_FOR_GUEST = frozenset(
    (
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "SSH_AUTH_SOCK",
        "TMPDIR",
        "TMP",
        "TEMP",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
    )
)


class SandboxError(EmuError):
    """The sandbox itself failed: it did not come up, panicked, or stopped answering."""

    cause = ""
    """`why` without the end of the guest's console."""


def shared_directories(wanted: Iterable[Path]) -> list[Path]:
    """The directories to mount through: those wanted, resolved, none twice and none below another.

    The system's own directories (`/usr`, `/etc`, …) are seen in the guest anyway and are never written through.
    """
    resolved = {path.resolve() for path in wanted} - _SYSTEM
    for path in resolved:
        if not path.is_dir():
            raise EmuError(f"cannot share {path} with the sandbox", "it is not a directory", "name a directory")
        if "\n" in str(path):
            raise EmuError(f"cannot share {str(path)!r} with the sandbox", "its name has a line break", "rename it")
    return sorted(path for path in resolved if not any(parent in resolved for parent in path.parents))


def programs(shares: Sequence[Path], shown: Iterable[Path] = ()) -> list[Path]:
    """What every guest sees and may not write, unless it lies in a share: emu itself, its Python, `shown`."""
    wanted = shared_directories([Path(emu.__file__).parents[1], Path(sys.prefix), Path(sys.base_prefix), *shown])
    return [path for path in wanted if not any(path.is_relative_to(share) for share in shares)]


def guest_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would point outside the guest, and with the guest's programs first."""
    kept = {name: value for name, value in env.items() if name not in _NOT_FOR_GUEST}
    path = env.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    path += [place for place in ("/usr/local/sbin", "/usr/sbin", "/sbin") if place not in path]
    return {"HOME": "/root", **kept, "PATH": ":".join(["/run/emu/bin", *path]), "EMU_SANDBOX": "uml"}


def kernel_command_line(
    parts: Parts, *, memory_bytes: int, swap: bool, scratch: Path, line_in: int, line_out: int
) -> list[str]:
    """The words that start the guest's kernel in its scratch directory."""
    return [
        str(parts.kernel),
        f"mem={memory_bytes // 2**20}M",
        "root=/dev/root",
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        "log_buf_len=4M",  # the kernel's own choice holds four OOM reports
        f'init="{scratch}/init.sh"',
        f'EMU_BOOT="{scratch}"',
        "ubda=docker.ext4",
        *(["ubdb=swap.img"] if swap else []),
        "con=null",
        "con0=null,fd:1",
        "ssl=null",
        f"ssl0=fd:{line_in},fd:{line_out}",
        f"uml_dir={_SOCKETS}",
        "umid=guest",
    ]


def memory_directory(memory_bytes: int, candidates: Sequence[Path] | None = None) -> Path:
    """Where the guest's memory file can be: executable, writable and with room for all of it. EmuError if nowhere.

    UML maps its memory from a file. A file system that fills up ends the guest with SIGBUS, so room is checked first.
    """
    seen = []
    for place in leftovers.memory_places() if candidates is None else candidates:
        try:
            facts = os.statvfs(place)
        except OSError:
            continue
        free = facts.f_bavail * facts.f_frsize
        if facts.f_flag & os.ST_NOEXEC or not os.access(place, os.W_OK):
            seen.append(f"{place} is not writable, or mounted noexec")
        elif free < memory_bytes:
            seen.append(f"{place} has {format_bytes(free)} free")
        else:
            return place
    raise EmuError(
        f"no room for {format_bytes(memory_bytes)} of guest memory",
        f"the guest's memory is a file, and {'; '.join(seen) or 'there is no directory for it'}",
        "give the guest less (--memory 1Gi), enlarge /dev/shm (mount -o remount,size=4G /dev/shm), "
        "or set TMPDIR to a directory with room",
    )


def _check_sizes(memory_bytes: int, swap_bytes: int) -> None:
    """EmuError for a guest that would panic instead of booting."""
    fix = "give it another size: sandbox.memory and sandbox.swap in a scenario, --memory and --swap of emu sandbox"
    if memory_bytes < _LEAST_MEMORY:
        least = format_bytes(_LEAST_MEMORY)
        raise EmuError("the sandbox cannot boot", f"{format_bytes(memory_bytes)} of memory is below {least}", fix)
    if swap_bytes > memory_bytes * _MOST_SWAP:
        raise EmuError(
            "the sandbox cannot boot",
            f"{format_bytes(swap_bytes)} of swap is more than {_MOST_SWAP} times its memory "
            f"({format_bytes(memory_bytes)}), in which the kernel notes each page of it",
            fix,
        )


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
        self._frames: deque[wire.Frame] = deque()
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
        _check_sizes(self.memory_bytes, self.swap_bytes)
        parts = find_parts(docker=self.docker)
        shares = shared_directories([Path.cwd(), *self.shares])
        memory_place = memory_directory(self.memory_bytes)
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
        (scratch / "programs").write_text(_lines(programs(shares, self.shown)))
        (scratch / _SOCKETS).mkdir()
        disk.make_sparse(scratch / "swap.img", self.swap_bytes)
        own = [scratch / _SOCKETS, scratch / "swap.img"]  # not all of it: what it says of the guest is believed
        (scratch / keeper.WRITABLE).write_text(_lines([*own, *shares, image_disk, self._memory]))
        shutil.copy(Path(__file__).parent / "guest" / "init.sh", scratch / "init.sh")
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
        argv = kernel_command_line(
            parts,
            memory_bytes=self.memory_bytes,
            swap=self.swap_bytes > 0,
            scratch=scratch,
            line_in=to_guest_read,
            line_out=from_guest_write,
        )
        fds = [life_read, console_write, to_guest_read, from_guest_write]
        env = {**os.environ, "TMPDIR": str(self._memory)}
        if xstate.needed():
            (scratch / "xstate.so").symlink_to(xstate.library(own_cache_dir()))
            env["EMU_PRELOAD"] = "./xstate.so"  # LD_PRELOAD is split at spaces, so no path of the user's may be in it
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
            while self._frames:
                frame = self._frames.popleft()
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
                raise self._failure(
                    "the guest did not come up",
                    f"it was not ready after {self.boot_deadline_s:.0f} s",
                    "try again when the machine is less busy, or allow more time: --boot-deadline 3m",
                )
            self._turn({}, 0.5)

    def _boot_failed(self, why: str) -> None:
        fix = "look at the messages above; emu doctor lists what the sandbox needs"
        others = sorted({*disk.users(self._disk)} - {*leftovers.processes(self.scratch or Path())})
        if others:
            why = f"the image disk {self._disk} is in use by pid {', '.join(map(str, others))}; {why}"
            fix = "wait for that sandbox to end, or end it; emu clean ends what killed runs left behind"
        elif "damaged" in why.splitlines()[0]:
            fix = "drop the image disk; images are built again on the next run: emu sandbox reset"
        raise self._failure("the guest did not come up", why, fix, console=False)

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
        session = _Session(self, stdin, stdout, stderr, grace_s, quiet_s, pulse)
        with (
            terminal.caught_signals() as signals,
            terminal.passing_keys(stdin, keep_interrupt=not interactive) as keys,
        ):
            self._send(
                wire.message(
                    wire.START,
                    argv=list(argv),
                    cwd=str(cwd or Path.cwd()),
                    env=guest_environment(os.environ if env is None else env),
                    tty=[terminal.is_terminal(fd) for fd in (stdin, stdout, stderr)],
                    raw=keys and terminal.is_terminal(stdin),
                    rows=rows,
                    columns=columns,
                )
            )
            return session.serve(signals, read_stdin=keys)

    # -- the line

    def _send(self, data: bytes) -> None:
        self._unsent += data

    def _turn(self, wanted: Mapping[int, int], wait_s: float, *, listen: bool = True) -> dict[int, int]:
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
            raise self._failure(
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
                self._frames.append(frame)

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
            raise self._failure("the guest's kernel panicked", panic, "run it again; report it if it recurs")
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
        raise self._failure(
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

    def _failure(self, what: str, why: str, fix: str, *, console: bool = True) -> SandboxError:
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

    def _power_off(self) -> None:
        """Ask the guest to write everything and end; then see it end."""
        self._send(wire.encode(wire.Frame(wire.STOP)))
        deadline = time.monotonic() + _STOP_S
        with suppress(SandboxError):
            while time.monotonic() < deadline:
                self._frames.clear()
                self._turn({}, 0.5)


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


class _Session:
    """One command's streams between the host's descriptors and the line."""

    def __init__(
        self,
        guest: Guest,
        stdin: int | None,
        stdout: int,
        stderr: int,
        grace_s: float,
        quiet_s: float | None,
        pulse: Callable[[], object],
    ) -> None:
        self._guest = guest
        self._stdin = stdin
        self._fds = {1: stdout, 2: stderr}
        self._out: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self._window = wire.STDIN_WINDOW
        self._grace_s = grace_s
        self._quiet_s = quiet_s
        self._pulse = pulse
        self._spoke_at, self._felt = time.monotonic(), pulse()
        self._interrupts: list[int] = []
        self._deadline: float | None = None
        self._status: int | None = None

    def serve(self, signals: int, *, read_stdin: bool) -> int:
        """Pass everything both ways until the command's status and all of its output are here."""
        reading = read_stdin and self._stdin is not None
        if not reading:
            self._send(wire.CLOSE, 0)
        while self._status is None or any(self._out.values()):
            wanted: dict[int, int] = {signals: select.POLLIN}
            if reading and self._window > 0 and self._status is None:
                assert self._stdin is not None
                wanted[self._stdin] = select.POLLIN
            for stream, data in self._out.items():
                if data:
                    wanted[self._fds[stream]] = wanted.get(self._fds[stream], 0) | select.POLLOUT
            backlog = sum(map(len, self._out.values()))
            wait_s = 1.0 if self._deadline is None else max(0.0, min(1.0, self._deadline - time.monotonic()))
            ready = self._guest._turn(wanted, wait_s, listen=self._status is None and backlog < _OUTPUT_BACKLOG)
            while self._guest._frames and self._status is None:
                self._obey(self._guest._frames.popleft())
            if signals in ready:
                self._pass_signals(os.read(signals, 64))
            if self._stdin in ready and wanted[self._stdin] & ready[self._stdin] != select.POLLOUT:
                reading = self._read_stdin()
            for stream in (1, 2):
                if self._out[stream] and ready.get(self._fds[stream], 0) & ~select.POLLIN:
                    self._write(stream)
            if self._deadline is not None and time.monotonic() >= self._deadline and self._status is None:
                return self._give_up()
            self._see_progress(waiting=backlog >= _OUTPUT_BACKLOG)
        return self._status

    def _see_progress(self, *, waiting: bool) -> None:
        if waiting or self._status is not None:
            self._spoke_at = time.monotonic()
        if self._quiet_s is None or time.monotonic() - self._spoke_at < self._quiet_s:
            return
        before, self._felt = self._felt, self._pulse()
        self._spoke_at = time.monotonic()
        if self._felt == before:
            raise self._guest._failure(
                "the run makes no progress",
                f"it has not said a word for {self._quiet_s / 60:.0f} min, while its guest answers",
                "run it again; report it if it recurs, with the run directory",
            )

    def _send(self, kind: int, stream: int, data: bytes = b"") -> None:
        self._guest._send(wire.encode(wire.Frame(kind, stream, data)))

    def _obey(self, frame: wire.Frame) -> None:
        if frame.kind == wire.DATA and frame.stream in self._out:
            self._out[frame.stream] += frame.payload
            self._spoke_at = time.monotonic()
        elif frame.kind == wire.CREDIT:
            self._window += frame.json()["bytes"]
        elif frame.kind == wire.FAILED:
            raise self._guest._failure(
                "the guest makes no progress",
                frame.payload.decode(),
                "run it again; if it recurs, see whether this machine's disk is full or failing",
            )
        elif frame.kind == wire.EXIT:
            self._status = frame.json()["status"]

    def _read_stdin(self) -> bool:
        assert self._stdin is not None
        try:
            data = os.read(self._stdin, min(self._window, wire.MAX_PAYLOAD))
        except OSError:
            data = b""
        if not data:
            self._send(wire.CLOSE, 0)
            return False
        self._window -= len(data)
        self._send(wire.DATA, 0, data)
        if os.isatty(self._stdin):
            self._deadline = None  # someone types on: the signal was meant for what they work with, not to end it all
            self._interrupts.clear()
        return True

    def _write(self, stream: int) -> None:
        """Write what surely fits (PIPE_BUF): a reader that stopped reading must not block us."""
        pending = self._out[stream]
        try:
            del pending[: os.write(self._fds[stream], pending[: select.PIPE_BUF])]
        except BlockingIOError:
            return
        except OSError:  # EPIPE: tell the command as a pipe would
            pending.clear()
            self._send(wire.CLOSE, stream)

    def _pass_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                rows, columns = terminal.size(*self._fds.values(), self._stdin)
                self._guest._send(wire.message(wire.RESIZE, rows=rows, columns=columns))
                continue
            self._interrupts.append(number)
            self._guest._send(wire.message(wire.SIGNAL, number=number))
            now = time.monotonic()
            grace_s = {1: self._grace_s, 2: min(10.0, self._grace_s)}.get(len(self._interrupts), 0.0)
            self._deadline = min(self._deadline or now + grace_s, now + grace_s)

    def _give_up(self) -> int:
        self._guest.say("the command did not end when interrupted; ending the guest")
        self._guest._keeper.terminate()
        return 128 + self._interrupts[-1]


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
