"""Byte strings and what a real queue-proxy made of them, as measured: `data/*.jsonl`, one string a line.

A file's first line says which binary was measured; each other line is one exchange on a fresh connection. Either the
client's bytes are the string and the app answers plainly, or the app's answer is the string and the client asks
plainly. Bytes stand as Latin-1 text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

PLAIN_REQUEST = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
APP_DATE = b"Thu, 01 Jan 2026 00:00:00 GMT"
PLAIN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nDate: %b\r\n\r\nok" % APP_DATE
ABOUT_BYTES = 100
PATIENCE_S = 5.0
FIRST_S = 0.5
"""How long a proxy may take for the first byte of an answer before none is expected."""
QUIET_S = 0.08
"""How long nothing must follow an answer for the connection to count as kept."""
_DATE = re.compile(rb"(?<=\r\nDate: )\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_TRAILER = re.compile(rb"(?<=\r\nTrailer: )[^\r]+")
_PORTS = re.compile(rb"127\.0\.0\.1:\d+")


@dataclass(frozen=True)
class Outcome:
    """What came of a string."""

    client: bytes
    """What the client read; a chunked body is joined, after `[chunked]`."""
    closed: bool
    """Whether the proxy closed the connection."""
    app: tuple[bytes, ...] = ()
    """The requests that the app read, body included; a chunked one is joined, after `[chunked]`."""


@dataclass(frozen=True)
class Wire:
    """A string and its outcome on the real one."""

    name: str
    topic: str = ""
    send: bytes = PLAIN_REQUEST
    answer: bytes = PLAIN_ANSWER
    hangs_up: bool = False
    """The app closes after its answer."""
    outcomes: tuple[Outcome, ...] = ()
    """What the real one did, the most frequent first: some end in a race."""
    ours: Outcome | None = None
    """Where ours differs on purpose: what it does."""
    why_ours: str = ""


@dataclass(frozen=True)
class Sheet:
    """A file of strings."""

    topic: str
    about: str
    measured: str
    """Which binary the outcomes were seen on."""
    wires: tuple[Wire, ...] = ()


@dataclass
class WireResult:
    """What became of a string; `faults` is empty when all was as measured."""

    wire: Wire
    got: Outcome
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The string's, below that of its file."""
        return f"{self.wire.topic}/{self.wire.name}"

    @property
    def about(self) -> str:
        """The string itself, as far as a line holds it."""
        said = self.wire.send if self.wire.send != PLAIN_REQUEST else self.wire.answer
        return f"{said[:ABOUT_BYTES]!r}"


def sheets() -> Iterator[Sheet]:
    """All files, by name."""
    folder = resources.files("emu.conformance") / "data"
    for each in sorted(folder.iterdir(), key=lambda path: path.name):
        if each.name.endswith(".jsonl"):
            yield parse(each.name.removesuffix(".jsonl"), each.read_text())


def parse(topic: str, text: str) -> Sheet:
    """A file's text as values."""
    first, *rest = (json.loads(line) for line in text.splitlines())
    return Sheet(topic, first["about"], first["measured"], tuple(_wire(topic, each) for each in rest))


def _wire(topic: str, data: dict[str, Any]) -> Wire:
    return Wire(
        data["name"],
        topic,
        _bytes(data["send"]) if "send" in data else PLAIN_REQUEST,
        _bytes(data["answer"]) if "answer" in data else PLAIN_ANSWER,
        data.get("hangs_up", False),
        tuple(filter(None, (_outcome(each) for each in data.get("outcomes", ())))),
        _outcome(data.get("ours")),
        data.get("why_ours", ""),
    )


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _outcome(data: dict[str, Any] | None) -> Outcome | None:
    if data is None:
        return None
    return Outcome(_bytes(data["client"]), data["closed"], tuple(_bytes(each) for each in data.get("app", ())))


def render(sheet: Sheet) -> str:
    """The other way round, for `record`."""
    lines: list[dict[str, Any]] = [{"about": sheet.about, "measured": sheet.measured}]
    for wire in sheet.wires:
        line: dict[str, Any] = {"name": wire.name}
        if wire.send != PLAIN_REQUEST:
            line["send"] = wire.send.decode("latin-1")
        if wire.answer != PLAIN_ANSWER:
            line["answer"] = wire.answer.decode("latin-1")
        if wire.hangs_up:
            line["hangs_up"] = True
        if wire.outcomes:
            line["outcomes"] = [_plain(each) for each in wire.outcomes]
        if wire.ours is not None:
            line["ours"] = _plain(wire.ours)
        if wire.why_ours:
            line["why_ours"] = wire.why_ours
        lines.append(line)
    return "".join(json.dumps(line) + "\n" for line in lines)


def _plain(outcome: Outcome) -> dict[str, Any]:
    app = [each.decode("latin-1") for each in outcome.app]
    made: dict[str, Any] = {"client": outcome.client.decode("latin-1"), "closed": outcome.closed}
    return made | ({"app": app} if app else {})


