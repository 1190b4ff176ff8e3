"""HTTP/1 and URLs read as Go reads them: heads, chunks however they are cut, targets, %q."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.daemon.http import answer_reader, chunks, heads, http1
from emu.daemon.http.chunks import ChunkReader
from emu.daemon.http.goquote import quoted
from emu.daemon.http.gourl import TargetError, read_target
from emu.daemon.http.h2_frames import MalformedError
from emu.daemon.queue_proxy import h2_known


def read_all(wire: bytes, cuts: list[int]) -> tuple[bytes, ChunkReader]:
    """A chunked body read in these pieces."""
    reader = ChunkReader()
    body = b""
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for a, b in itertools.pairwise(edges):
        if not (reader.done or reader.fault):
            body += reader.feed(wire[a:b])
        elif reader.done:
            reader.rest += wire[a:b]
    return body, reader


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    trailer=st.booleans(),
)
def test_chunks_are_the_same_however_they_are_cut(pieces: list[bytes], cuts: list[int], trailer: bool) -> None:
    """What follows is kept, trailers are read."""
    wire = b"".join(b"%x;e\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    wire += b"0\r\nX-T: v \r\n\r\nnext" if trailer else b"0\r\n\r\nnext"
    body, reader = read_all(wire, cuts)
    assert (body, reader.rest, reader.fault) == (b"".join(pieces), b"next", "")
    assert reader.trailers == ([(b"X-T", b"v")] if trailer else [])


@given(wire=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_broken_chunks_break_wherever_they_are_cut(wire: bytes, cuts: list[int]) -> None:
    """For the same reason, after the same bytes."""
    whole, at_once = read_all(wire, [])
    body, reader = read_all(wire, cuts)
    assert (reader.fault, reader.done) == (at_once.fault, at_once.done)
    assert body + reader.left_over() == whole + at_once.left_over()


def test_chunk_extensions_without_end_are_cut_off() -> None:
    """16 KiB beyond twice the data."""
    reader = ChunkReader()
    for _ in range(100):
        reader.feed(b"1;" + b"e" * 1000 + b"\r\na\r\n")
        if reader.fault:
            break
    assert reader.fault == "chunked encoding contains too much non-data"


def test_a_part_of_a_chunk_waits_for_the_rest_of_it() -> None:
    """Up to 32 KiB, as Go's reader holds it."""
    reader = ChunkReader()
    assert reader.feed(b"3\r\nabc\r\n5\r\nde") == b""
    assert reader.feed(b"fgh\r\n") == b"abcdefgh"
    assert reader.feed(b"fffff\r\n" + bytes(1000)) == b""
    assert len(reader.feed(bytes(32 * 1024))) == 1000 + 32 * 1024


@pytest.mark.parametrize(
    ("target", "goes_on", "host"),
    [
        (b"/a%2Fb?c=%zz", b"/a%2Fb?c=%zz", b""),
        ("/\u00e9".encode(), b"/%C3%A9", b""),
        (b'/a%2Fb"', b"/a/b%22", b""),
        (b"http://u@h:81?x", b"/?x", b"h:81"),
        (b"http://[::1]:80/", b"/", b"[::1]:80"),
        (b"mailto:a", b"a", b""),
        (b"*", b"*", b""),
    ],
)
def test_a_target_goes_on_as_go_writes_it(target: bytes, goes_on: bytes, host: bytes) -> None:
    """Unchanged if it is a valid encoding; else decoded and encoded again."""
    assert read_target(target) == (goes_on, host)


@pytest.mark.parametrize(
    "target", [b"", b"a", b"/%", b"/%4", b"/%zz", b"/\x01", b"http://a:b/", b"http://a%41/", b"http://[::1/", b"://x"]
)
def test_what_is_no_target_is_refused(target: bytes) -> None:
    """In HTTP/1 with a 400, in HTTP/2 with a stream error."""
    with pytest.raises(TargetError):
        read_target(target)
    pseudo = {b":method": b"GET", b":scheme": b"http", b":path": target}
    with pytest.raises(MalformedError):
        h2_known.read_head(list(pseudo.items()), pseudo)


def test_a_path_in_http2_is_encoded_too() -> None:
    """As in HTTP/1."""
    pseudo = {b":method": b"GET", b":scheme": b"http", b":path": "/\u00e9".encode()}
    assert h2_known.read_head(list(pseudo.items()), pseudo).uri == b"/%C3%A9"


