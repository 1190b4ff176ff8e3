"""Real sockets for the tests of the daemons: what goes over the wire, byte by byte, with deadlines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from emu.conformance.suite import BASE

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 120.0
"""How long anything that must happen may take on a busy machine."""
REQUIRED = {**BASE, "USER_PORT": "1", "EMU_CERT_DIR": "/nowhere", "EMU_DRAIN_QUIET_SECONDS": "0.1"}
"""Environment of a queue-proxy that starts."""


_PERIODS_S = (1, 4, 16, 64)
_AT_REST_S = 0.03


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The condition's value as soon as it is true; AssertionError, saying what, after the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < until, f"never came: {what}"
        time.sleep(0.005)
    return value


def in_time(attempt: Callable[[FakeApp, int], None], *late: type[Exception]) -> None:
    """Play what must be done before a timer runs out: `attempt` with an app of its own and the timer's period.

    On a busy machine a short timer runs out too soon, which proves nothing. What fails is played again with a longer
    one; what fails with the longest is wrong. `late` are errors, beside a failed assertion, that come of being late.
    """
    for period_s in _PERIODS_S:
        with closing(FakeApp()) as app:
            try:
                attempt(app, period_s)
            except (AssertionError, OSError, *late):
                if period_s == _PERIODS_S[-1]:
                    raise
            else:
                return


class Wire:
    """One end of a TCP connection."""

    def __init__(self, sock: socket.socket, listener: socket.socket | None = None) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self.got = b""
        self._listener = listener
        """Where it was accepted, until something was read."""

    @classmethod
    def to(cls, port: int) -> Wire:
        """Connect to a port on loopback."""
        return cls(socket.create_connection(("127.0.0.1", port)))

    def _more(self) -> bytes:
        """What is there to read next; nothing at the end, and a reset counts as one.

        queue-proxy dials again where an app does not accept within 50 ms (Knative's DialWithBackOff), as on a busy
        machine: a connection to an app that ends before its first byte is not the one that is meant.
        """
        while not (more := self._received()) and self._listener is not None:
            self.sock.close()
            self.sock = self._listener.accept()[0]
            self.sock.settimeout(DEADLINE_S)
        self._listener = None
        return more

    def _received(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        while end not in self.got:
            more = self._more()
            assert more, f"closed before {end!r}; had {self.got[-300:]!r}"
            self.got += more
        data, self.got = self.got.split(end, 1)
        return data + end

    def read_exactly(self, size: int) -> bytes:
        """Exactly this many bytes."""
        while len(self.got) < size:
            more = self._more()
            assert more, f"closed after {len(self.got)} of {size} bytes"
            self.got += more
        data, self.got = self.got[:size], self.got[size:]
        return data

    def skip(self, size: int) -> None:
        """Read this many bytes and forget them."""
        size -= len(self.got)
        assert size >= 0
        self.got = b""
        buffer = memoryview(bytearray(1 << 20))
        while size:
            count = self.sock.recv_into(buffer[: min(size, len(buffer))])
            assert count, f"closed {size} bytes too soon"
            size -= count

    def read_to_end(self) -> bytes:
        """Everything until the other side closes; a reset counts as a close."""
        try:
            while more := self.sock.recv(65536):
                self.got += more
        except ConnectionResetError:
            pass
        data, self.got = self.got, b""
        return data

    def read_head(self) -> Head:
        """The head of a request or an answer."""
        return Head(self.read_until(b"\r\n\r\n"))

    def read_body(self, head: Head) -> bytes:
        """The body that the head announces."""
        if head.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.read_until(b"\r\n"), 16):
                body += self.read_exactly(size)
                assert self.read_exactly(2) == b"\r\n"
            assert self.read_exactly(2) == b"\r\n"
            return body
        if "content-length" in head.headers:
            return self.read_exactly(int(head.get("content-length")))
        return b""

    def ask(self, data: bytes) -> tuple[Head, bytes]:
        """Send, and read one answer."""
        self.send(data)
        head = self.read_head()
        return head, self.read_body(head)

    def is_closed(self) -> bool:
        """Whether the other side closes, and sends nothing more before; waits for it."""
        return self.read_to_end() == b""

    def quiet(self) -> bool:
        """Whether nothing is there to read at this moment."""
        self.sock.setblocking(False)
        try:
            self.got += self.sock.recv(65536)
            return not self.got
        except BlockingIOError:
            return not self.got
        finally:
            self.sock.settimeout(DEADLINE_S)

    def close(self) -> None:
        """Close."""
        self.sock.close()


class Head:
    """A parsed head: the first line, and headers by lower-case name."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        first, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.first = first
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}

    @property
    def status(self) -> int:
        """An answer's status."""
        return int(self.first.split()[1])

    def get(self, name: str) -> str:
        """A header's value; empty when absent."""
        return self.headers.get(name, "")


