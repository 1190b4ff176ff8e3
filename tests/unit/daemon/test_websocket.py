"""emu's websockets: the app's echo and the load generator's conversation, against each other and torn frames."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.daemon.http.websocket import BINARY, Conversation, ProtocolError, accept_key, frame, take_frame
from emu.daemon.load.sender import request_head
from emu.policy.loadplan import RequestSpec
from tests.unit.daemon.daemon_wire import Daemon


def test_the_key_is_the_standards_own_example() -> None:
    """RFC 6455, 1.3."""
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.binary(max_size=70_000), st.one_of(st.just(b""), st.binary(min_size=4, max_size=4)), st.integers(0, 20))
def test_a_frame_is_read_back_wherever_it_is_torn(payload: bytes, mask: bytes, cut: int) -> None:
    """All three lengths, masked and not; nothing comes out before all is there, and nothing is left."""
    whole = frame(BINARY, payload, mask=mask)
    data = bytearray(whole[: max(0, len(whole) - 1 - cut)])
    assert take_frame(data) is None
    data += whole[len(data) :] + b"rest"
    assert take_frame(data) == (BINARY, payload)
    assert data == b"rest"


def test_a_frame_that_is_too_large_is_refused() -> None:
    """Before any of it is gathered."""
    with pytest.raises(ProtocolError):
        take_frame(bytearray(b"\x82\x7f" + (1 << 40).to_bytes(8, "big")))


def test_our_app_echoes_what_our_load_says(app: Daemon) -> None:
    """Ten messages, each awaited back, and the close; the status is 101."""

    async def talk() -> Conversation:
        conversation = Conversation("127.0.0.1", app.port, request_head(RequestSpec(), "app", True))
        await conversation.connect()
        await conversation.hold(10, 0.001, 70_000)
        return conversation

    conversation = asyncio.run(talk())
    assert (conversation.status, conversation.echoed_bytes) == (101, 700_000)