class WireApp:
    """An app that answers each request with the string at hand, and keeps its connections."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self.wire = Wire("")
        self.requests: list[bytes] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Open the port (0 is any)."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = len(self.requests)
                self.requests.append(head)
                await self._body(reader, at, head.lower())
                writer.write(self.wire.answer)
                await writer.drain()
                if self.wire.hangs_up:
                    break
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, at: int, head: bytes) -> None:
        if b"\r\ntransfer-encoding: chunked\r" in head:
            self.requests[at] += b"[chunked]"
            while size := int(await reader.readuntil(b"\r\n"), 16):
                self._read(at, (await reader.readexactly(size + 2))[:-2])
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                self._read(at, line)
        elif found := re.search(rb"\r\ncontent-length: (\d+)", head):
            self._read(at, await reader.readexactly(int(found[1])))

    def _read(self, at: int, data: bytes) -> None:
        if at < len(self.requests):  # else the next string has begun
            self.requests[at] += data


async def play(host: str, port: int, app: WireApp, wire: Wire) -> Outcome:
    """One string, from a fresh connection."""
    app.wire, app.requests = wire, []
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    got, closed = b"", False
    wanted = wire.send.count(b" HTTP/1.") or 1
    try:
        writer.write(wire.send)
        with contextlib.suppress(ConnectionResetError):
            await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            while not closed:
                quiet = QUIET_S if got and whole(got, wanted) else FIRST_S
                try:
                    more = await asyncio.wait_for(reader.read(65536), quiet)
                except TimeoutError:
                    break
                except ConnectionResetError:
                    more = b""
                got += more
                closed = not more
    finally:
        writer.close()
    requests = tuple(_PORTS.sub(b"127.0.0.1:<port>", each) for each in app.requests)
    return Outcome(_normal(got), closed, requests)


def whole(got: bytes, most: int = 1) -> bool:
    """Whether answers to so many requests are complete."""
    for _ in range(most):
        head, end, rest = got.partition(b"\r\n\r\n")
        if not end:
            return False
        lowered = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lowered:
            _, left = _joined(rest)
            if left is None:
                return False
            got = left
        elif found := re.search(rb"\r\ncontent-length: (\d+)", lowered):
            if len(rest) < int(found[1]):
                return False
            got = rest[int(found[1]) :]
        elif head[9:10] == b"1" and head[9:12] != b"101":
            return whole(rest, most)
        else:
            return False
    return True


def _joined(data: bytes) -> tuple[bytes, bytes | None]:
    """A chunked body joined, and what follows it; None for what is not whole."""
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        try:
            size = int(line, 16) if end else -1
        except ValueError:
            size = -1
        if size < 0 or len(rest) < size + 2 * (size > 0):
            return body, None
        if not size:
            trailers, end, after = (b"\r\n" + rest).partition(b"\r\n\r\n")
            return body + trailers.removeprefix(b"\r\n"), after if end else None
        body += rest[:size]
        data = rest[size + 2 :]


def _normal(got: bytes) -> bytes:
    """What does not vary from run to run: no date of today, no port, no cuts between chunks."""
    said = b""
    while got:
        head, end, rest = got.partition(b"\r\n\r\n")
        head = _TRAILER.sub(lambda found: b", ".join(sorted(found[0].split(b", "))), head)  # Go's maps have no order
        said += _DATE.sub(lambda found: found[0] if found[0] == APP_DATE else b"<date>", head) + end
        lowered = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lowered:
            body, left = _joined(rest)
            said += b"[chunked]" + body + (b"[cut]" if left is None else b"")
            got = left or b""
        elif head[9:10] == b"1" and head[9:12] != b"101":
            got = rest
        elif found := re.search(rb"\r\ncontent-length: (\d+)", lowered):
            said += rest[: int(found[1])]
            got = rest[int(found[1]) :]
        else:
            said += rest
            got = b""
    return _PORTS.sub(b"127.0.0.1:<port>", said)


def compare(wire: Wire, got: Outcome, strict: bool) -> WireResult:
    """What differs from the real one, or, unless `strict`, from what ours does on purpose."""
    wanted = wire.outcomes if strict or wire.ours is None else (wire.ours,)
    result = WireResult(wire, got)
    if wanted and got not in wanted:
        first = wanted[0]
        if got.client != first.client:
            result.faults.append(f"the client read {got.client!r}, not {first.client!r}")
        if got.closed != first.closed:
            result.faults.append(f"the connection is {'closed' if got.closed else 'kept'}")
        if got.app != first.app:
            result.faults.append(f"the app read {list(got.app)!r}, not {list(first.app)!r}")
    return result


async def play_all(
    host: str, port: int, app: WireApp, wires: Iterable[Wire], strict: bool, done: Callable[[WireResult], None]
) -> list[WireResult]:
    """Each of these strings, one after the other."""
    results = []
    for wire in wires:
        result = compare(wire, await play(host, port, app, wire), strict)
        done(result)
        results.append(result)
    return results


async def record(host: str, port: int, app: WireApp, sheet: Sheet, times: int = 1) -> Sheet:
    """The sheet with what this proxy does, each string played so many times."""
    wires = []
    for wire in sheet.wires:
        seen = [await play(host, port, app, wire) for _ in range(times)]
        distinct = sorted(dict.fromkeys(seen), key=lambda outcome: -seen.count(outcome))
        wires.append(replace(wire, outcomes=tuple(distinct)))
    return replace(sheet, wires=tuple(wires))
