"""What a reverse proxy changes in the heads that pass through it, as Knative's queue-proxy does. Pure: bytes → bytes.

Sources: net/http/httputil.ReverseProxy; Knative's pkg/queue/forwarded_shim.go, pkg/http/header.go (in
vendor/knative.dev/networking) and the answers that the real queue-proxy gave.
"""

from __future__ import annotations

from emu.daemon import http1

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_NOT_FOR_THE_APP = _HOP_BY_HOP | {b"host", b"knative-serving-revision", b"knative-serving-namespace"}
_NOTED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"k-original-host"))
PROBE_AGENTS = (b"kube-probe/", b"Knative-Activator-Probe", b"Knative-Autoscaling-Probe")


class Route:
    """Where a request goes: to the prober, or to the app with the head `to_app`."""

    __slots__ = ("health_check", "kubelet", "network_hash", "network_probe", "proxied", "to_app")

    def __init__(self) -> None:
        self.health_check = False
        """Its User-Agent is a prober's: it asks whether the app is ready."""
        self.network_probe = b""
        self.network_hash = b""
        self.kubelet = False
        """K-Kubelet-Probe: to the app, but past the breaker."""
        self.proxied = False
        """K-Proxy-Request: it came through the activator."""
        self.to_app = b""


def route(head: http1.Head, peer: str) -> Route:
    """Sort a request, and write the head that the app gets."""
    way = Route()
    noted: dict[bytes, list[bytes]] = {}
    host = b""
    lines: list[bytes] = []
    named = _named_in_connection(head.headers)
    for name, value in head.headers:
        key = name.lower()
        if key in _NOT_FOR_THE_APP or key in named:
            if key == b"host":
                host = value
            elif key == b"te" and b"trailers" in value.lower():
                lines.append(b"Te: trailers\r\n")
            continue
        if key in _NOTED:
            noted.setdefault(key, []).append(value)
            if key in (b"x-forwarded-for", b"k-original-host"):
                continue
        elif key == b"user-agent":
            way.health_check = value.startswith(PROBE_AGENTS)
        elif key.startswith(b"k-"):
            _note_knative(way, key, value)
        lines.append(b"%b: %b\r\n" % (name, value))
    target, authority = _origin_form(head.target)
    host = noted[b"k-original-host"][0] if b"k-original-host" in noted else authority or host
    _forwarded(lines, noted, peer)
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    way.to_app = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (head.method, target, host, b"".join(lines))
    return way


def _note_knative(way: Route, key: bytes, value: bytes) -> None:
    if key == b"k-network-probe":
        way.network_probe = value
    elif key == b"k-network-hash":
        way.network_hash = value
    elif key == b"k-kubelet-probe":
        way.kubelet = bool(value)
    elif key == b"k-proxy-request":
        way.proxied = value == b"activator"


def _named_in_connection(headers: http1.Headers) -> frozenset[bytes] | tuple[()]:
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            lowered = value.lower()
            if lowered not in (b"close", b"keep-alive"):
                every = b",".join(value.lower() for name, value in headers if name.lower() == b"connection")
                # A name that frames the body or the route stays, whatever Connection says.
                tokens = {token.strip() for token in every.split(b",")} - {b"content-length", b"host"}
                return frozenset(tokens)
    return ()


def _origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Path and authority of an absolute-form target; the target itself and no authority otherwise."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target, b""
    rest = target.split(b"://", 1)[1]
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    path = rest[cut:]
    return (path if path.startswith(b"/") else b"/" + path), rest[:cut].rsplit(b"@", 1)[-1]


def _forwarded(lines: list[bytes], noted: dict[bytes, list[bytes]], peer: str) -> None:
    """X-Forwarded-For gains the peer; Forwarded is made of the X-Forwarded headers as they came, if it is absent."""
    came_for = noted.get(b"x-forwarded-for", [])
    if noted and b"forwarded" not in noted and noted.keys() != {b"k-original-host"}:
        lines.append(b"Forwarded: %b\r\n" % _forwarded_value(noted))
    lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join([*came_for, peer.encode()]))


def _forwarded_value(noted: dict[bytes, list[bytes]]) -> bytes:
    host = noted.get(b"x-forwarded-host", [b""])[0]
    proto = noted.get(b"x-forwarded-proto", [b""])[0]
    came_for = noted.get(b"x-forwarded-for", [b""])[0]
    hops = [hop for hop in (part.strip() for part in came_for.split(b",")) if hop]
    first = [b"for=" + _node(hops[0])] if hops else []
    if host:
        first.append(b"host=" + host)
    if proto:
        first.append(b"proto=" + proto)
    return b", ".join([b";".join(first), *(b"for=" + _node(hop) for hop in hops[1:])])


def _node(address: bytes) -> bytes:
    return b'"[%b]"' % address if b":" in address else address


class AnswerHead:
    """The head that the client gets, and how the body after it is framed."""

    __slots__ = ("bytes", "chunked", "last", "length")

    def __init__(self, head: bytes, chunked: bool, length: int | None, last: bool) -> None:
        self.bytes = head
        self.chunked = chunked
        self.length = length
        """The promised length; None for a body that is chunked or ends with the connection."""
        self.last = last
        """The connection is to close after this answer."""


def answer(
    request: http1.Head, status: int, reason: bytes, headers: http1.Headers, closing: bool = False
) -> AnswerHead:
    """The head for the client, of the app's; `closing` when the connection is to end after it in any case."""
    named = _named_in_connection(headers)
    lines: list[bytes] = []
    length: int | None = None
    dated = False
    for name, value in headers:
        key = name.lower()
        if key in _HOP_BY_HOP or key in named:
            continue
        if key == b"content-length" and value.isdigit():
            length = int(value)
        elif key == b"date":
            dated = True
        lines.append(b"%b: %b\r\n" % (name, value))
    if not dated:
        lines.append(b"Date: %b\r\n" % http1.date())
    bodiless = request.method == b"HEAD" or status in http1.NO_BODY
    chunked = length is None and not bodiless and request.minor >= 1
    last = closing or not request.keep_alive or (length is None and not bodiless and not chunked)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if last:
        lines.append(b"Connection: close\r\n")
    elif request.minor == 0:
        lines.append(b"Connection: keep-alive\r\n")
    head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason or http1.reason(status), b"".join(lines))
    return AnswerHead(head, chunked, 0 if bodiless else length, last)


def informational(status: int, reason: bytes, headers: http1.Headers) -> bytes:
    """An answer of the 1xx kind (103 with its links) for the client."""
    lines = [b"%b: %b\r\n" % pair for pair in headers if pair[0].lower() not in _HOP_BY_HOP]
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, b"".join(lines))
