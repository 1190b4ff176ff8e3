"""The activator's probe of a pod."""

from __future__ import annotations

import asyncio

import pytest

from emu.daemon.activator import probe

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nqueue", True),
        (CHUNKED + b"2\r\nqu\r\n3\r\neue\r\n0\r\n\r\n", True),
        (CHUNKED + b"5\r\nother\r\n0\r\n\r\n", False),
        (CHUNKED + b"queue", False),
        (CHUNKED + b"5\r\nqueue\r\n", False),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nqueue", False),
    ],
)
def test_a_pod_is_ready_that_answers_the_probe(monkeypatch: pytest.MonkeyPatch, answer: bytes, ready: bool) -> None:
    """With 200 and the name of the program, all of it, however the body is framed; so does Knative's activator take
    it.
    """
    monkeypatch.setattr(probe, "PROBE_LIMIT_S", 60.0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def ask() -> bool:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await probe.healthy("127.0.0.1", server.sockets[0].getsockname()[1])

    assert asyncio.run(ask()) is ready