class FakeApp:
    """A listening socket that the test serves by hand."""

    def __init__(self) -> None:
        place = self._bound(0)
        self._free = weakref.finalize(self, place.close)  # the port stays ours while nobody listens there
        self.port = int(place.getsockname()[1])
        self.listen()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", port))
        return made

    def listen(self) -> None:
        """Listen, as from the beginning; again after `close`."""
        self.listener = self._bound(self.port)
        self.listener.listen(4096)
        self.listener.settimeout(DEADLINE_S)

    def accept(self) -> Wire:
        """The next connection."""
        return Wire(self.listener.accept()[0], self.listener)

    def untouched(self) -> bool:
        """Whether nobody connects at this moment."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
            return False
        except BlockingIOError:
            return True
        finally:
            self.listener.settimeout(DEADLINE_S)

    def close(self) -> None:
        """Listen no more: whoever dials is refused."""
        self.listener.close()

    def leave(self) -> None:
        """Listen no more, and let another have the port."""
        self.close()
        self._free()


class Daemon:
    """A daemon in its own process; `port` is where it listens."""

    def __init__(
        self,
        module: str,
        args: list[str],
        env: dict[str, str],
        *,
        stdin: int | None = None,
        fds: tuple[int, ...] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            stdin=stdin,
            pass_fds=fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def line(self, which: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first log line of which this is true; waits for it."""

        def found() -> dict[str, Any] | None:
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(DEADLINE_S)  # its last lines may not have been read yet
            line = next(filter(which, self.lines), None)
            assert line or not ended, f"it ended: {self.stderr()}"
            return line

        line: dict[str, Any] = wait_for(found, what)
        return line

    def event(self, name: str) -> dict[str, Any]:
        """The first log line of this event; waits for it."""
        return self.line(lambda line: line.get("event") == name, f"event {name}")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.event("listening")["port"])

    def connect(self) -> Wire:
        """A connection to it."""
        return Wire.to(self.port)

    def memory(self, field: str) -> int:
        """Bytes of a field of /proc/PID/status, such as RssAnon."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field} in status")

    def settle(self) -> None:
        """Wait until it sleeps and goes on sleeping: it has taken what there is, or every buffer is full.

        One that only waits for a processor, or is stopped, does not sleep.
        """
        wait_for(self._rests, "it to have nothing left to do")

    def _rests(self) -> bool:
        before = self._slept()
        time.sleep(_AT_REST_S)
        return before is not None and self._slept() == before

    def _slept(self) -> str | None:
        """Its processor time and how often it was scheduled, if it sleeps."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0]
        return Path(f"/proc/{self.pid}/schedstat").read_text() if state == "S" else None

    def send(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def term(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for its end, and until all that it logged is among `lines`; its exit status."""
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return status

    def stderr(self) -> str:
        """What it wrote to standard error; only once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def app_with(folder: Path) -> Daemon:
    """An app whose data directory this is."""
    variables = {"DATA_DIR": str(folder), "EMU_APP_GRACE_SECONDS": "10"}
    return Daemon("emu.daemon.app", ["--port", "0", "--host", "127.0.0.1"], variables)


def port_of(daemon: Daemon, what: str) -> int:
    """Where a page is served."""
    return int(daemon.line(lambda one: one.get("event") == "serves" and one["what"] == what, what)["port"])


StartProxy = Callable[..., Daemon]
"""Starts a queue-proxy; keywords are environment variables."""
