"""Connections to the app: dialled when needed, kept for the next request (Knative's pkg/network/transports.go)."""

from __future__ import annotations

import asyncio
import os
import time

from emu.daemon.http.client import EarlyEndError, KnownAnswer, UpstreamConnection, connect
from emu.daemon.http.known import Known
from emu.policy.timeouts import dial_limits

IDLE_S = 90.0
"""How long an unused connection is kept (net/http, IdleConnTimeout)."""
MAX_IDLE_UNLIMITED = 1000
"""Idle connections kept when containerConcurrency is 0 (transports.go)."""


BROKEN = "net/http: HTTP/1.x transport connection broken"


class DialError(Exception):
    """The app cannot be reached; the text is what Go's net package says."""


class AppConnections:
    """The pool of connections to one address. The one used last is used first, so that the rest can go idle."""

    def __init__(self, host: str, port: int, max_idle: int) -> None:
        self.host = host
        self.port = port
        self.address = f"{host}:{port}".encode()
        self._max_idle = max_idle
        self._idle: list[UpstreamConnection] = []
        self._known: Known[KnownAnswer] = Known()

    def take(self, now: float) -> UpstreamConnection | None:
        """An idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.closed:
                continue
            if now - connection.idle_since > IDLE_S:
                connection.drop()
                continue
            return connection
        return None

    def give_back(self, connection: UpstreamConnection, now: float) -> None:
        """Keep a connection whose answer is complete, unless it still holds some of the request."""
        idle = self._idle
        if len(idle) >= self._max_idle:
            idle = self._idle = [each for each in idle if not each.closed]
        if connection.closed or connection.transport.get_write_buffer_size() or len(idle) >= self._max_idle:
            connection.drop()
            return
        if connection.paused:
            connection.resume()
        connection.idle_since = now
        idle.append(connection)

    def sweep(self) -> None:
        """Close what was idle for too long; the oldest come first."""
        now = time.monotonic()
        idle = [each for each in self._idle if not each.closed]
        self._idle = [each for each in idle if now - each.idle_since <= IDLE_S]
        for each in idle:
            if now - each.idle_since > IDLE_S:
                each.drop()

    async def dial(self) -> UpstreamConnection:
        """A new connection. Only an attempt that timed out is repeated. DialError with Go's words."""
        where = f"dial tcp {self.host}:{self.port}"
        begun = time.monotonic()
        for limit_s, pause_s in dial_limits(chance):
            if pause_s:
                await asyncio.sleep(pause_s)
            try:
                connection = await connect(self.host, self.port, limit_s)
            except TimeoutError:
                continue
            except EarlyEndError as ended:
                raise DialError(early_words(ended)) from ended
            except OSError as failed:
                raise DialError(f"{where}: {go_words(failed)}") from failed
            connection.known = self._known
            return connection
        raise DialError(timeout_words(self.host, self.port, time.monotonic() - begun))

    def close(self) -> None:
        """Close every idle connection, and keep none from now on."""
        self._max_idle = 0
        for connection in self._idle:
            connection.drop()
        self._idle.clear()


def chance() -> float:
    """A number from 0 to 1. Only an attempt that is repeated asks for one, so no start pays for the import."""
    import random

    return random.random()


def timeout_words(host: str, port: int, seconds: float) -> str:
    """What Knative says once it has tried for long enough (pkg/network/transports.go)."""
    return f"timed out dialing {host}:{port} after {seconds:.2f}s"


def go_words(failed: OSError) -> str:
    """What Go says of a failed connection attempt."""
    number = failed.errno or 0
    call = "socket" if number in (23, 24) else "connect"
    return f"{call}: {os.strerror(number).lower()}"


def early_words(ended: EarlyEndError) -> str:
    """What Go's transport says when a connection ends before a request was written to it (readLoopPeekFailLocked)."""
    if ended.why is None:
        return "http: server closed idle connection"
    return f"readLoopPeekFailLocked: {broken_words(ended.connection, ended.why)}"


def broken_words(connection: UpstreamConnection, why: Exception | None) -> str:
    """What Go's transport says when a connection breaks before the answer's head: `EOF`, or the read error."""
    if isinstance(why, ConnectionResetError | BrokenPipeError):
        if connection.ours is None:
            return "read: connection reset by peer"
        host, port = connection.server
        return f"read tcp {connection.ours[0]}:{connection.ours[1]}->{host}:{port}: read: connection reset by peer"
    return "EOF" if why is None else f"{BROKEN}: {why}"
