"""One GET of a readiness probe, redirects included, as Go's http.Client sends it (Knative's pkg/queue/health)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from emu.daemon.http.gourl import TargetError, read_target
from emu.daemon.http.http1 import canonical
from emu.daemon.http.reply import ReplyHead, connected, read_head
from emu.daemon.http.upstream import go_words
from emu.daemon.queue_proxy.probe_spec import ProbeFailedError, Readiness
from emu.daemon.within import in_time
from emu.messages import KUBE_PROBE_AGENT

AGENT = KUBE_PROBE_AGENT + "/"
"""Knative's prober has no version to put there."""
MOST_REQUESTS = 10
"""Of one GET and its redirects."""
MOST_HEAD_BYTES = 1 << 20
_REDIRECTS = (301, 302, 303, 307, 308)
_UNSENT = (b"Host", b"User-Agent", b"Content-Length", b"Transfer-Encoding", b"Trailer")
"""Go's client writes these itself, whatever the probe's headers say."""
_SECRET = (
    b"Authorization",
    b"Www-Authenticate",
    b"Cookie",
    b"Cookie2",
    b"Proxy-Authorization",
    b"Proxy-Authenticate",
)
"""Not sent to another host than was asked first."""
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_LATE = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"

Headers = list[tuple[bytes, bytes]]


@dataclass
class Asked:
    """A request of the prober's, and what it may still take."""

    url: str
    headers: Headers
    """Canonical, in the order in which they are sent."""
    whole: bool = False
    """Whether the answer's body is waited for; what it is, and whether it ends, does not matter."""
    until: float | None = None
    """The loop's time at which it is given up; None is never."""
    host: str = field(init=False)
    port: int = field(init=False)
    authority: str = field(init=False)
    target: str = field(init=False)
    secure: bool = field(init=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        authority, slash, path = rest.partition("/")
        try:
            target, _ = read_target((slash + path).partition("#")[0].encode() or b"/")
        except TargetError as wrong:
            raise ProbeFailedError(f'parse "{self.url}": {wrong}') from None
        self.secure = scheme.lower() == "https"
        parts = urlsplit(f"//{authority}")
        try:
            self.port = parts.port or (443 if self.secure else 80)
        except ValueError:
            raise ProbeFailedError(f'parse "{self.url}": invalid port after host') from None
        self.host = parts.hostname or "127.0.0.1"
        self.authority = authority.removesuffix(":")
        self.target = target.decode("latin-1")


Ask = Callable[[Asked], Awaitable[tuple[int, str]]]
"""Sends it; the status, and where it redirects to. OSError, EOFError, ValueError, ProbeFailedError."""


def url_of(probe: Readiness) -> str:
    """Where it asks; ProbeFailedError."""
    host = f"[{probe.host}]" if ":" in probe.host else probe.host
    url = f"{probe.scheme.lower()}://{host}:{probe.port}/{probe.path.removeprefix('/')}"
    if not probe.scheme:
        raise ProbeFailedError(f'error constructing probe url parse "{url}": missing protocol scheme')
    if not probe.port.isdigit():
        raise ProbeFailedError(f'error constructing probe url parse "{url}": invalid port ":{probe.port}" after host')
    return url


def headers_of(probe: Readiness) -> Headers:
    """Its own headers as they are sent."""
    pairs = [(canonical(name.encode()), value.strip(" \t").encode()) for name, value in probe.headers]
    return sorted((pair for pair in pairs if pair[0] not in _UNSENT), key=lambda pair: pair[0])


async def get(ask: Ask, url: str, headers: Headers, limit_s: float, *, whole: bool = False) -> int:
    """The status of a GET after its redirects. ProbeFailedError where none came within `limit_s` (0: no limit)."""
    until = asyncio.get_running_loop().time() + limit_s if limit_s else None
    first = asked = url
    referer = location = ""
    for _ in range(MOST_REQUESTS):
        own = [*headers, *([(b"Referer", referer.encode())] if referer else [])]
        try:
            _check(own)
            request = Asked(asked, sorted(own, key=lambda pair: pair[0]), whole, until)
            if urlsplit(asked).scheme not in ("http", "https"):
                raise ProbeFailedError(f'unsupported protocol scheme "{urlsplit(asked).scheme}"')
            status, location = await ask(request)
        except TimeoutError:
            raise _failed(asked, _LATE) from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, ProbeFailedError) as failed:
            words = _words(request, failed) if isinstance(failed, OSError) else str(failed)
            raise _failed(asked, words) from None
        if status not in _REDIRECTS or not location:
            return status
        plain = urlsplit(asked).scheme == "http"
        referer = asked if plain or urlsplit(location).scheme != "http" else ""
        asked = urljoin(asked, location)
        if urlsplit(asked).hostname != urlsplit(first).hostname:
            headers = [pair for pair in headers if pair[0] not in _SECRET]
    raise _failed(location, f"stopped after {MOST_REQUESTS} redirects")