def test_more_than_500_fields_are_a_431() -> None:
    """Go's limit."""
    lines = b"".join(b"X-%d: v\r\n" % number for number in range(500))
    with pytest.raises(http1.HeadError) as refused:
        http1.parse_head(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    assert refused.value.status == 431


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    """Nothing else is raised, by requests or answers."""
    whole = data + b"\r\n\r\n"
    for read in (http1.parse_head, lambda head: answer_reader.parse_head(head, False)):
        with contextlib.suppress(http1.HeadError, heads.MessageError):
            read(whole[: heads.end_of(whole)])


def test_values_of_many_blanks_are_read_in_no_time() -> None:
    """No expression goes back and forth over them."""
    value = b"a" + b" " * 200_000 + b"\x01"
    with pytest.raises(heads.MessageError):
        heads.fields(b"X: " + value + b"\r\n\r\n", 0)


def test_text_is_quoted_as_go_quotes_it() -> None:
    """Escapes, UTF-8 that prints, bytes that are none."""
    said = 'a"\\\n\x01\u00e9\u200b'.encode() + b"\xff"
    assert quoted(said) == '"a\\"\\\\\\n\\x01\u00e9\\u200b\\xff"'.encode()


@pytest.mark.parametrize("line", [b"nothing\r\n", b"X Y\x01: 1\r\nA", b"X(: 1\r\nA", b" folded\r\n"])
def test_a_wrong_line_is_refused_before_the_head_is_whole(line: bytes) -> None:
    """As soon as it is plain that no fold follows; what is looked at once is not looked at again."""
    start = len(b"A: 1\r\n")
    with pytest.raises(heads.MessageError):
        heads.check_part(line, 0, True)
    assert heads.check_part(b"A: 1\r\nB: 2\r\nC: 3", 0, True) == 2 * start
    assert heads.check_part(b"A: 1\r\nB: 2\r\n", start, False) == start


@given(st.lists(st.sampled_from([b"A: 1\r\n", b" f\r\n", b"B", b":", b"\r", b"\n", b"\x01", b"x"]), max_size=8))
def test_a_head_is_refused_in_part_only_if_it_is_refused_whole(pieces: list[bytes]) -> None:
    """However it goes on."""
    data = b"".join(pieces)
    if heads.end_of(b"\n" + data):
        return
    try:
        heads.check_part(data, 0, True)
    except heads.MessageError:
        with pytest.raises(heads.MessageError):
            heads.fields(data + b"\r\n\r\n", 0)


@given(
    st.lists(
        st.sampled_from(
            [
                b"A: 1",
                b"Host: b",
                b"Connection: keep-alive",
                b"Content-Length: 03",
                b"Transfer-Encoding: Chunked",
                b"Pragma: x",
                b"x-y:  z ",
                b"A : 1",
                b" f",
                b"B",
                b"C: \x01",
            ]
        ),
        max_size=5,
    ),
    st.sampled_from([b"GET / HTTP/1.1", b"PUT /%41?b HTTP/1.1", b"GET /%z HTTP/1.1", b"GET /a b HTTP/1.1"]),
)
def test_the_short_way_reads_heads_as_the_long_way_does(lines: list[bytes], first: bytes) -> None:
    """Whatever the short way takes."""
    data = b"\r\n".join([first, b"Host: a", *lines]) + b"\r\n\r\n"
    short = http1.usual_head(data)
    if short is None:
        return
    long = http1.parse_head(data.replace(b" HTTP/1.1", b" HTTP/1.2", 1))  # which only the long way takes
    assert all(getattr(short, name) == getattr(long, name) for name in http1.Head.__slots__)


_CHUNKS = [
    b"0\r\n",
    b"\r\n",
    b"1\r\na\r\n",
    b"2\r\n\r\n\r\n",
    b"3;a=b\r\nabc\r\n",
    b"0a\r\n0\r\n\r\n12345\r\n",
    b"5\r\na\r\n",
]


@given(st.lists(st.sampled_from(_CHUNKS), max_size=5))
def test_a_body_in_one_piece_is_taken_apart_as_one_that_comes_in_parts(pieces: list[bytes]) -> None:
    """Whatever the short way takes: the same data, no trailers, and nothing after it."""
    said = b"\r\n" + b"".join(pieces) + b"0\r\n\r\n"
    short = chunks.whole(said, 2)
    if short is None:
        return
    reader = chunks.ChunkReader()
    body = b"".join(reader.feed(said[at : at + 1]) for at in range(2, len(said)))
    assert (body, reader.done, reader.rest, reader.trailers, reader.fault) == (short, True, b"", [], "")


def test_an_ordinary_body_takes_the_short_way() -> None:
    """Also an empty one; not one with trailers, or with more behind it."""
    assert chunks.whole(b"\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", 2) == b"ab"
    assert chunks.whole(b"\r\n0\r\n\r\n", 2) == b""
    assert chunks.whole(b"\r\n1\r\na\r\n0\r\nA: 1\r\n\r\n", 2) is None
    assert chunks.whole(b"\r\n1\r\na\r\n0\r\n\r\n0\r\n\r\n", 2) is None
