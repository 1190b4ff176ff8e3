"""HTTP/2 heads that are too long or come in pieces, and how a connection begins and ends: as seen on Knative's own
queue-proxy (Serving 1.23 at commit 98e5ef90, built with Go 1.27.3).
"""

from __future__ import annotations

import contextlib
import struct
import time

import pytest

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import ErrorCodes, frame
from tests.unit.daemon.daemon_wire import Daemon, FakeApp
from tests.unit.daemon.test_http2_malformed import DATA, GET, PING, PREFACE, SETTINGS, Peer, field, head

MANY = b"".join(field(b"x-%d" % at, b"a") for at in range(600))
LONG = b"".join(field(b"x-%d" % at, b"a" * 10000) for at in range(106))
BOMB = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 300
"""An index that stands for much."""
BAD = field(b"X-Mine", b"1")


def pieces(block: bytes, size: int = 16000, stream: int = 1) -> bytes:
    """A head in frames of this size."""
    first, *more = [block[at : at + size] for at in range(0, len(block), size)]
    more = more or [b""]
    return head(stream, first, frames.END_STREAM) + b"".join(
        frame(frames.CONTINUATION, 4 if at == len(more) else 0, stream, each) for at, each in enumerate(more, 1)
    )


def goaway(peer: Peer) -> tuple[int, int]:
    """The newest stream and the code of the next GOAWAY."""
    last, code = struct.unpack(">II", peer.until(frames.GOAWAY)[3][:8])
    return last, code


@pytest.mark.parametrize(
    "sent",
    [
        head(1, GET + MANY),
        head(1, GET + MANY + BAD),
        head(1, GET + MANY, frames.END_STREAM) + frame(frames.CONTINUATION, 4, 1),
        head(1, GET + BOMB),
        head(1, GET + field(b"trailer", b",".join([b"x"] * 501))),
    ],
    ids=["fields", "and one that is wrong", "and no more of it", "an index bomb", "trailers"],
)
def test_a_head_with_too_much_in_it_is_a_431(shared: tuple[Daemon, FakeApp], sent: bytes) -> None:
    """More than 500 fields, or 1 MiB: the connection lives, and what follows in the head is not looked at."""
    peer = Peer(shared[0].port)
    peer.wire.send(sent)
    assert peer.until(frames.DATA)[3] == b"<h1>HTTP Error 431</h1><p>Request Header Field(s) Too Large</p>"
    assert peer.fate() == ("fine", 0)


def test_as_many_fields_as_are_taken(shared: tuple[Daemon, FakeApp]) -> None:
    """496 beside the four that each request has."""
    peer = Peer(shared[0].port)
    peer.wire.send(head(1, GET + b"".join(field(b"x-%d" % at, b"a") for at in range(496))))
    peer.wire.send(PING)
    assert peer.until(frames.HEADERS, frames.RST_STREAM, frames.PING)[0] == frames.PING


ENDED = [
    ("a head that goes on once it is too long", pieces(GET + LONG), 1, ErrorCodes.PROTOCOL_ERROR),
    ("a head that goes on once it is wrong", pieces(GET + BAD + MANY, 80), 1, ErrorCodes.PROTOCOL_ERROR),
    ("an end to a head that is wrong", pieces(GET + BAD), 1, ErrorCodes.PROTOCOL_ERROR),
    ("the beginning of a head that cannot be", head(1, b"\x80", 1), 1, ErrorCodes.COMPRESSION_ERROR),
    ("a field that is cut off", pieces(GET + b"\0\3ab"), 1, ErrorCodes.COMPRESSION_ERROR),
    ("a value of more than a mebibyte", pieces(GET + field(b"a", bytes(1100000))), 1, ErrorCodes.COMPRESSION_ERROR),
    ("a fault on a stream that never was", frame(frames.DATA, 0, 9, b"x"), 9, ErrorCodes.PROTOCOL_ERROR),
    ("a frame that is wrong by itself", frame(frames.RST_STREAM, 0, 9, b"x"), 0, ErrorCodes.FRAME_SIZE_ERROR),
]


@pytest.mark.parametrize(("sent", "last", "code"), [each[1:] for each in ENDED], ids=[each[0] for each in ENDED])
def test_the_connection_ends_and_says_at_which_stream(
    shared: tuple[Daemon, FakeApp], sent: bytes, last: int, code: int
) -> None:
    """GOAWAY names the stream of the frame that was at fault, unless it was wrong by itself."""
    peer = Peer(shared[0].port)
    with contextlib.suppress(ConnectionError):  # it was closed while we were writing
        peer.wire.send(sent)
    assert goaway(peer) == (last, code)


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_a_head_may_come_in_any_pieces(shared: tuple[Daemon, FakeApp], size: int) -> None:
    """Also with empty ones between, however many."""
    peer = Peer(shared[0].port)
    peer.wire.send(pieces(GET + field(b"x-mine", b"hello"), size))
    peer.wire.send(
        head(3, GET, frames.END_STREAM) + frame(frames.CONTINUATION, 0, 3) * 200 + frame(frames.CONTINUATION, 4, 3)
    )
    assert peer.fate() == ("fine", 0)


