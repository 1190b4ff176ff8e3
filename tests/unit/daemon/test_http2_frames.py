"""Heads of HTTP/2 as bytes: coded and decoded as hpack, the library, does it."""

from __future__ import annotations

import pytest
from hpack import Decoder as TheirDecoder
from hpack import Encoder as TheirEncoder
from hpack import HPACKError
from hypothesis import given
from hypothesis import strategies as st

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_decoder import Decoder
from emu.daemon.http.h2_frames import ProtocolError

names = st.sampled_from([b":path", b"content-type", b"x-mine", b"cookie", b"date", b"x" * 200])
values = st.one_of(st.binary(max_size=300), st.sampled_from([b"", b"/", b"application/grpc", b"GET"]))
heads = st.lists(st.lists(st.tuples(names, values), max_size=12), min_size=1, max_size=6)


@given(heads, st.booleans())
def test_what_their_encoder_says_is_understood(said: list[list[tuple[bytes, bytes]]], huffman: bool) -> None:
    """One head after the other on a connection, with the dynamic table and the Huffman code."""
    encoder, decoder = TheirEncoder(), Decoder()
    for head in said:
        assert decoder.decode(encoder.encode(head, huffman=huffman)) == head


@given(heads)
def test_what_is_said_needs_no_table(said: list[list[tuple[bytes, bytes]]]) -> None:
    """Each head is understood by a decoder that knows nothing, and leaves none of it behind."""
    ours = Decoder()
    for head in said:
        block = frames.encode(head)
        assert [tuple(pair) for pair in TheirDecoder(1 << 20).decode(block, raw=True)] == head
        assert ours.decode(block) == head
    assert ours.changes == 0


@given(st.binary(max_size=60))
def test_any_bytes_are_understood_as_theirs_or_refused(block: bytes) -> None:
    """No other error comes of them. Go takes some that they refuse: an empty table may change its size late."""
    try:
        ours: object = Decoder().decode(block)
        theirs = [tuple(pair) for pair in TheirDecoder(1 << 20).decode(block, raw=True)]
    except (ProtocolError, HPACKError):
        return
    assert ours == theirs


def test_changes_of_the_table_are_counted() -> None:
    """By an entry, and by its size."""
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.changes == 1
    assert decoder.decode(b"\xbe") == [(b"a", b"b")]
    assert decoder.changes == 1
    decoder.decode(b"\x20")
    assert decoder.changes == 2
    with pytest.raises(ProtocolError):
        decoder.decode(b"\xbe")


@given(heads, st.booleans())
def test_a_block_that_needs_no_table_may_be_remembered(said: list[list[tuple[bytes, bytes]]], again: bool) -> None:
    """Entering what it entered is as good as decoding it: what follows means the same."""
    encoder, decoder, other = TheirEncoder(), Decoder(), Decoder()
    for head in said:
        block = encoder.encode(head)
        decoder.decode(block)
        if decoder.free:
            other.enter(decoder.entered)
        else:
            assert other.decode(block) == head
        assert other.changes == decoder.changes


def test_a_head_longer_than_a_frame_is_continued() -> None:
    """In frames of the size that the peer takes, the last of which says so."""
    block = b"x" * 40000
    wire = frames.head_frames(1, block, True, 16384)
    found, at = [], 0
    while at < len(wire):
        word, flags, stream = frames.unpack_head(wire, at)
        found.append((word & 0xFF, flags, stream, word >> 8))
        at += 9 + (word >> 8)
    assert found == [(1, 1, 1, 16384), (9, 0, 1, 16384), (9, 4, 1, 7232)]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([(b":status", b"200"), (b"x-a ", b"b")], 'invalid header field name "x-a "'),
        ([(b":status", b"200"), (b"x-a", b"\0")], 'invalid header field value for "x-a"'),
        ([(b":status", b"200"), (b":status", b"200")], 'duplicate pseudo-header ":status"'),
        ([(b":status", b"200"), (b":path", b"/")], "mix of request and response pseudo headers"),
        ([(b":status", b"200"), (b":odd", b"")], 'invalid pseudo-header ":odd"'),
        ([(b"x-a", b"b"), (b":status", b"200")], "pseudo header field after regular"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said_in_gos_words(headers: list[tuple[bytes, bytes]], words: str) -> None:
    """They reach the client as the 502's text."""
    with pytest.raises(frames.MalformedError) as failed:
        frames.check(headers)
    assert str(failed.value) == words


def test_an_answer_loses_what_frames_it_on_one_connection() -> None:
    """And a length that is none, or two that differ; two alike become one."""
    kept = [(b"x-a", b"b"), (b"content-length", b"2")]
    assert frames.without_framing([*kept, (b"connection", b"x-a"), (b"content-length", b"2")]) == kept
    assert frames.without_framing([*kept, (b"content-length", b"3")]) == kept[:1]
    assert frames.without_framing([(b"content-length", b"-3"), (b"transfer-encoding", b"chunked")]) == []
