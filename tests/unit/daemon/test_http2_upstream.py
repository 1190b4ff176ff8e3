"""Connections to an app in HTTP/2: one is dialled for all who wait."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import cast

import pytest

from emu.daemon.http import h2_frames as frames
from emu.daemon.http import http1
from emu.daemon.http.h2_stream import MOST_OWED, Piece, Stream
from emu.daemon.http.upstream import DialError
from emu.daemon.queue_proxy.h2_known import KnownAnswer
from emu.daemon.queue_proxy.h2_upstream import AppConnection, AppStream, Http2Connections, StreamAsker
from tests.unit.daemon.daemon_wire import DEADLINE_S


class _Wire(asyncio.Transport):
    """Notes that it is closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


class _Dialled(Http2Connections):
    """Dials nobody, once it is let."""

    def __init__(self, peer_streams: int | None = None) -> None:
        super().__init__("127.0.0.1", 1)
        self.gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wires: list[_Wire] = []
        self._streams = peer_streams

    async def _dial(self) -> AppConnection:
        await self.gate
        made = AppConnection()
        made.peer_streams, made.transport = self._streams, _Wire()
        self.wires.append(made.transport)
        return made


def test_who_asks_in_the_very_turn_in_which_it_opened_gets_it() -> None:
    """Once it hung: with many streams at once on a new connection the whole of queue-proxy stood still."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it never came")

    async def ask() -> bool:
        connections = _Dialled()
        loop = asyncio.get_running_loop()
        first = loop.create_task(connections.take())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connections.gate.set_result(None)
        second = loop.create_task(connections.take())
        return await first is await second

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)
    try:
        assert asyncio.run(ask())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_app_that_takes_no_streams_is_dialled_once() -> None:
    """Once it was dialled again and again until the request timed out."""

    async def ask() -> tuple[str, list[bool]]:
        connections = _Dialled(peer_streams=0)
        connections.gate.set_result(None)
        with pytest.raises(DialError) as failed:
            await asyncio.wait_for(connections.take(), DEADLINE_S)
        return str(failed.value), [wire.closed for wire in connections.wires]

    assert asyncio.run(ask()) == ("http2: the server takes no streams", [True])


def test_a_connection_that_opens_after_its_pod_has_left_ends_with_its_answer() -> None:
    """Who waited for it is answered, and it does not hold up the pod's end."""

    async def ask() -> list[bool]:
        connections = _Dialled()
        taking = asyncio.get_running_loop().create_task(connections.take())
        await asyncio.sleep(0)
        connections.leave()
        connections.gate.set_result(None)
        conn = await taking
        stream = AppStream(conn, 1, cast(StreamAsker, _Heard()), False)
        conn.streams[1] = stream
        before = connections.wires[0].closed
        conn.forget(stream)
        return [before, connections.wires[0].closed]

    assert asyncio.run(ask()) == [False, True]


class _Heard:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.head = http1.Head(b"HEAD", b"/", 2, [])
        self.said: list[str] = []

    def answer_begins(self, known: KnownAnswer) -> None:
        self.said.append(f"begins {known.status}")

    def answer_kept(self, known: KnownAnswer) -> None:
        self.said.append(f"kept {known.status}")

    def informed(self, status: int, headers: http1.Headers) -> None:
        self.said.append(f"{status} {headers}")

    def answer_data(self, data: Piece, source: AppStream) -> None:
        self.said.append(f"{len(data)} bytes")

    def answer_last(self, data: Piece, source: AppStream) -> None:
        self.said.append(f"{len(data)} bytes and the end")

    def answer_over(self, trailers: http1.Headers | None) -> None:
        self.said.append("over")


def _asked() -> tuple[AppConnection, _Heard]:
    """A HEAD on stream 1."""
    conn, heard = AppConnection(), _Heard()
    conn.settled = True
    stream = AppStream(conn, 1, cast(StreamAsker, heard), True)
    stream.ended = True
    conn.streams[1] = stream
    return conn, heard


def test_an_informational_answer_keeps_its_fields() -> None:
    """But for Trailer, which Go's transport takes out of any answer."""
    conn, heard = _asked()
    fields = [(b":status", b"103"), (b"keep-alive", b"5"), (b"trailer", b"x"), (b"content-length", b"a")]
    conn.on_head(1, frames.encode(fields), False)
    assert heard.said == ["103 [(b'keep-alive', b'5'), (b'content-length', b'a')]"]


def test_data_of_a_stream_that_comes_in_many_frames_is_passed_on_at_once() -> None:
    """As far as it was read together; frames of other streams and other kinds come between. One is read whole."""
    conn, heard = AppConnection(), _Heard()
    conn.transport = _Wire()
    conn.receive(frames.settings_frame({}))
    for number in (1, 3):
        stream = conn.streams[number] = AppStream(conn, number, cast(StreamAsker, heard), False)
        stream.answered = stream.ended = True
    conn.newest = 3
    data = [frames.frame(frames.DATA, 0, number, bytes(size)) for number, size in ((1, 5), (1, 0), (1, 9000), (3, 7))]
    end = frames.frame(frames.DATA, frames.END_STREAM, 1)
    sent = b"".join([*data, frames.frame(frames.PING, frames.ACK, 0, bytes(8)), *data[:2], end, data[3]])
    conn.receive(sent[:-1])
    conn.receive(sent[-1:])
    assert heard.said == ["9005 bytes", "7 bytes", "5 bytes and the end", "7 bytes"]


def test_an_answer_to_head_is_whole_once_the_app_has_ended_it() -> None:
    """Its head is kept until then."""
    conn, heard = _asked()
    conn.on_head(1, frames.encode([(b":status", b"200"), (b"content-length", b"2")]), False)
    assert heard.said == ["kept 200"]
    conn.newest = 1
    conn.receive(frames.frame(frames.DATA, frames.END_STREAM, 1))
    assert heard.said == ["kept 200", "over"]
    assert not conn.streams


@pytest.mark.parametrize("what", [frames.settings_frame({}), frames.frame(frames.PING, 0, 0, bytes(8))])
def test_a_peer_that_reads_no_answers_to_its_control_frames_is_cut(what: bytes) -> None:
    """What is owed to it stays bounded, whatever it is owed for."""
    made = AppConnection()
    made.transport = wire = _Wire()
    made.receive(frames.settings_frame({}))
    made.pause_writing()
    made.receive(what * MOST_OWED)
    assert not wire.closed
    made.receive(what)
    assert wire.closed


def test_a_connection_that_ends_for_a_fault_ends_with_a_whole_frame() -> None:
    """GOAWAY goes first; then what was on its way, which is no head without its DATA."""

    async def written() -> bytes:
        made = AppConnection()
        made.transport = wire = _Wire()
        made.receive(frames.settings_frame({}))
        wire.written.clear()
        Stream(made, 1).send(b"x" * 100)
        made.receive(frames.frame(frames.SETTINGS, 0, 1))
        return b"".join(wire.written)

    said = asyncio.run(written())
    kinds = []
    while said:
        word, _, _ = frames.unpack_head(said, 0)
        kinds.append(word & 0xFF)
        assert len(said) >= frames.HEAD_BYTES + (word >> 8)
        said = said[frames.HEAD_BYTES + (word >> 8) :]
    assert kinds == [frames.GOAWAY, frames.DATA]