def _check(headers: Headers) -> None:
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise ProbeFailedError(f'net/http: invalid header field name "{name.decode()}"')
        if not _VALUE.fullmatch(value):
            raise ProbeFailedError(f'net/http: invalid header field value for "{name.decode()}"')


def _failed(url: str, why: str) -> ProbeFailedError:
    return ProbeFailedError(f'Get "{url}": {why}')


def _words(asked: Asked, failed: OSError) -> str:
    if isinstance(failed, ssl.SSLError):
        return f"tls: failed to verify certificate: {failed.reason}"
    if isinstance(failed, ConnectionResetError):
        return "read: connection reset by peer"
    return f"dial tcp {asked.host}:{asked.port}: {go_words(failed)}"


async def ask_http1(asked: Asked) -> tuple[int, str]:
    """In HTTP/1.1, on a connection of its own. A certificate is verified, as Go's transport does."""
    tls = ssl.create_default_context() if asked.secure else None
    lines = [f"GET {asked.target} HTTP/1.1".encode(), b"Host: " + asked.authority.encode()]
    lines.append(b"User-Agent: " + AGENT.encode())
    lines += [b"%b: %b" % pair for pair in asked.headers]
    names = {name for name, _ in asked.headers}
    if not names & {b"Accept-Encoding", b"Range"}:
        lines.append(b"Accept-Encoding: gzip")
    said = [value.lower() for name, value in asked.headers if name == b"Connection"]
    if not any(b"close" in (part.strip() for part in value.split(b",")) for value in said):
        lines.append(b"Connection: close")
    answered: tuple[int, str] | None = None

    async def converse() -> None:
        nonlocal answered
        async with connected(asked.host, asked.port, tls=tls, limit=MOST_HEAD_BYTES) as (reader, writer):
            writer.write(b"\r\n".join([*lines, b"", b""]))
            head = await read_head(reader)
            answered = head.status, head.fields.get("location", "")
            if asked.whole and not (head.status in _REDIRECTS and answered[1]):
                await _read_body(reader, head)

    try:
        await in_time(asked.until, converse())
    except (TimeoutError, OSError, EOFError, ValueError, asyncio.LimitOverrunError) as failed:
        if answered is not None:
            return answered  # the head alone says whether the app is ready
        if isinstance(failed, asyncio.IncompleteReadError):
            raise EOFError("unexpected EOF" if failed.partial else "EOF") from None
        raise
    assert answered is not None
    return answered


async def _read_body(reader: asyncio.StreamReader, head: ReplyHead) -> None:
    if head.status in (204, 304):
        return
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
    elif (length := head.fields.get("content-length", "")).isdigit():
        left = int(length)
        while left and (more := await reader.read(min(left, 1 << 16))):
            left -= len(more)
    else:
        while await reader.read(1 << 16):
            pass
