"""Just enough of websockets (RFC 6455) to load one and to echo: frames in and out, no extensions.

The app's side echoes each message and answers pings and closes; the load generator's side sends messages and sees
each come back.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time

from emu.daemon.http.reply import read_head

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FINAL = 0x80
_MASKED = 0x80
MAX_MESSAGE = 1 << 20


class ProtocolError(Exception):
    """Not a frame that we take."""


def accept_key(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def frame(opcode: int, payload: bytes, *, mask: bytes = b"") -> bytes:
    """One final frame; clients give four bytes of mask."""
    size = len(payload)
    masked = _MASKED if mask else 0
    if size < 126:
        head = bytes((_FINAL | opcode, masked | size))
    elif size < 1 << 16:
        head = bytes((_FINAL | opcode, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, masked | 127)) + size.to_bytes(8, "big")
    return head + mask + (_masked(payload, mask) if mask else payload)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def take_frame(data: bytearray) -> tuple[int, bytes] | None:
    """The first whole frame in `data`, taken out of it: its opcode and payload. None where it is not whole yet."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size > 125:
        width = 2 if size == 126 else 8
        at += width
        if len(data) < at:
            return None
        size = int.from_bytes(data[2:at], "big")
    if size > MAX_MESSAGE:
        raise ProtocolError(f"a frame of {size} bytes")
    mask = b""
    if data[1] & _MASKED:
        mask = bytes(data[at : at + 4])
        at += 4
    if len(data) < at + size:
        return None
    payload = bytes(data[at : at + size])
    opcode = data[0] & 0x0F
    del data[: at + size]
    return opcode, _masked(payload, mask) if mask else payload


class Echo(asyncio.Protocol):
    """The app's side, once the connection was switched."""

    def __init__(self, transport: asyncio.Transport, early: bytes) -> None:
        self._transport = transport
        self._data = bytearray()
        transport.set_protocol(self)
        transport.resume_reading()
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            while (found := take_frame(self._data)) is not None:
                self._answer(*found)
        except ProtocolError:
            self._transport.close()

    def _answer(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._transport.write(frame(CLOSE, payload[:2]))
            self._transport.close()
        elif opcode == PING:
            self._transport.write(frame(PONG, payload))
        elif opcode != PONG:
            self._transport.write(frame(opcode, payload))

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


class Conversation:
    """The client's side: connect, switch, send each message and wait for its echo, close."""

    def __init__(self, host: str, port: int, head: bytes) -> None:
        self._address = (host, port)
        self._head = head
        self.status: int | None = None
        self.first_byte: float | None = None
        self.echoed_bytes = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> asyncio.BaseTransport:
        """Connect, and the connection. OSError."""
        self._streams = await asyncio.open_connection(*self._address)
        return self._streams[1].transport

    async def hold(self, messages: int, every_s: float, size: int) -> None:
        """All of it, once connected. ConnectionError or EOFError when it breaks before its end, ProtocolError for a
        wrong echo.
        """
        assert self._streams is not None
        reader, writer = self._streams
        try:
            key = base64.b64encode(os.urandom(16))
            upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            writer.write(self._head[:-2] + upgrade + b"Sec-WebSocket-Key: %b\r\n\r\n" % key)
            answer = await read_head(reader)
            self.first_byte = time.monotonic()
            self.status = answer.status
            if self.status != 101:
                return
            if answer.fields.get("sec-websocket-accept") != accept_key(key).decode():
                raise ProtocolError("not the key that was asked for")
            await self._talk(reader, writer, messages, every_s, size)
        finally:
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: int, every_s: float, size: int
    ) -> None:
        data = bytearray()
        begun = time.monotonic()
        for number in range(messages):
            await asyncio.sleep(max(0.0, begun + number * every_s - time.monotonic()))
            said = os.urandom(size)
            writer.write(frame(BINARY, said, mask=os.urandom(4)))
            if await _next(reader, data) != (BINARY, said):
                raise ProtocolError("another message came back")
            self.echoed_bytes += size
        writer.write(frame(CLOSE, b"\x03\xe8", mask=os.urandom(4)))
        if (await _next(reader, data))[0] != CLOSE:
            raise ProtocolError("no close came back")


async def _next(reader: asyncio.StreamReader, data: bytearray) -> tuple[int, bytes]:
    while (found := take_frame(data)) is None:
        more = await reader.read(65536)
        if not more:
            raise ConnectionResetError("closed in the middle")
        data += more
    return found
