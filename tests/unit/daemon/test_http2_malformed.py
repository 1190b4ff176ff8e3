"""What an HTTP/2 client may not do: its stream or its connection ends, with RFC 9113's code, and nobody else's."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import ErrorCodes, frame
from tests.unit.daemon.daemon_wire import Daemon, FakeApp, StartProxy, Wire, wait_for

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frames.settings_frame({})


def get_of(host: bytes) -> bytes:
    """A GET of a host."""
    return frames.encode([(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host), (b":path", b"/")])


GET = get_of(b"a")
POST = b"\x83" + GET[1:]
PING = frame(frames.PING, 0, 0, b"still on")


def head(stream: int, block: bytes, flags: int = frames.END_STREAM | frames.END_HEADERS) -> bytes:
    """A request."""
    return frame(frames.HEADERS, flags, stream, block)


def field(name: bytes, value: bytes) -> bytes:
    """A field as it is, whether or not it may be."""
    return frames.field(name, value)


def setting(name: int, value: int) -> bytes:
    """SETTINGS with one value."""
    return frames.settings_frame({name: value})


class Peer:
    """A client that writes frames as it likes."""

    def __init__(self, port: int, first: bytes = PREFACE + SETTINGS) -> None:
        self.wire = Wire.to(port)
        self.wire.send(first)

    def read_frame(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and payload of the next frame; AssertionError when it is closed."""
        word, flags, stream = frames.unpack_head(self.wire.read_exactly(9), 0)
        return word & 0xFF, flags, stream, self.wire.read_exactly(word >> 8)

    def until(self, *kinds: int) -> tuple[int, int, int, bytes]:
        """The next frame of one of these kinds."""
        while True:
            found = self.read_frame()
            if found[0] in kinds and not (found[0] == frames.SETTINGS and found[1] & frames.ACK):
                return found

    def fate(self, sent: bytes = b"") -> tuple[str, int]:
        """What becomes of this, or of what was sent before: the connection, a stream, or nothing ended before the
        answer to a ping. It goes out in one piece with that: a connection that has ended is soon closed.
        """
        with suppress(ConnectionError):
            self.wire.send(sent + PING)
        kind, _, _, payload = self.until(frames.GOAWAY, frames.RST_STREAM, frames.PING)
        if kind == frames.GOAWAY:
            return "connection", struct.unpack_from(">I", payload, 4)[0]
        return ("stream", struct.unpack(">I", payload)[0]) if kind == frames.RST_STREAM else ("fine", 0)


