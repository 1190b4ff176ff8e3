"""Whether the app is ready, asked when a probe asks us (Knative's pkg/queue/readiness and pkg/queue/health).

`periodSeconds` absent or 0 is the aggressive mode: a try each 50 ms, 100 ms long at most, for up to 10 s.
Otherwise one try of `timeoutSeconds`. Probes that come meanwhile share the run. Nothing but the count of
consecutive successes is remembered.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

from emu.daemon.http.reply import connected, read_head
from emu.daemon.within import within
from emu.messages import KUBE_PROBE_AGENT
from emu.policy.grpc_health import METHOD, request

RETRY_S = 0.05
TRY_LIMIT_S = 0.1
AGGRESSIVE_LIMIT_S = 10.0
MOST_REDIRECTS = 10
"""Redirects that Go's client follows before it gives up."""
MOST_HEAD_BYTES = 1 << 20
HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")

_AGENT = KUBE_PROBE_AGENT + "/"
"""Knative's prober has no version to put there."""


class ProbeError(Exception):
    """The probe that Knative passed cannot be read."""


class Prober:
    """Runs the readiness probes that Knative passes as JSON (one, or a list); none is always ready."""

    def __init__(
        self, probe_json: str, default_port: int, *, http2_first: bool = False, several: bool = False
    ) -> None:
        self._probes = [_Probe(probe, default_port, http2_first) for probe in _decode(probe_json, several)]
        self._askers: list[Callable[[bool], None]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether the app is ready, as soon as that is known."""
        if not self._probes:
            answer(True)
            return
        self._askers.append(answer)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        ready = False
        try:
            ready = all(await asyncio.gather(*(probe.run() for probe in self._probes)))
        finally:
            askers, self._askers, self._task = self._askers, [], None
            for answer in askers:
                answer(ready)


def _decode(text: str, several: bool) -> list[dict[str, Any]]:
    if not text.strip():
        return []
    try:
        parsed = json.loads(text)
    except ValueError as wrong:
        raise ProbeError(f"Queue container failed to parse readiness probe: {wrong}") from None
    probes = parsed if isinstance(parsed, list) else [parsed]
    if (isinstance(parsed, list) and not several) or not all(isinstance(probe, dict) for probe in probes):
        raise ProbeError("Queue container failed to parse readiness probe: json: cannot unmarshal into a v1.Probe")
    return probes


class _Probe:
    """One container's probe."""

    def __init__(self, probe: dict[str, Any], default_port: int, http2_first: bool) -> None:
        self._kind = next((kind for kind in HANDLERS if probe.get(kind) is not None), "")
        self._action: dict[str, Any] = probe.get(self._kind) or {} if self._kind else {}
        self._host = str(self._action.get("host") or "127.0.0.1")
        self._port = int(self._action.get("port") or default_port)
        self._period_s = probe.get("periodSeconds") or 0
        self._timeout_s = float(probe.get("timeoutSeconds") or 1)
        self._threshold = int(probe.get("successThreshold") or 1)
        self._http2_first = http2_first
        self._passed = 0

    async def run(self) -> bool:
        if self._kind in ("exec", ""):
            return False
        if self._period_s:
            return await self._try(self._timeout_s)
        until = time.monotonic() + AGGRESSIVE_LIMIT_S
        while True:
            begun = time.monotonic()
            self._passed = self._passed + 1 if await self._try(TRY_LIMIT_S) else 0
            if self._passed >= self._threshold:
                return True
            now = time.monotonic()
            wait = max(0.0, RETRY_S - (now - begun))
            if now + wait >= until:
                await asyncio.sleep(until - now)
                return False
            await asyncio.sleep(wait)

    async def _try(self, limit_s: float) -> bool:
        try:
            return await within(limit_s, self._once())
        except (TimeoutError, OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            return False

    async def _once(self) -> bool:
        if self._kind == "tcpSocket":
            async with connected(self._host, self._port):
                return True
        if self._kind == "grpc":
            return await self._grpc()
        if not self._http2_first:
            return await self._http(self._own_headers())
        try:
            speaks = await self._http2([])
        except (OSError, ValueError, EOFError):
            speaks = False
        # What was found out is asked again, now with the probe's own headers; HTTP/1 was asked as well (readiness).
        return await self._http2(self._own_headers()) if speaks else await self._http([])

    # --- HTTP/1

    async def _http(self, own: list[tuple[str, str]]) -> bool:
        # As below: most pods are asked whether they listen, and their start is not to pay for the import.
        from urllib.parse import urljoin

        scheme = str(self._action.get("scheme") or "HTTP").lower()
        path = str(self._action.get("path") or "/")
        url = f"{scheme}://{self._host}:{self._port}{path if path.startswith('/') else '/' + path}"
        for _ in range(1 + MOST_REDIRECTS):
            status, location = await self._get(url, own)
            if location is None or status not in (301, 302, 303, 307, 308):
                return 200 <= status < 400
            url = urljoin(url, location)
        return False

    def _own_headers(self) -> list[tuple[str, str]]:
        return [(str(each["name"]), str(each["value"])) for each in self._action.get("httpHeaders") or ()]

    async def _get(self, url: str, own: list[tuple[str, str]]) -> tuple[int, str | None]:
        """The status of one GET, and where it redirects to."""
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"unsupported protocol scheme {parts.scheme!r}")
        tls = None
        if parts.scheme == "https":
            tls = ssl.create_default_context()
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        port = parts.port or (443 if tls else 80)
        host = next((value for name, value in own if name.lower() == "host"), parts.netloc)
        lines = [f"GET {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1", f"Host: {host}"]
        lines.append(f"User-Agent: {_AGENT}")
        lines += sorted(f"{name}: {value}" for name, value in own if name.lower() != "host")
        lines += ["Accept-Encoding: gzip", "Connection: close", "", ""]
        async with connected(parts.hostname or "", port, tls=tls, limit=MOST_HEAD_BYTES) as (reader, writer):
            writer.write("\r\n".join(lines).encode())
            head = await read_head(reader)
            return head.status, head.fields.get("location")

    # --- HTTP/2

    async def _http2(self, own: list[tuple[str, str]]) -> bool:
        path = str(self._action.get("path") or "/")
        headers = [(b"user-agent", _AGENT.encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in own]
        status, _ = await self._ask_http2(b"GET", path.encode(), headers, b"")
        return 200 <= status < 400

    async def _grpc(self) -> bool:
        headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"user-agent", _AGENT.encode())]
        body = request(str(self._action.get("service") or ""))
        status, answer = await self._ask_http2(b"POST", METHOD, headers, body)
        # A message whose first field is 1: SERVING.
        return status == 200 and answer[5:] == b"\x08\x01"

    async def _ask_http2(
        self, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, bytes]:
        from h2 import events
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.exceptions import ProtocolError

        conn = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        authority = f"{self._host}:{self._port}".encode()
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path)]
        conn.initiate_connection()
        conn.send_headers(1, pseudo + headers, end_stream=not body)
        if body:
            conn.send_data(1, body, end_stream=True)
        status, answer = 0, b""
        async with connected(self._host, self._port) as (reader, writer):
            while True:
                writer.write(conn.data_to_send())
                data = await reader.read(65536)
                if not data:
                    raise EOFError
                try:
                    came = conn.receive_data(data)
                except ProtocolError as wrong:
                    raise ValueError(str(wrong)) from wrong
                for event in came:
                    if isinstance(event, events.ResponseReceived):
                        status = next((int(v) for n, v in event.headers or () if n == b":status"), 0)
                    elif isinstance(event, events.DataReceived):
                        answer += event.data or b""
                    elif isinstance(event, events.StreamEnded):
                        return status, answer
                    elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
                        raise EOFError
