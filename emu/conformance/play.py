"""Plays wire cases: a scripted app behind the proxy, raw bytes in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from emu.conformance import tls_play
from emu.conformance.case import HOLD_PATH, Answer, Case, Do, End, Pause, Seen
from emu.conformance.tls import TlsStream
from emu.conformance.tls_play import TlsPort

PATIENCE_S = 5.0
"""How long anything that must happen may take beyond the time that a case names."""
QUIET_S = 0.15
GONE_S = 0.05
"""A proxy has seen by then that its kept connections ended."""
"""How long nothing must come for a connection to count as open."""
_FIRST = ("host", "user-agent", "content-length", "transfer-encoding", "trailer")


@dataclass
class Request:
    """What the app read."""

    head: bytes
    body: bytes = b""
    trailers: bytes = b""


@dataclass
class Result:
    """What became of a case; `faults` is empty when all was as expected."""

    case: Case
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The case's."""
        return self.case.name

    @property
    def about(self) -> str:
        """The case's."""
        return self.case.about


class ScriptedApp:
    """The app behind the proxy: does what the case at hand says."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self.case: Case | None = None
        self.requests: list[Request] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        """Open the port (0 is any)."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=1 << 21)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.drop()

    def drop(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        case = self.case
        held = head.startswith(tuple(b"%b %b" % (method, HOLD_PATH) for method in (b"GET", b"POST")))
        if held or (head.startswith(b"PRI ") and not (case and case.app_http1)):
            await reader.read()
            return False
        assert case is not None
        request = Request(head)
        script = case.app if case.then is None or not self.requests else case.then
        self.requests.append(request)
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif step is Do.READ_BODY:
                await _read_body(reader, request)
            elif step is Do.HOLD:
                await reader.read()
                return False
            else:
                if step is Do.RESET:
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                return False
        return True


async def _read_body(reader: asyncio.StreamReader, request: Request) -> None:
    head = request.head.lower()
    if b"\r\ntransfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            request.body += (await reader.readexactly(size + 2))[:-2]
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            request.trailers += line
    elif found := re.search(rb"\r\ncontent-length: (\d+)", head):
        request.body = await reader.readexactly(int(found[1]))


class Player:
    """Plays cases against the proxy at an address."""

    def __init__(self, host: str, port: int, app: ScriptedApp, tls: TlsPort | None = None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._app = app

    async def play(self, case: Case) -> Result:
        """One case, from a fresh connection."""
        result = Result(case)
        app = self._app
        app.case, app.requests = case, []
        crowd: list[asyncio.StreamWriter] = []
        if case.app_down:
            await app.close()
            await asyncio.sleep(GONE_S)
        elif case.fresh:
            app.drop()
            await asyncio.sleep(GONE_S)
        begun = time.monotonic()
        try:
            for _ in range(case.crowd):
                _, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(b"GET /hold HTTP/1.1\r\nHost: crowd\r\n\r\n")
                crowd.append(writer)
            if case.crowd:
                await asyncio.sleep(0.2)
            begun = time.monotonic()
            await self._converse(case, result)
        except OSError as failed:
            result.faults.append(f"the connection failed: {failed}")
        finally:
            result.seconds = time.monotonic() - begun
            for writer in crowd:
                writer.close()
            if case.app_down:
                await app.listen()
            if crowd:
                await asyncio.sleep(0.05)
        await self._settled(case)
        _check_app(case, app.requests, result.faults)
        return result

    async def _settled(self, case: Case) -> None:
        """Requests may reach the app after the client has its answer."""
        until = time.monotonic() + PATIENCE_S
        while len(self._app.requests) < max(case.reached or 0, len(case.seen)) and time.monotonic() < until:
            await asyncio.sleep(0.01)

    async def _converse(self, case: Case, result: Result) -> None:
        begun = time.monotonic()
        tls = self._tls if case.over_tls else None
        reader, writer = await asyncio.open_connection(self._host, tls.port if tls else self._port, limit=1 << 21)
        stream = None if case.tls is None else TlsStream(reader, writer, case.tls)
        if stream is not None:
            if not await tls_play.shaken(stream, case, result.faults):
                writer.close()
                return
            reader = stream.reader
            if case.renew is not None and tls is not None:
                await _send(stream, case.send)
                await _expect(reader, case.expect[0], "answer 0", result.faults)
                await tls_play.renew(self._host, tls, case, stream, result.faults)
        sending = asyncio.create_task(_send(stream or writer, case.send))
        late = case.within_s[1] if case.within_s else 0.0
        try:
            async with asyncio.timeout(PATIENCE_S + late):
                if case.raw is not None:
                    await _expect_raw(reader, case.raw, result.faults)
                else:
                    for number, wanted in enumerate(case.expect, 1):
                        await _expect(reader, wanted, f"answer {number}", result.faults)
                took = time.monotonic() - begun
                if case.within_s and not case.within_s[0] <= took <= case.within_s[1] + PATIENCE_S / 2:
                    result.faults.append(f"it took {took:.2f} s, not {case.within_s[0]} to {case.within_s[1]} s")
                await sending
                if case.closed is not None and not result.faults:
                    await _expect_end(reader, case.closed, result.faults)
                if stream is not None:
                    await tls_play.ended(stream, case, result.faults)
                if not case.expect and case.raw is None and case.closed is None:
                    await asyncio.sleep(QUIET_S)
        except TimeoutError:
            result.faults.append(f"nothing more came for {PATIENCE_S + late:.0f} s")
        except (asyncio.IncompleteReadError, ConnectionResetError) as ended:
            partial = getattr(ended, "partial", b"")
            result.faults.append(f"the connection ended too soon, after {partial[:200]!r}")
        except (ValueError, asyncio.LimitOverrunError) as wrong:
            result.faults.append(f"what came is not HTTP: {wrong}")
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending
            (stream or writer).close()


async def _send(writer: asyncio.StreamWriter | TlsStream, steps: Sequence[bytes | Pause | End]) -> None:
    try:
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif step is End.SHUT:
                writer.write_eof()
            else:
                writer.close()
    except (ConnectionResetError, BrokenPipeError):
        pass  # the proxy need not read to the end what it refuses


async def _expect_raw(reader: asyncio.StreamReader, wanted: bytes, faults: list[str]) -> None:
    got = b""
    pattern = re.compile(wanted, re.DOTALL)
    while not pattern.match(got):
        more = await reader.read(65536)
        if not more:
            break
        got += more
    if not pattern.match(got):
        faults.append(f"it said {got[:300]!r}, which is not {wanted!r}")


async def _expect_end(reader: asyncio.StreamReader, closed: bool, faults: list[str]) -> None:
    try:
        more = await asyncio.wait_for(reader.read(4096), PATIENCE_S if closed else QUIET_S)
    except TimeoutError:
        if closed:
            faults.append("the connection is kept open")
        return
    except ConnectionResetError:
        more = b""
    if more:
        faults.append(f"more came: {more[:200]!r}")
    elif not closed:
        faults.append("the connection is closed")


async def _expect(reader: asyncio.StreamReader, wanted: Answer, name: str, faults: list[str]) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *rest = head[:-4].split(b"\r\n")
    status = int(line.split(b" ")[1])
    pairs = [(key.lower(), value) for key, _, value in (each.decode("latin-1").partition(": ") for each in rest)]
    headers = dict(pairs)
    cut = False
    trailers: dict[str, str] = {}
    body = b""
    try:
        if status >= 200 and wanted.to != "HEAD":
            body, trailers = await _answer_body(reader, status, headers)
    except asyncio.IncompleteReadError as ended:
        cut, body = True, ended.partial
    except ConnectionResetError:
        cut = True
    if wanted.status is not None and status != wanted.status:
        faults.append(f"{name} is a {status} ({line!r}, body {body[:80]!r}), not a {wanted.status}")
    if wanted.line is not None and line != wanted.line:
        faults.append(f"{name} begins {line!r}, not {wanted.line!r}")
    for key, value in wanted.headers.items():
        have = headers.get(key)
        if have is None or (have != value if isinstance(value, str) else not value.fullmatch(have)):
            faults.append(f"{name} has {key}: {have!r}, not {value!r}")
    faults += [f"{name} has {key}: {headers[key]!r}" for key in wanted.lacks if key in headers]
    if isinstance(wanted.body, bytes) and body != wanted.body:
        faults.append(f"{name} has the body {body[:200]!r}, not {wanted.body[:200]!r}")
    elif isinstance(wanted.body, re.Pattern) and not wanted.body.fullmatch(body):
        faults.append(f"{name} has the body {body[:200]!r}, which is not {wanted.body.pattern!r}")
    if wanted.trailers is not None and trailers != wanted.trailers:
        faults.append(f"{name} has the trailers {trailers}, not {wanted.trailers}")
    if wanted.order:
        have_order = tuple(key for key, _ in pairs if key in wanted.order)
        if have_order != wanted.order:
            faults.append(f"{name} has its headers in the order {have_order}, not {wanted.order}")
    if cut != wanted.cut:
        faults.append(f"{name} is {'cut short' if cut else 'whole'}")


async def _answer_body(
    reader: asyncio.StreamReader, status: int, headers: dict[str, str]
) -> tuple[bytes, dict[str, str]]:
    body = b""
    trailers: dict[str, str] = {}
    if status in (204, 304):
        return body, trailers
    if headers.get("transfer-encoding") == "chunked":
        while True:
            try:
                size = int(await reader.readuntil(b"\r\n"), 16)
                if not size:
                    break
                body += (await reader.readexactly(size + 2))[:-2]
            except asyncio.IncompleteReadError as ended:
                raise asyncio.IncompleteReadError(body + ended.partial, None) from ended
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            key, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
            trailers[key.lower()] = value
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return body, trailers


def _check_app(case: Case, requests: list[Request], faults: list[str]) -> None:
    if case.reached is not None and len(requests) != case.reached:
        faults.append(f"{len(requests)} requests reached the app, not {case.reached}")
    if len(requests) < len(case.seen):
        faults.append(f"the app saw {len(requests)} requests, not {len(case.seen)}")
        return
    for wanted, request in zip(case.seen, requests, strict=False):
        _check_seen(wanted, request, faults)


def _check_seen(wanted: Seen, request: Request, faults: list[str]) -> None:
    line, *rest = request.head[:-4].split(b"\r\n")
    names = [each.split(b":")[0].lower() for each in rest]
    if wanted.line is not None and line != wanted.line:
        faults.append(f"the app read {line!r}, not {wanted.line!r}")
    faults += [f"the app did not read {each!r}, but {rest}" for each in wanted.lines if each not in rest]
    faults += [f"the app read a header {name!r}" for name in wanted.lacks if name in names]
    faults += [f"the app read {each!r}" for each in wanted.not_lines if each in rest]
    if wanted.body is not None and request.body != wanted.body:
        faults.append(f"the app read the body {request.body[:200]!r}, not {wanted.body[:200]!r}")
    if wanted.no_trailers and request.trailers not in (b"", b"\r\n"):
        faults.append(f"the app read trailers: {request.trailers!r}")
    if wanted.sorted:
        later = [name for name in names if name.decode("latin-1") not in _FIRST]
        if later != sorted(later):
            faults.append(f"the app read headers out of order: {later}")
