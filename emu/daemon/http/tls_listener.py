"""A listening socket with TLS whose clients learn why a handshake fails, as Go's do.

asyncio and uvloop end a connection whose handshake fails without sending OpenSSL's alert, and OpenSSL goes on without
a protocol where a client offers only such as are not spoken. So what a client says first is looked at while it is
still in the kernel; and where a handshake has failed, OpenSSL is given the same bytes again for its alert.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import ssl
from collections.abc import Callable

from emu.daemon.http import client_hello

PEEK_BYTES = 18 * 1024
"""A ClientHello is one record at most."""
LEAST_S = 0.001
"""What is left of the time for a handshake is no less: asyncio takes no 0."""
PAUSE_S = 1.0
"""So long nothing is accepted once there is no room for another connection (as asyncio does)."""
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TlsListener:
    """Accepts connections; `make` makes the protocol of each once its handshake is done."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        protocols: tuple[bytes, ...],
        make: Callable[[], asyncio.BaseProtocol],
        first_limit_s: float | None,
    ) -> None:
        self._listener = listener
        self.context = context
        """Of those who connect from now on."""
        self._protocols = protocols
        self._make = make
        self._first_limit_s = first_limit_s
        self._shaking: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Listen no more; handshakes that are under way end."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        for task in self._shaking:
            task.cancel()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    client, _ = self._listener.accept()
                except BlockingIOError:
                    raise
                except OSError as failed:
                    if failed.errno in _NO_ROOM:
                        # It would be readable all the time.
                        self._loop.remove_reader(self._listener)
                        self._loop.call_later(PAUSE_S, self._listen)
                    return
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task = self._loop.create_task(self._shake(client))
                self._shaking.add(task)
                task.add_done_callback(self._shaking.discard)

    async def _shake(self, client: socket.socket) -> None:
        begun, context = self._loop.time(), self.context
        try:
            second = client.dup()
        except OSError:  # no room for another descriptor
            client.close()
            return
        with second:
            try:
                first = await asyncio.wait_for(self._first(second), self._first_limit_s)
            except (OSError, TimeoutError, asyncio.CancelledError):
                client.close()
                return
            refusal = client_hello.refusal(first)
            if refusal is None and self._strange(first):
                refusal = _alert(context, first) or client_hello.NO_APPLICATION_PROTOCOL
            if refusal is None:
                left_s = None
                if self._first_limit_s is not None:
                    left_s = max(LEAST_S, begun + self._first_limit_s - self._loop.time())
                try:
                    await self._loop.connect_accepted_socket(
                        self._make, client, ssl=context, ssl_handshake_timeout=left_s
                    )
                except ssl.SSLError:
                    refusal = _alert(context, first)
                except OSError:
                    return
            else:
                client.close()
            if refusal is not None:
                with contextlib.suppress(OSError):
                    if refusal:
                        second.send(refusal)
                    second.recv(PEEK_BYTES)  # unread, it would make a reset of the close

    async def _first(self, client: socket.socket) -> bytes:
        """What the client says first, all of its ClientHello if it comes that far; it stays unread."""
        readable = asyncio.Event()
        self._loop.add_reader(client, readable.set)
        try:
            while True:
                await readable.wait()
                said = client.recv(PEEK_BYTES, socket.MSG_PEEK)
                needed = min(client_hello.needed(said), PEEK_BYTES)
                if len(said) >= needed or _ended(client):
                    return said
                # What is there stays there: without this the socket would be readable all the time.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, needed)
                readable.clear()
        finally:
            self._loop.remove_reader(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _strange(self, first: bytes) -> bool:
        """Whether the client offers protocols, and none that is spoken here."""
        offered = client_hello.offered(first)
        return bool(offered) and not any(name in self._protocols for name in offered)


def _ended(client: socket.socket) -> bool:
    """Whether the client sends nothing more."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def _alert(context: ssl.SSLContext, first: bytes) -> bytes:
    """What OpenSSL says to a handshake that begins like this: an alert, or nothing if there is nothing wrong."""
    said, says = ssl.MemoryBIO(), ssl.MemoryBIO()
    said.write(first)
    try:
        context.wrap_bio(said, says, server_side=True).do_handshake()
    except ssl.SSLWantReadError:
        return b""
    except ssl.SSLError:
        pass
    said_alert = says.read()
    return client_hello.as_go_says(said_alert)