GOAWAY = frame(frames.GOAWAY, 0, 0, bytes(8))
NAMED = GET + field(b"x-mine", b"1")
OPEN = head(1, POST, frames.END_HEADERS)
DATA = frame(frames.DATA, 0, 1, b"x")
P, F, S, C, R = (
    ErrorCodes.PROTOCOL_ERROR,
    ErrorCodes.FLOW_CONTROL_ERROR,
    ErrorCodes.FRAME_SIZE_ERROR,
    ErrorCodes.COMPRESSION_ERROR,
    ErrorCodes.STREAM_CLOSED,
)
CONNECTION = [
    ("a frame larger than agreed on", b"\x10\0\1\0\0\0\0\0\0", S),
    ("a request on an even stream", head(2, GET), P),
    ("a request on the connection", head(0, GET), P),
    ("a stream that went down", head(5, GET) + head(3, GET), P),
    ("data on the connection", frame(frames.DATA, 0, 0, b"x"), P),
    ("data on an idle stream", frame(frames.DATA, 0, 1, b"x"), P),
    ("a reset of an idle stream", frames.number_frame(frames.RST_STREAM, 1, 8), P),
    ("a reset of the connection", frames.number_frame(frames.RST_STREAM, 0, 8), P),
    ("a reset of another size", frame(frames.RST_STREAM, 0, 1, b"12345"), S),
    ("a window of an idle stream", frames.number_frame(frames.WINDOW_UPDATE, 1, 8), P),
    ("a window that grows by nothing", frames.number_frame(frames.WINDOW_UPDATE, 0, 0), P),
    ("a window that grows too much", frames.number_frame(frames.WINDOW_UPDATE, 0, (1 << 31) - 1), F),
    ("a window update of another size", frame(frames.WINDOW_UPDATE, 0, 0, b"123"), S),
    ("SETTINGS on a stream", frame(frames.SETTINGS, 0, 1), P),
    ("SETTINGS of another size", frame(frames.SETTINGS, 0, 0, b"12345"), S),
    ("an acknowledgement with a payload", frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), S),
    ("a push that is neither on nor off", setting(frames.ENABLE_PUSH, 2), P),
    ("a stream window of 2 GiB", setting(frames.INITIAL_WINDOW_SIZE, 1 << 31), F),
    ("a stream window that grows past 2 GiB", OPEN + frames.number_frame(8, 1, 1 << 30) + setting(4, 1 << 31 - 1), F),
    ("frames of less than 16 KiB", setting(frames.MAX_FRAME_SIZE, 16383), P),
    ("PING on a stream", frame(frames.PING, 0, 1, bytes(8)), P),
    ("PING of another size", frame(frames.PING, 0, 0, bytes(7)), S),
    ("GOAWAY on a stream", frame(frames.GOAWAY, 0, 1, bytes(8)), P),
    ("GOAWAY too short", frame(frames.GOAWAY, 0, 0, bytes(7)), S),
    ("a client that pushes", frame(frames.PUSH_PROMISE, 4, 1, bytes(4) + GET), P),
    ("a continuation of nothing", frame(frames.CONTINUATION, 4, 1, GET), P),
    ("another frame amid a head", head(1, GET, 1) + PING, P),
    ("data amid a head", head(1, GET, 1) + frame(frames.DATA, 0, 1, b"x"), P),
    ("a continuation of another stream", head(1, GET, 1) + frame(frames.CONTINUATION, 4, 3, b""), P),
    ("an unknown frame amid a head", head(1, GET, 1) + frame(99, 0, 0, b""), P),
    ("padding longer than the data", OPEN + frame(frames.DATA, 8, 1, b"\5abc"), P),
    ("data after a head that is malformed", head(1, GET + field(b"X-Mine", b"1"), 4) + frame(frames.DATA, 1, 1), P),
    ("a setting twice", frame(frames.SETTINGS, 0, 0, (b"\0\1" + bytes(4)) * 2), P),
    (
        "a hundred settings and one",
        frame(frames.SETTINGS, 0, 0, b"".join(bytes((9, n, 0, 0, 0, 0)) for n in range(101))),
        P,
    ),
    ("extended CONNECT that is neither on nor off", setting(frames.ENABLE_CONNECT_PROTOCOL, 2), P),
    ("SETTINGS acknowledged twice", frame(frames.SETTINGS, frames.ACK, 0) * 2, P),
    ("an urgency on a stream", frame(frames.PRIORITY_UPDATE, 0, 1, b"\0\0\0\1u=1"), P),
    ("an urgency of no stream", frame(frames.PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1"), P),
    ("an urgency that is cut off", frame(frames.PRIORITY_UPDATE, 0, 0, b"\0\0\0"), S),
    ("a priority of another size", frame(frames.PRIORITY, 0, 1, b"\0\0\0\2"), S),
    ("an index that is not in the tables", head(1, b"\xff\x7f"), C),
    ("index 0", head(1, b"\x80"), C),
    ("a head that is cut off", head(1, GET[:-1] + b"\x04\x05ab"), C),
    ("a number that never ends", head(1, b"\xff" + b"\xff" * 20), C),
    ("Huffman code that is none", head(1, b"\0\x84\xff\xff\xff\xff\0"), C),
    ("a dynamic table larger than agreed on", head(1, b"\x3f\xe2\x1f" + GET), C),
    ("a table that changes amid a head", head(1, GET + b"\x40\x01a\x01b\x20"), C),
]
STREAM = [
    ("more data than the window", OPEN + frame(frames.DATA, 0, 1, bytes(1 << 20)) * 2, F),
    ("an upper-case name", head(1, GET + field(b"X-Mine", b"1")), P),
    ("a name with a blank", head(1, GET + field(b"x mine", b"1")), P),
    ("an empty name", head(1, GET + b"\0\0\1a"), P),
    ("a line break in a value", head(1, GET + field(b"x-mine", b"1\r\nhost: b")), P),
    ("a NUL in a value", head(1, GET + field(b"x-mine", b"1\0")), P),
    (
        "trailers that frame",
        head(1, POST + field(b"trailer", b"x-sum"), 4) + head(1, field(b"content-length", b"1")),
        P,
    ),
    ("padding longer than the head", frame(frames.HEADERS, 13, 1, b"\xff" + GET), P),
    ("a stream that depends on itself", frame(frames.HEADERS, 37, 1, b"\0\0\0\1\0" + GET), P),
    ("a priority that depends on itself", frame(frames.PRIORITY, 0, 1, b"\0\0\0\1\0"), P),
    ("another scheme", head(1, GET[:1] + field(b":scheme", b"ftp") + GET[2:]), P),
    ("a user in the authority", head(1, get_of(b"me@a")), P),
    ("a pseudo-header that there is not", head(1, GET + field(b":mine", b"1")), P),
    ("an answer's pseudo-header", head(1, GET + field(b":status", b"200")), P),
    ("a pseudo-header twice", head(1, GET + field(b":path", b"/2")), P),
    ("a pseudo-header late", head(1, GET[:-1] + field(b"x-mine", b"1") + GET[-1:]), P),
    ("no method", head(1, GET[1:]), P),
    ("no path", head(1, GET[:-1]), P),
    ("an empty path", head(1, GET[:-1] + field(b":path", b"")), P),
    ("no scheme", head(1, GET[:1] + GET[2:]), P),
    ("CONNECT", head(1, field(b":method", b"CONNECT") + GET[1:]), P),
    ("lengths that differ", head(1, GET + field(b"content-length", b"1") + field(b"content-length", b"2")), P),
    ("a length that is no number, and data", head(1, POST + field(b"content-length", b"+1"), 4) + DATA, P),
    ("a length of 2^63, and data", head(1, POST + field(b"content-length", b"9223372036854775808"), 4) + DATA, P),
    ("a length and no body", head(1, POST + field(b"content-length", b"3")), P),
    (
        "more than was announced",
        head(1, POST + field(b"content-length", b"3"), 4) + frame(frames.DATA, 0, 1, b"four"),
        P,
    ),
    ("trailers that do not end it", OPEN + head(1, field(b"x-sum", b"1"), 4), P),
    ("trailers with a pseudo-header", OPEN + head(1, field(b":path", b"/"), 5), P),
    ("data after the end", head(1, GET) + frame(frames.DATA, 0, 1, b"x"), R),
    ("a head after the end", head(1, GET) + head(1, GET), R),
    ("a stream window that grows by nothing", OPEN + frames.number_frame(frames.WINDOW_UPDATE, 1, 0), P),
    ("a stream window that grows too much", OPEN + frames.number_frame(8, 1, (1 << 31) - 1), F),
]
FINE = [
    ("an unknown frame", frame(99, 255, 7, b"whatever")),
    ("an unknown setting", setting(99, 1)),
    ("priorities of streams that there are not", frame(frames.PRIORITY, 0, 9, b"\0\0\0\7\x10") * 3),
    ("padding and priority", frame(frames.HEADERS, 45, 1, b"\3\0\0\0\0\x10" + NAMED + bytes(3))),
    ("padded data", OPEN + frame(frames.DATA, 8, 1, b"\3abc\0\0\0")),
    ("nothing but padding", OPEN + frame(frames.DATA, 9, 1, b"\3\0\0\0")),
    ("a head in many frames", head(1, b"", 1) + frame(9, 0, 1, NAMED[:5]) + frame(9, 4, 1, NAMED[5:])),
    ("a reset of one that is over", head(1, GET) + frames.number_frame(3, 1, 8) * 2),
    ("a length that is no number", head(1, GET + field(b"content-length", b"+1"))),
    ("trailers that frame and were not announced", OPEN + head(1, field(b"content-length", b"1"))),
    ("an urgency", frame(frames.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1")),
    ("trailers", OPEN + head(1, field(b"x-sum", b"1"))),
    ("cookies in several fields", head(1, GET + field(b"cookie", b"a=1") + field(b"cookie", b"b=2"))),
    ("a table of no size", head(1, b"\x20" + GET)),
    ("te trailers", head(1, GET + field(b"te", b"trailers"))),
]
OF_ONE_CONNECTION = [
    (b"connection", b"close", 'request header "Connection" is not valid in HTTP/2'),
    (b"transfer-encoding", b"chunked", 'request header "Transfer-Encoding" is not valid in HTTP/2'),
    (b"te", b"gzip", 'request header "TE" may only be "trailers" in HTTP/2'),
]


@pytest.mark.parametrize(("sent", "code"), [case[1:] for case in CONNECTION], ids=[case[0] for case in CONNECTION])
def test_the_connection_ends(shared: tuple[Daemon, FakeApp], sent: bytes, code: int) -> None:
    """With GOAWAY and its code; what else the connection asked for is given up."""
    peer = Peer(shared[0].port)
    assert peer.fate(sent) == ("connection", code)


@pytest.mark.parametrize(("name", "value", "words"), OF_ONE_CONNECTION)
def test_fields_of_one_connection_are_refused(
    shared: tuple[Daemon, FakeApp], name: bytes, value: bytes, words: str
) -> None:
    """With 400 and Go's words; the connection lives."""
    peer = Peer(shared[0].port)
    peer.wire.send(head(1, GET + field(name, value)))
    assert peer.until(frames.DATA)[3] == f"{words}\n".encode()
    assert peer.fate() == ("fine", 0)


REFUSED = [
    (
        head(1, POST + field(b"content-length", b"3"), 4) + frame(frames.DATA, 1, 1, b"2!"),
        b"request declared a Content-Length of 3 but only wrote 2 bytes\n",
    ),
    (head(1, get_of(b"a/b")), b"http2: invalid Host header\n"),
    (head(1, field(b":method", b"G T") + GET[1:]), b'net/http: invalid method "G T"\n'),
]


@pytest.mark.parametrize(
    ("sent", "words"), REFUSED, ids=["less than was announced", "a host that is none", "a method that is none"]
)
def test_what_gos_transport_would_not_send_is_a_502(
    shared: tuple[Daemon, FakeApp], sent: bytes, words: bytes
) -> None:
    """With its words; the connection lives."""
    peer = Peer(shared[0].port)
    peer.wire.send(sent)
    assert peer.until(frames.DATA)[3] == words
    assert peer.fate() == ("fine", 0)


def test_a_connection_that_ended_is_closed(shared: tuple[Daemon, FakeApp]) -> None:
    """Once the client had time to read why, for what it still sends would make the kernel forget that."""
    peer = Peer(shared[0].port)
    assert peer.fate(head(2, GET) + bytes(200_000)) == ("connection", P)
    with pytest.raises(AssertionError, match="closed"):
        peer.until(frames.GOAWAY)


@pytest.mark.parametrize(("sent", "code"), [case[1:] for case in STREAM], ids=[case[0] for case in STREAM])
def test_the_stream_ends_alone(shared: tuple[Daemon, FakeApp], sent: bytes, code: int) -> None:
    """With RST_STREAM and its code; the connection lives."""
    peer = Peer(shared[0].port)
    assert peer.fate(sent) == ("stream", code)
    assert peer.until(frames.PING)[3] == b"still on"


@pytest.mark.parametrize("sent", [case[1] for case in FINE], ids=[case[0] for case in FINE])
def test_what_is_odd_and_allowed_ends_nothing(shared: tuple[Daemon, FakeApp], sent: bytes) -> None:
    """The next ping is answered."""
    peer = Peer(shared[0].port)
    assert peer.fate(sent) == ("fine", 0)


@pytest.mark.parametrize("at", [1, 9, 10, 33])
def test_frames_may_come_in_pieces(shared: tuple[Daemon, FakeApp], at: int) -> None:
    """However they are cut."""
    peer = Peer(shared[0].port, PREFACE)
    whole = (
        SETTINGS + head(1, NAMED) + OPEN.replace(b"\0\0\0\1", b"\0\0\0\3") + frame(frames.DATA, 8, 3, b"\2abc\0\0")
    )
    for begin in range(0, len(whole), at):
        peer.wire.send(whole[begin : begin + at])
        time.sleep(0.001)
    assert peer.fate() == ("fine", 0)


@pytest.mark.parametrize(
    "torn",
    [
        frame(frames.HEADERS, 13, 1),
        frame(frames.HEADERS, 37, 1, b"\0\0"),
        OPEN + frame(frames.DATA, 8, 1),
        frame(frames.PUSH_PROMISE, 4, 1, b"\0\0"),
    ],
    ids=["padding", "priority", "padding of data", "promise"],
)
def test_a_frame_shorter_than_its_own_fields_ends_all(shared: tuple[Daemon, FakeApp], torn: bytes) -> None:
    """Without a GOAWAY: Go takes it for the end of what the client sends."""
    peer = Peer(shared[0].port)
    peer.until(frames.SETTINGS)
    peer.wire.send(torn + PING)
    with pytest.raises(AssertionError, match="closed"):
        peer.until(frames.GOAWAY, frames.PING)


def test_a_fault_drops_what_was_made_of_the_bytes_before_it(shared: tuple[Daemon, FakeApp]) -> None:
    """The reset of a stream that came in one piece with the fault is not sent any more."""
    peer = Peer(shared[0].port)
    assert peer.fate(head(1, GET[1:]) + head(2, GET)) == ("connection", P)


def test_a_clients_goaway_is_answered(shared: tuple[Daemon, FakeApp]) -> None:
    """Nothing that is begun after it is answered, and the connection ends a second later."""
    peer = Peer(shared[0].port)
    refused = GET + field(b"te", b"gzip")
    peer.wire.send(head(1, refused) + GOAWAY + head(3, refused) + frames.number_frame(frames.RST_STREAM, 5, 8))
    assert peer.until(frames.GOAWAY)[3] == b"\0\0\0\1" + bytes(4)
    assert peer.until(frames.HEADERS)[2] == 1
    with pytest.raises(AssertionError, match="closed"):
        peer.until(frames.HEADERS)


@pytest.mark.parametrize("first", [PREFACE + PING, PREFACE + GOAWAY])
def test_the_first_frame_is_settings(shared: tuple[Daemon, FakeApp], first: bytes) -> None:
    """Anything else ends the connection."""
    assert Peer(shared[0].port, b"").fate(first) == ("connection", ErrorCodes.PROTOCOL_ERROR)


# --- floods


def _alive(daemon: Daemon) -> bool:
    wire = daemon.connect()
    try:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1\r\nK-Network-Probe: nobody\r\n\r\n")
        return wire.read_head().status == 400
    finally:
        wire.close()


def _read(peer: Peer) -> None:
    try:
        while peer.wire.sock.recv(65536):
            pass
    except OSError:
        pass


def _pour(peer: Peer, what: Callable[[int], bytes], times: int, reads: bool) -> None:
    """Send without end, reading what comes or not; until the other side closes, or it was enough."""
    if reads:
        threading.Thread(target=_read, args=(peer,), daemon=True).start()
    peer.wire.sock.settimeout(1)
    try:
        for at in range(times):
            peer.wire.send(what(at))
    except OSError:
        pass


FLOODS: list[tuple[str, Callable[[int], bytes]]] = [
    ("pings", lambda _: PING * 1000),
    ("settings", lambda _: SETTINGS * 1000),
    ("empty data", lambda at: (OPEN if at == 0 else b"") + frame(frames.DATA, 0, 1) * 1000),
    ("windows by one", lambda _: frames.number_frame(frames.WINDOW_UPDATE, 0, 1) * 1000),
    ("priorities", lambda _: frame(frames.PRIORITY, 0, 3, b"\0\0\0\1\0") * 1000),
    (
        "resets of one that is over",
        lambda at: (head(1, GET) if at == 0 else b"") + frames.number_frame(3, 1, 8) * 1000,
    ),
    ("refused streams", lambda at: b"".join(head(2 * (at * 1000 + n) + 1, GET) for n in range(1000))),
    (
        "empty continuations",
        lambda at: (head(1, GET, 1) if at == 0 else b"") + frame(frames.CONTINUATION, 0, 1) * 1000,
    ),
]


@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("what", [flood[1] for flood in FLOODS], ids=[flood[0] for flood in FLOODS])
def test_a_flood_costs_a_bounded_memory(
    shared: tuple[Daemon, FakeApp], what: Callable[[int], bytes], reads: bool
) -> None:
    """Whatever it is of, and whether or not its answers are read; others are served meanwhile."""
    daemon = shared[0]
    before = daemon.memory("RssAnon")
    peer = Peer(daemon.port)
    pouring = threading.Thread(target=_pour, args=(peer, what, 60, reads))
    pouring.start()
    assert _alive(daemon)
    pouring.join()
    assert _alive(daemon)
    assert daemon.memory("RssAnon") - before < 8 << 20
    peer.wire.close()


def test_rapid_resets_end_the_connection(queue_proxy: StartProxy) -> None:
    """A thousand at once are taken; then ENHANCE_YOUR_CALM."""
    daemon = queue_proxy()
    peer = Peer(daemon.port)

    def pour() -> None:
        number = 1
        try:
            while True:
                pairs = range(number, number + 200, 2)
                peer.wire.send(b"".join(head(n, GET) + frames.number_frame(3, n, 8) for n in pairs))
                number += 200
        except OSError:
            pass

    threading.Thread(target=pour, daemon=True).start()
    assert struct.unpack_from(">I", peer.until(frames.GOAWAY)[3], 4)[0] == ErrorCodes.ENHANCE_YOUR_CALM
    wait_for(lambda: _alive(daemon), "an answer to another client")


def test_resets_that_the_client_brings_about_count_too(queue_proxy: StartProxy) -> None:
    """Streams that it makes us reset cost as much as those that it resets."""
    peer = Peer(queue_proxy().port)

    def pour() -> None:
        number = 1
        try:
            while True:
                pairs = range(number, number + 200, 2)
                peer.wire.send(b"".join(head(n, GET) + frames.number_frame(8, n, 0) for n in pairs))
                number += 200
        except OSError:
            pass

    threading.Thread(target=pour, daemon=True).start()
    assert struct.unpack_from(">I", peer.until(frames.GOAWAY)[3], 4)[0] == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_known_head_in_place_of_trailers_enters_its_fields_once(shared: tuple[Daemon, FakeApp]) -> None:
    """Only its stream ends, and the dynamic table is as the client has it: its seventh field is there, no eighth."""
    peer = Peer(shared[0].port)
    block = get_of(b"entered") + b"\x40\x01a\x01b"
    for stream in range(1, 13, 2):
        peer.wire.send(head(stream, block))
    peer.wire.send(head(13, POST, frames.END_HEADERS) + head(13, block))
    assert peer.fate() == ("stream", P)
    peer.until(frames.PING)
    peer.wire.send(head(15, GET + bytes([0x80 | 61 + 7])))
    assert peer.fate() == ("fine", 0)
    assert peer.fate(head(17, GET + bytes([0x80 | 61 + 8]))) == ("connection", C)
