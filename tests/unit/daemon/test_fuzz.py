"""Bytes that no sane client sends, against a running queue-proxy: it lives, loses nothing, and smuggles nothing."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.daemon.daemon_wire import REQUIRED, Daemon, Wire, wait_for

QUIET_S = 0.03
MARK = re.compile(rb"^(?:GET|POST|HEAD) /(\d+) HTTP/1\.1\r\nHost: (?:a|b)\r\n", re.MULTILINE)


class Recorder:
    """An app that answers every request with its path, and keeps what it read."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.heads: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        try:
            while True:
                head = wire.read_head()
                self.heads.append(head.data)
                wire.read_body(head)
                path = head.first.split()[1].encode()
                body = b"" if head.first.startswith("HEAD") else path
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), body))
        except (AssertionError, OSError, ValueError, IndexError):
            wire.close()


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Daemon, Recorder]]:
    """A queue-proxy with one place, and its app."""
    app = Recorder()
    variables = {**REQUIRED, "USER_PORT": str(app.port), "CONTAINER_CONCURRENCY": "1", "EMU_HEAD_LIMIT_SECONDS": "2"}
    daemon = Daemon("emu.daemon.queue_proxy", [], variables)
    yield daemon, app
    daemon.close()
    app.listener.close()


def _alive(daemon: Daemon) -> None:
    """It answers, which with one place it does only if every place was given back."""
    client = daemon.connect()
    head, body = client.ask(b"GET /alive HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.status, body) == (200, b"/alive")
    client.close()


def _sockets(daemon: Daemon) -> int:
    return sum(1 for fd in Path(f"/proc/{daemon.pid}/fd").iterdir() if "socket:" in _link(fd))


def _link(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:
        return ""


bodies = st.binary(max_size=200)
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE"])


@st.composite
def pipelines(draw: st.DrawFn) -> list[bytes]:
    """Valid requests, numbered by their paths."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        head = b"%b /%d HTTP/1.1\r\nHost: a\r\n" % (draw(methods), number)
        kind = draw(st.sampled_from(["none", "length", "chunked"]))
        body = draw(bodies)
        if kind == "none":
            made.append(head + b"\r\n")
        elif kind == "length":
            made.append(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
            pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            made.append(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    return made


calm = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@calm
@given(requests=pipelines(), data=st.data())
def test_a_valid_pipeline_is_answered_in_order_however_it_is_split(
    both: tuple[Daemon, Recorder], requests: list[bytes], data: st.DataObject
) -> None:
    """Each answer is that to its own request, and the app saw just these."""
    daemon, app = both
    app.heads.clear()
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    client = daemon.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        client.send(stream[a:b])
    for number in range(len(requests)):
        head = client.read_head()
        assert (head.status, client.read_body(head)) == (200, b"/%d" % number)
    client.close()
    assert [head.split(b" ")[1] for head in app.heads] == [b"/%d" % number for number in range(len(requests))]


@calm
@given(requests=pipelines(), data=st.data())
def test_mutated_bytes_crash_nothing_leak_nothing_and_smuggle_nothing(
    both: tuple[Daemon, Recorder], requests: list[bytes], data: st.DataObject
) -> None:
    """Whatever comes, the app reads whole heads only, each one well formed, and the proxy goes on."""
    daemon, app = both
    app.heads.clear()
    stream = bytearray(b"".join(requests))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        how = data.draw(st.sampled_from(["flip", "drop", "insert", "crlf"]))
        if how == "flip":
            stream[at] = data.draw(st.integers(0, 255))
        elif how == "drop":
            del stream[at]
        else:
            extra = b"\r\n" if how == "crlf" else data.draw(st.binary(min_size=1, max_size=3))
            stream[at:at] = extra
        if not stream:
            stream = bytearray(b"\r")
    client = daemon.connect()
    try:
        client.send(bytes(stream))
        client.sock.settimeout(QUIET_S)
        while client.sock.recv(65536):
            pass
    except OSError:
        pass
    client.close()
    _alive(daemon)
    for head in app.heads:
        lines = head[:-4].split(b"\r\n")
        assert b"\0" not in head
        assert not any(b"\n" in line or b"\r" in line for line in lines)
        names = [line.split(b":")[0].lower() for line in lines[1:]]
        assert names.count(b"host") == 1
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1


@calm
@given(junk=st.binary(min_size=1, max_size=400), preface=st.booleans())
def test_junk_in_either_protocol_is_survived(both: tuple[Daemon, Recorder], junk: bytes, preface: bool) -> None:
    """HTTP/2 frames of junk too."""
    daemon, _ = both
    client = daemon.connect()
    try:
        client.send((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if preface else b"") + junk)
        client.sock.settimeout(QUIET_S)
        while client.sock.recv(65536):
            pass
    except OSError:
        pass
    client.close()
    _alive(daemon)


def test_nothing_is_left_of_all_that(both: tuple[Daemon, Recorder]) -> None:
    """Every connection is closed again; what stays are listeners and the kept connection to the app."""
    daemon, _ = both
    _alive(daemon)
    wait_for(lambda: _sockets(daemon) <= 8, "closed sockets")
    assert daemon.process.poll() is None
