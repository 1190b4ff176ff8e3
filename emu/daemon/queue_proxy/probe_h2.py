"""One request of a readiness probe in HTTP/2 without TLS: a GET, or a health check by gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from emu.daemon.http.reply import connected
from emu.daemon.http.upstream import go_words
from emu.daemon.queue_proxy.probe_http import AGENT, Asked, Headers
from emu.daemon.queue_proxy.probe_spec import ProbeFailedError, Readiness
from emu.daemon.within import in_time, within
from emu.policy.grpc_health import METHOD, request

_LOOPBACK = "127.0.0.1"
_UNIMPLEMENTED, _DEADLINE_EXCEEDED = 12, 4
_NO_HEALTH = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip
"""By the names that Go prints."""


@dataclass
class _Answer:
    fields: dict[bytes, bytes] = field(default_factory=dict)
    """Headers and trailers; of a name the last."""
    body: bytes = b""
    whole: bool = False


async def ask_http2(asked: Asked) -> tuple[int, str]:
    """A GET, on a connection of its own."""
    headers = [(b"user-agent", AGENT.encode()), *((name.lower(), value) for name, value in asked.headers)]
    if not {b"accept-encoding", b"range"} & {name for name, _ in headers}:
        headers.append((b"accept-encoding", b"gzip"))
    scheme = b"https" if asked.secure else b"http"
    pseudo = _pseudo(b"GET", scheme, asked.authority.encode(), asked.target.encode("latin-1"))
    answer = _Answer()
    try:
        said = _converse(asked.host, asked.port, pseudo + headers, b"", answer, head_only=not asked.whole)
        await in_time(asked.until, said)
    except (TimeoutError, OSError, EOFError, ValueError):
        if not answer.fields:
            raise
    return int(answer.fields.get(b":status", b"0")), answer.fields.get(b"location", b"").decode("latin-1")


async def ask_grpc(probe: Readiness, limit_s: float) -> None:
    """A health check; ProbeFailedError unless the app says SERVING."""
    answer = _Answer()
    port, shown_s = int(probe.port), f"{limit_s:g}s" if limit_s >= 1 or not limit_s else f"{limit_s * 1000:g}ms"
    headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"user-agent", AGENT.encode())]
    pseudo = _pseudo(b"POST", b"http", f"{_LOOPBACK}:{port}".encode(), METHOD)
    try:
        if not limit_s:
            raise TimeoutError
        await within(limit_s, _converse(_LOOPBACK, port, pseudo + headers, request(probe.service), answer))
    except TimeoutError:
        raise ProbeFailedError(
            f"health rpc did not complete within {shown_s}: rpc error: code = DeadlineExceeded desc = context "
            "deadline exceeded"
        ) from None
    except (OSError, EOFError, ValueError) as failed:
        raise ProbeFailedError(f"health rpc probe failed: {_unavailable(port, failed)}") from None
    code = int(answer.fields.get(b"grpc-status", b"2"))
    if code:
        name = _CODES[code] if code < len(_CODES) else f"Code({code})"
        said = f"rpc error: code = {name} desc = {answer.fields.get(b'grpc-message', b'').decode('latin-1')}"
        if code == _UNIMPLEMENTED:
            raise ProbeFailedError(f"{_NO_HEALTH} {said}")
        if code == _DEADLINE_EXCEEDED:
            raise ProbeFailedError(f"health rpc did not complete within {shown_s}: {said}")
        raise ProbeFailedError(f"health rpc probe failed: {said}")
    # A message whose first field is the state; one without it is UNKNOWN.
    state = answer.body[6] if len(answer.body) == 7 and answer.body[5] == 8 else 0
    if state != 1:
        name = _STATES[state] if state < len(_STATES) else str(state)
        raise ProbeFailedError(f'service unhealthy (responded with "{name}")')


def _unavailable(port: int, failed: Exception) -> str:
    why = f"{failed}"
    if isinstance(failed, OSError):
        why = f"dial tcp {_LOOPBACK}:{port}: {go_words(failed)}"
        why = f'connection error: desc = "transport: Error while dialing: {why}"'
    return f"rpc error: code = Unavailable desc = {why}"


def _pseudo(method: bytes, scheme: bytes, authority: bytes, path: bytes) -> Headers:
    return [(b":authority", authority), (b":method", method), (b":path", path), (b":scheme", scheme)]


async def _converse(
    host: str, port: int, headers: Headers, body: bytes, answer: _Answer, *, head_only: bool = False
) -> None:
    """One stream, from the first frame to the answer's end, or to that of its head. OSError, EOFError, ValueError."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    conn = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    conn.initiate_connection()
    conn.send_headers(1, headers, end_stream=not body)
    if body:
        conn.send_data(1, body, end_stream=True)
    async with connected(host, port) as (reader, writer):
        while not answer.whole and not (head_only and answer.fields):
            writer.write(conn.data_to_send())
            data = await reader.read(65536)
            if not data:
                raise EOFError("unexpected EOF")
            try:
                _take(conn.receive_data(data), conn, answer)
            except ProtocolError as wrong:
                raise ValueError(str(wrong)) from wrong


def _take(came: Sequence[object], conn: object, answer: _Answer) -> None:
    from h2 import events
    from h2.connection import H2Connection

    assert isinstance(conn, H2Connection)
    for event in came:
        if isinstance(event, events.ResponseReceived | events.TrailersReceived):
            answer.fields |= {bytes(name): bytes(value) for name, value in event.headers or ()}
        elif isinstance(event, events.DataReceived):
            answer.body += event.data or b""
            conn.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        elif isinstance(event, events.StreamEnded):
            answer.whole = True
        elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
            raise EOFError("the stream was reset")
