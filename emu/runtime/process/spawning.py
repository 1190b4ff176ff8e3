"""Asks the process that starts containers' processes (spawner.py): one for all containers of this process."""

from __future__ import annotations

import atexit
import errno
import itertools
import json
import os
import queue
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, pidfd_send_signal
from subprocess import TimeoutExpired

from emu.errors import EmuError
from emu.machine import command
from emu.runtime.process import spawner
from emu.runtime.process.launch import Start

_START_S = 60.0
_SAID_S = 10.0
"""How long a word is waited for that should have been said by now."""
_FIX = "check the kernel log: dmesg"
_MORE_RIGHTS = "run emu with all of root's capabilities; in a container it has them with docker run --privileged"
_lock = threading.Lock()
_running: Spawner | None = None


@dataclass(frozen=True)
class Begun:
    """A container's process that was started."""

    pid: int
    pidfd: int
    """A descriptor of it, which is the caller's to close."""
    end: queue.Queue[int | None]

    def status(self) -> int | None:
        """How it ended, as waitpid(2) has it; asked once, when it has ended. None where nobody knows."""
        with suppress(queue.Empty):
            return self.end.get(timeout=_SAID_S)
        return None

    def discard(self) -> None:
        """End one that nobody waits for."""
        with suppress(ProcessLookupError):
            pidfd_send_signal(self.pidfd, SIGKILL)
        os.close(self.pidfd)


class Spawner:
    """The process, and what it says. It ends with us."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-I", "-S", "-X", "utf8", str(Path(spawner.__file__)), str(theirs.fileno())]
        with theirs:
            self._process = command.spawn(words, pass_fds=[theirs.fileno()])
        self._connection = ours
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._deciding = threading.Lock()
        """Held while it is decided who ends a process: who asked for it, or who hears of it when nobody does."""
        self.owner = os.getpid()
        self._asked: dict[int, queue.Queue[Begun | None]] = {}
        self._ends: dict[int, queue.Queue[int | None]] = {}
        self.alive = True
        self._thread = threading.Thread(target=self._listen, name="spawner", daemon=True)
        self._thread.start()

    def start(self, what: Start, output: int) -> Begun:
        """Start a process that prints to `output`. EmuError."""
        number = next(self._numbers)
        # No SimpleQueue: up to Python 3.12 its `get` waits for ever when a signal is handled as its timeout ends.
        answer: queue.Queue[Begun | None] = queue.Queue()
        found = None
        self._asked[number] = answer
        try:
            _await(self._ask(number, what, output), what.argv[0])
            with suppress(queue.Empty):
                found = answer.get(timeout=_SAID_S if self.alive else 0)
        finally:
            # Who comes from here on is ended by `_began`; who came before it is in the queue, and ended below.
            with self._deciding:
                del self._asked[number]
            if found is None:
                _discard(answer)
        if found is None:
            raise EmuError("", "the process that starts containers has ended", _FIX)
        return found

    def _ask(self, number: int, what: Start, output: int) -> int:
        """The pipe that ends when the program runs, or could not be started."""
        state, state_end = os.pipe()
        file = os.memfd_create("start", os.MFD_CLOEXEC)
        try:
            os.write(file, what.to_json().encode())
            with self._sending, suppress(ConnectionError):  # it has ended, and so does the pipe
                socket.send_fds(self._connection, [str(number).encode()], [file, output, state_end])
        except BaseException:
            os.close(state)
            raise
        finally:
            # Our copies too: the pipe ends only when no process has its other end any more.
            os.close(file)
            os.close(state_end)
        return state

    def close(self) -> None:
        """End it; what it started goes on."""
        # It wakes the thread that reads; a close alone would leave that waiting.
        with suppress(OSError):  # it has ended
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()

    def _listen(self) -> None:
        with suppress(ConnectionError):
            while self._heard():
                pass
        self.alive = False
        for answer in list(self._asked.values()):
            answer.put(None)
        for end in list(self._ends.values()):
            end.put(None)
        self._reap()

    def _reap(self) -> None:
        """Wait for its end, which comes with its socket's; one that is stopped does not see that."""
        for end in (self._process.kill, lambda: None):
            try:
                self._process.wait(_SAID_S)
            except TimeoutExpired:
                end()

    def _heard(self) -> bool:
        said, fds, *_ = socket.recv_fds(self._connection, spawner.MOST_BYTES, 1)
        for fd in fds:
            os.set_inheritable(fd, False)
        if not said:
            return False
        one = json.loads(said)
        pid = int(one["pid"])
        if "status" not in one:
            self._began(pid, int(one["number"]), fds[0])
        elif pid in self._ends:
            self._ends.pop(pid).put(int(one["status"]))
        return True

    def _began(self, pid: int, number: int, pidfd: int) -> None:
        begun = Begun(pid, pidfd, queue.Queue())
        # Before anyone has the answer: its end may be the next message.
        self._ends[pid] = begun.end
        with self._deciding:
            asked = self._asked.get(number)
            if asked is not None:
                asked.put(begun)
                return
        begun.discard()  # it came too late


def running() -> Spawner:
    """The one of this process, started if there is none: a copy of a process has no thread that hears the first's."""
    global _running
    with _lock:
        if _running is None or not _running.alive or _running.owner != os.getpid():
            _running = Spawner()
            atexit.register(_end, _running)
        return _running


def _end(spawner: Spawner) -> None:
    """Leave none behind that is stopped."""
    if spawner.owner == os.getpid():
        spawner.close()


def _discard(answer: queue.Queue[Begun | None]) -> None:
    """End what was started, if that was said already."""
    with suppress(queue.Empty):
        begun = answer.get_nowait()
        if begun is not None:
            begun.discard()


def _await(state: int, name: str) -> None:
    """Return when the program runs. EmuError where it could not be started."""
    said = b""
    deadline = time.monotonic() + _START_S
    poller = select.poll()  # select(2) knows the first 1024 descriptors alone
    poller.register(state, select.POLLIN)
    with os.fdopen(state, "rb", buffering=0) as pipe:
        while True:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise EmuError("", f"it was not ready within {_START_S:g} s", _FIX)
            part = pipe.read(spawner.MOST_BYTES)
            if not part:
                break
            said += part
    number, _, why = said.decode(errors="replace").partition(" ")
    if number == str(errno.E2BIG):
        raise command.too_long(name)
    if why:
        raise EmuError("", why, _MORE_RIGHTS if number == str(errno.EPERM) else _FIX)
