"""Asks a container as a kubelet does, once: by HTTP, by TCP, or by a command in it; and runs its preStop hook.

What the answers add up to is `emu.policy.probing`'s. Messages are worded as the kubelet's are, which are Go's.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from emu.errors import EmuError
from emu.machine import grpc_health, http_client
from emu.messages import KUBE_PROBE_AGENT
from emu.policy.golang import format_seconds
from emu.policy.probing import Outcome
from emu.runtime.api import Executed
from emu.spec import ExecSpec, GrpcSpec, HttpGetSpec, SleepSpec, TcpSocketSpec

USER_AGENT = f"{KUBE_PROBE_AGENT}1.34"
MOST_REDIRECTS = 10
"""After so many requests no further one is sent (net/http, where a redirect to an eleventh is an error)."""
MOST_BODY_BYTES = 10 * 1024
"""What the kubelet reads of an answer's body."""
_REDIRECTS = (301, 302, 303, 307, 308)
_NO_TIME = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"


@dataclass(frozen=True)
class Target:
    """A container as probes see it. `execute` runs a command in it, for so many seconds at most."""

    address: str
    port: int | None
    """Where a handler without a port of its own connects."""
    execute: Callable[[Sequence[str], float], Executed]


@dataclass(frozen=True)
class Answer:
    """One probe's outcome, and why in the kubelet's words."""

    outcome: Outcome
    message: str = ""
    warning: str = ""
    """A success that deserves a word."""


@dataclass(frozen=True)
class _Fetched:
    """What a GET came to: a status, or a failure in words."""

    status: int | None = None
    message: str = ""
    warning: str = ""


def ask(handler: HttpGetSpec | TcpSocketSpec | ExecSpec | GrpcSpec, target: Target, timeout_s: float) -> Answer:
    """Ask once; the answer is there after `timeout_s` at the latest (an exec's a little later, once it is killed)."""
    if isinstance(handler, ExecSpec):
        return _execute(handler, target, timeout_s)
    if isinstance(handler, TcpSocketSpec):
        return _connect(handler.host or target.address, handler.port or target.port, timeout_s)
    if isinstance(handler, GrpcSpec):
        return _grpc(handler, target, timeout_s)
    fetched = _http(_url(handler, target), handler, time.monotonic() + timeout_s)
    if fetched.status is None:
        return Answer("failure", fetched.message)
    if 200 <= fetched.status < 400:
        return Answer("success", warning=fetched.warning)
    return Answer("failure", f"HTTP probe failed with statuscode: {fetched.status}")


def run_hook(
    handler: ExecSpec | HttpGetSpec | SleepSpec, target: Target, timeout_s: float, stop: threading.Event
) -> None:
    """Run a preStop hook, for the grace period at most. EmuError where it failed; a GET's status does not matter.
    `stop` ends a pause early.
    """
    if isinstance(handler, SleepSpec):
        stop.wait(min(handler.seconds, timeout_s))
        return
    what = "PreStopHook failed"
    if isinstance(handler, ExecSpec):
        done = target.execute(handler.command, timeout_s)
        if done.exit_code != 0:
            why = "it did not end in the grace period" if done.exit_code is None else f"exit code {done.exit_code}"
            said = f": {printed}" if (printed := done.output.strip()) else ""
            raise EmuError(what, f"{' '.join(handler.command)}: {why}{said}", "")
        return
    fetched = _http(_url(handler, target), handler, time.monotonic() + timeout_s)
    if fetched.status is None:
        raise EmuError(what, fetched.message, "")


def _url(handler: HttpGetSpec, target: Target) -> str:
    host, port = handler.host or target.address, handler.port or target.port
    return f"{handler.scheme.lower()}://{host}:{port}{handler.path}"


def _execute(handler: ExecSpec, target: Target, timeout_s: float) -> Answer:
    try:
        done = target.execute(handler.command, timeout_s)
    except EmuError as error:
        return Answer("error", error.why)
    if done.exit_code is None:
        return Answer("failure", f'command "{" ".join(handler.command)}" timed out')
    return Answer("success" if done.exit_code == 0 else "failure", done.output.strip())


def _connect(host: str, port: int | None, timeout_s: float) -> Answer:
    assert port is not None, "seen to when the scenario was read"
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        return Answer("failure", _dial_error(host, port, error))
    return Answer("success")


