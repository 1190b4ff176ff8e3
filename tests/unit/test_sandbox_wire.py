"""Frames on the line between the host and the guest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.sandbox.uml.inside.wire import DATA, EXIT, Decoder, Frame, encode, message

FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))


@given(st.lists(FRAMES, max_size=8), st.integers(1, 50))
def test_frames_survive_any_cut(frames: list[Frame], piece: int) -> None:
    """However the line cuts the bytes up, the same frames come out in the same order."""
    line = b"".join(map(encode, frames))
    decoder = Decoder()
    seen = [frame for start in range(0, len(line), piece) for frame in decoder.feed(line[start : start + piece])]
    assert seen == frames


def test_half_a_frame_is_none() -> None:
    """A frame is given out when its last byte is there, not before."""
    whole, decoder = encode(Frame(DATA, 1, b"text")), Decoder()
    assert decoder.feed(whole[:-1]) == []
    assert decoder.feed(whole[-1:]) == [Frame(DATA, 1, b"text")]


def test_a_message_is_an_object() -> None:
    """JSON frames carry objects; anything else is refused by name."""
    (frame,) = Decoder().feed(message(EXIT, status=3))
    assert frame.json() == {"status": 3}
    with pytest.raises(ValueError, match="instead of an object"):
        Frame(EXIT, 0, b"3").json()