FIRST = [
    ("a head", head(1, GET), ErrorCodes.PROTOCOL_ERROR),
    ("a head that cannot be", head(1, b"\x80"), ErrorCodes.COMPRESSION_ERROR),
    ("half of one that cannot be", head(1, b"\x80", 1), ErrorCodes.COMPRESSION_ERROR),
    ("a ping of another size", frame(frames.PING, 0, 0, b"123"), ErrorCodes.FRAME_SIZE_ERROR),
    ("a window", frames.number_frame(frames.WINDOW_UPDATE, 0, 1), ErrorCodes.PROTOCOL_ERROR),
    ("data", DATA, ErrorCodes.PROTOCOL_ERROR),
    ("an unknown frame", frame(99, 0, 0), ErrorCodes.PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("first", "code"), [each[1:] for each in FIRST], ids=[each[0] for each in FIRST])
def test_what_is_wrong_with_a_first_frame_by_itself_comes_first(
    shared: tuple[Daemon, FakeApp], first: bytes, code: int
) -> None:
    """Only then does it count that it is no SETTINGS."""
    assert goaway(Peer(shared[0].port, PREFACE + first))[1] == code


def test_a_stream_that_is_refused_before_settings_ends_alone(shared: tuple[Daemon, FakeApp]) -> None:
    """As it does after them; a request that comes along on it is lost."""
    peer = Peer(shared[0].port, PREFACE + head(1, GET + BAD) + SETTINGS + head(1, GET))
    assert peer.fate() == ("stream", ErrorCodes.PROTOCOL_ERROR)
    assert peer.until(frames.HEADERS, frames.PING)[0] == frames.PING


def test_a_client_without_settings_is_left_after_two_seconds(shared: tuple[Daemon, FakeApp]) -> None:
    """Without a word."""
    begun = time.monotonic()
    peer = Peer(shared[0].port, PREFACE)
    with pytest.raises(AssertionError, match="closed"):
        peer.until(frames.GOAWAY)
    assert time.monotonic() - begun >= 1.9


def test_what_comes_of_a_stream_that_was_reset_is_refused(shared: tuple[Daemon, FakeApp]) -> None:
    """Each time, once the client can know of the reset."""
    peer = Peer(shared[0].port)
    peer.wire.send(head(1, b"\x83" + GET[1:] + field(b"content-length", b"1"), 4) + frame(frames.DATA, 0, 1, b"ab"))
    assert peer.fate() == ("stream", ErrorCodes.PROTOCOL_ERROR)
    for _ in range(2):
        peer.wire.send(DATA)
        assert struct.unpack(">I", peer.until(frames.RST_STREAM)[3])[0] == ErrorCodes.STREAM_CLOSED


@pytest.mark.parametrize(("writing", "code"), [(True, ErrorCodes.PROTOCOL_ERROR), (False, ErrorCodes.NO_ERROR)])
def test_a_fault_after_a_clients_goaway(shared: tuple[Daemon, FakeApp], writing: bool, code: int) -> None:
    """It takes the place of our GOAWAY while that is not on its way yet; else it is not said any more."""
    first = PREFACE + SETTINGS
    fault = frame(frames.GOAWAY, 0, 0, bytes(8)) + frame(frames.PING, 0, 1, bytes(8))
    peer = Peer(shared[0].port, first + fault if writing else first)
    if not writing:
        assert peer.fate() == ("fine", 0)
        peer.wire.send(fault)
    assert goaway(peer)[1] == code


def test_a_server_says_what_it_takes(shared: tuple[Daemon, FakeApp]) -> None:
    """In its first frame, to the byte as the real one."""
    peer = Peer(shared[0].port)
    said = list(struct.iter_unpack(">HI", peer.until(frames.SETTINGS)[3]))
    assert said == [(5, 1 << 20), (3, 250), (6, 1048896), (1, 4096), (4, 1 << 20), (9, 1)]


def test_data_of_a_stream_that_never_was_is_refused_with_its_head(shared: tuple[Daemon, FakeApp]) -> None:
    """Each by itself, also where both come together."""
    peer = Peer(shared[0].port)
    peer.wire.send(head(3, GET + BAD) + head(5, GET + field(b"te", b"gzip")))
    peer.wire.send(head(1, b"\xff" + GET, 13) + DATA + DATA)
    codes = [struct.unpack(">I", peer.until(frames.RST_STREAM)[3])[0] for _ in range(4)]
    assert codes[1:] == [ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED, ErrorCodes.STREAM_CLOSED]