def _grpc(handler: GrpcSpec, target: Target, timeout_s: float) -> Answer:
    """In the words of the kubelet's prober (pkg/probe/grpc)."""
    port, within = handler.port or target.port, format_seconds(timeout_s)
    assert port is not None, "seen to when the scenario was read"
    deadline = time.monotonic() + timeout_s
    late = Answer("failure", f"timeout: health rpc did not complete within {within}")
    try:
        found = grpc_health.check(target.address, port, handler.service, USER_AGENT, deadline)
    except grpc_health.NotConnectedError as error:
        address = f'"{target.address}:{port}"'
        return Answer("failure", f"timeout: failed to connect service {address} within {within}: {error}")
    except TimeoutError:
        return late
    except (OSError, ValueError) as error:
        why = f"rpc error: code = Unavailable desc = {_words(error)}"
        return Answer("failure", f"error: health rpc probe failed: {why}")
    if found.code == grpc_health.UNIMPLEMENTED:
        what = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Answer("failure", f"error: {what}: {found.message}")
    if found.code == grpc_health.DEADLINE_EXCEEDED:  # as the server says
        return late
    if found.code:
        why = f"rpc error: code = {_GRPC_CODES.get(found.code, f'Code({found.code})')} desc = {found.message}"
        return Answer("failure", f"error: health rpc probe failed: {why}")
    if not found.healthy:
        return Answer("failure", f'service unhealthy (responded with "{found.status}")')
    return Answer("success")


_GRPC_CODES = {
    1: "Canceled", 2: "Unknown", 3: "InvalidArgument", 5: "NotFound", 6: "AlreadyExists", 7: "PermissionDenied",
    8: "ResourceExhausted", 9: "FailedPrecondition", 10: "Aborted", 11: "OutOfRange", 13: "Internal",
    14: "Unavailable", 15: "DataLoss", 16: "Unauthenticated",
}  # fmt: skip
"""By the names that Go prints."""


# -- HTTP ------------------------------------------------------------------------------------------------------


def _http(url: str, handler: HttpGetSpec, deadline: float) -> _Fetched:
    """GET, following redirects on the same host; one to another host is not followed, with a warning."""
    own = {one.name: one.value for one in handler.http_headers}
    asked = url
    location = ""
    for _ in range(MOST_REDIRECTS):
        try:
            status, location, body = _get(asked, own, deadline)
        except TimeoutError:
            return _Fetched(message=f'Get "{asked}": {_NO_TIME}')
        except (OSError, ValueError) as error:
            return _Fetched(message=f'Get "{asked}": {_http_error(asked, error)}')
        if status not in _REDIRECTS or not location:
            return _Fetched(status)
        asked = urljoin(asked, location)
        if urlsplit(asked).hostname != urlsplit(url).hostname:
            return _Fetched(status, warning=f"Probe terminated redirects, Response body: {body}")
    return _Fetched(message=f'Get "{location}": stopped after {MOST_REDIRECTS} redirects')


def _get(url: str, own: dict[str, str], deadline: float) -> tuple[int, str, str]:
    """Status, Location and the body's beginning. TimeoutError at the deadline, however slowly bytes trickle in."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    names = {name.lower() for name in own}
    lines = [f"GET {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
    for name, value in (("Host", parts.netloc), ("User-Agent", USER_AGENT), ("Accept", "*/*")):
        if name.lower() not in names:
            lines.append(f"{name}: {value}")
    lines += [f"{name}: {value}" for name, value in own.items()]
    lines += ["Connection: close", "", ""]
    request = "\r\n".join(lines).encode()
    secure = parts.scheme == "https"
    reply = http_client.fetch(host, port, request, deadline, most_bytes=MOST_BODY_BYTES, secure=secure)
    return reply.status, reply.fields.get("location", ""), reply.body.decode(errors="replace")


def _http_error(url: str, error: Exception) -> str:
    parts = urlsplit(url)
    if getattr(error, "errno", None) in (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH):
        return _dial_error(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), error)
    return _words(error)


def _dial_error(host: str, port: int, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}:{port}: i/o timeout"
    return f"dial tcp {host}:{port}: connect: {_words(error)}"


def _words(error: Exception) -> str:
    """As Go words it: the C library's text in lower case."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:] if isinstance(error, OSError) else text
