"""What a reverse proxy changes in the heads that pass through it, as Knative's queue-proxy does. Pure: bytes → bytes.

Sources: net/http and net/http/httputil.ReverseProxy; Knative's pkg/queue/forwarded_shim.go, pkg/http/header.go (in
vendor/knative.dev/networking) and the answers that the real queue-proxy gave. Header names leave canonicalised and
sorted, as Go's maps of headers are written.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter

from emu.daemon.http import heads, http1
from emu.daemon.http.sniff import content_type
from emu.messages import ACTIVATOR_PROBE_AGENT, KUBE_PROBE_AGENT, NETWORK_PROBE_HEADER

ORIGINAL_HOST, PROXY_REQUEST = b"K-Original-Host", b"K-Proxy-Request"
"""What the activator adds: the Host that the client named, and that it asks."""
NETWORK_HASH = b"K-Network-Hash"
_NETWORK_PROBE, _KUBELET_PROBE = NETWORK_PROBE_HEADER.encode(), b"K-Kubelet-Probe"
_DEFAULT = b"Knative-Serving-Default"
_TAG, _DEFAULT_ROUTE = b"Knative-Serving-Tag", _DEFAULT + b"-Route"
_FOR, _PROTO, _VIA_HOST = b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"
KUBE_PROBE = KUBE_PROBE_AGENT.encode()
_HOP_BY_HOP = frozenset(
    (
        b"Connection",
        b"Proxy-Connection",
        b"Keep-Alive",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"Te",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
    )
)
_WRITTEN_APART = frozenset((b"Host", b"User-Agent", b"Content-Length"))
"""Headers that Go's transport writes before the sorted ones."""
_SPECIAL = (
    _HOP_BY_HOP
    | _WRITTEN_APART
    | {
        b"Knative-Serving-Revision",
        b"Knative-Serving-Namespace",
        _FOR,
        _PROTO,
        _VIA_HOST,
        b"Forwarded",
        ORIGINAL_HOST,
        _NETWORK_PROBE,
        NETWORK_HASH,
        _KUBELET_PROBE,
        PROXY_REQUEST,
        _TAG,
        _DEFAULT_ROUTE,
    }
)
_NEVER_TRAILERS = {b"Content-Length", b"Trailer", b"Transfer-Encoding"}
"""Go's HTTP/2 server passes over these in Trailer, and its HTTP/1 server refuses them."""
_FROM_ACTIVATOR = (ORIGINAL_HOST, PROXY_REQUEST, NETWORK_HASH)
"""Headers that an activator sets itself, or takes out."""
_NOT_INFORMATIONAL = (b"Content-Length", b"Transfer-Encoding")
PROBE_AGENTS = (KUBE_PROBE, ACTIVATOR_PROBE_AGENT.encode(), b"Knative-Autoscaling-Probe")
LENGTH_EVEN_IF_NONE = (b"POST", b"PUT", b"PATCH")
"""Methods for which Go says `Content-Length: 0`."""
_name = itemgetter(0)


class Route:
    """Where a request goes: to the prober, or to the app, with what the app gets."""

    __slots__ = (
        "agent",
        "came_to",
        "headers",
        "health_check",
        "host",
        "kubelet",
        "network_hash",
        "network_probe",
        "probe",
        "proxied",
        "tag",
        "target",
        "trailer",
        "trailer_fault",
        "upgrade",
    )

    def __init__(self) -> None:
        self.health_check = False
        """Its User-Agent is a prober's: it asks whether the app is ready."""
        self.network_probe = b""
        self.network_hash = b""
        self.kubelet = False
        """K-Kubelet-Probe: to the app, but past the breaker and the statistics."""
        self.proxied = False
        """K-Proxy-Request: it came through the activator."""
        self.headers: http1.Headers = []
        """What the app gets, canonical and sorted; Host, User-Agent and what frames the body are apart."""
        self.host = b""
        self.came_to = b""
        """The Host that the client named."""
        self.probe = False
        """A prober's, for the app or for us: the metrics leave it out."""
        self.agent: bytes | None = None
        self.target = b""
        self.trailer = b""
        """The names of trailers that the client announced."""
        self.trailer_fault: bytes | None = None
        """One of them that is no name."""
        self.tag = "kn:disabled"
        """The label kn.route.tag (pkg/queue/... routetag_handler.go)."""
        self.upgrade = b""


def route(head: http1.Head, peer: str) -> Route:
    """Sort a request, and make the headers that the app gets."""
    way = _route(head, peer, _named_in_connection(head.headers), activator=False)
    way.headers.sort(key=_name)
    return way


def route_to_pod(head: http1.Head, peer: str) -> Route:
    """The same in the activator. It says that it asks and for which host, unless Connection names these; a Forwarded
    it leaves to queue-proxy.
    """
    named = _named_in_connection(head.headers)
    way = _route(head, peer, named, activator=True)
    hosts = [value for name, value in head.headers if http1.canonical(name) == ORIGINAL_HOST]
    if not (hosts and hosts[0]):
        hosts = [way.host]
    added = [*((ORIGINAL_HOST, host) for host in hosts), (PROXY_REQUEST, b"activator")]
    kept = (pair for pair in way.headers if pair[0] not in _FROM_ACTIVATOR)
    way.headers = [*kept, *(pair for pair in added if pair[0] not in named)]
    way.headers.sort(key=_name)
    return way


def _route(head: http1.Head, peer: str, named: Collection[bytes], activator: bool) -> Route:
    """Without the order of the headers."""
    way = Route()
    headers = way.headers
    special: dict[bytes, list[bytes]] = {}
    canonical = http1.canonical
    for name, value in head.headers:
        key = canonical(name)
        if key in _SPECIAL:
            special.setdefault(key, []).append(value)
        elif key not in named:
            headers.append((key, value))
    way.target = head.uri
    host = special.pop(b"Host", None)
    way.host = way.came_to = head.authority or (host[0] if host else b"")
    agent = special.pop(b"User-Agent", None)
    if agent:
        way.agent = None if b"User-Agent" in named else agent[0]
        way.health_check = agent[0].startswith(PROBE_AGENTS)
        way.probe = agent[0].startswith(KUBE_PROBE)
    special.pop(b"Content-Length", None)
    _specials(way, head, special, named)
    _forwarded(headers, special, named, peer, shim=not activator)
    return way


def _specials(way: Route, head: http1.Head, special: dict[bytes, list[bytes]], named: Collection[bytes]) -> None:
    """Note what Knative and the protocol give a meaning; what the app is to see too goes to the headers."""
    headers = way.headers
    if head.upgrade:
        way.upgrade = head.upgrade
        headers += [(b"Connection", b"Upgrade"), (b"Upgrade", head.upgrade)]
    if not special:
        return
    for key, values in special.items():
        value = values[0]
        if key == ORIGINAL_HOST and value:
            way.host = value
            continue
        if key == b"Te":
            if any(b"trailers" in [part.strip() for part in each.lower().split(b",")] for each in values):
                headers.append((b"Te", b"trailers"))
        elif key == b"Trailer":
            if head.chunked or head.minor == 2:
                parts = [part.strip() for value in values for part in value.split(b",")]
                if head.minor == 2:
                    announced = sorted({http1.canonical(part) for part in parts} - _NEVER_TRAILERS)
                else:
                    announced = sorted({http1.canonical(part) for part in parts if part})
                way.trailer = b",".join(announced)
                way.trailer_fault = next((part for part in announced if not heads.valid_name(part)), None)
        elif key.startswith(b"K-"):
            _note_knative(way, key, value)
        if key.startswith((b"K-", _TAG, _DEFAULT)) and key not in named:
            headers += [(key, each) for each in values]
    tag = special.get(_TAG, [b""])[0]
    default = special.get(_DEFAULT_ROUTE, [b""])[0]
    if default and not tag:
        way.tag = "kn:default"
    elif tag:
        way.tag = "kn:undefined" if default == b"true" else tag.decode("latin-1")


def _note_knative(way: Route, key: bytes, value: bytes) -> None:
    if key == _NETWORK_PROBE:
        way.network_probe = value
        way.probe |= bool(value)
    elif key == NETWORK_HASH:
        way.network_hash = value
    elif key == _KUBELET_PROBE:
        way.kubelet = bool(value)
        way.probe |= way.kubelet
    elif key == PROXY_REQUEST:
        way.proxied = value == b"activator"


def hash_line(way: Route) -> bytes:
    """The header line that answers a probe of the network with its own hash; empty where the probe has none."""
    return b"%b: %b\r\n" % (NETWORK_HASH, way.network_hash) if way.network_hash else b""


def app_head(way: Route, head: http1.Head, address: bytes) -> bytes:
    """The head of the request to the app, in HTTP/1.1 and in the order in which Go's transport writes it; `address`
    is the app's, for a request without a Host.
    """
    host = way.host or address
    if not http1.plain_host(host):
        host = _host(host)
    parts = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method, way.target, host)]
    if way.agent:
        parts.append(b"User-Agent: %b\r\n" % way.agent)
    if head.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
        if way.trailer:
            parts.append(b"Trailer: %b\r\n" % way.trailer)
    elif head.content_length or head.method in LENGTH_EVEN_IF_NONE:
        parts.append(b"Content-Length: %d\r\n" % (head.content_length or 0))
    parts += [b"%b: %b\r\n" % pair for pair in way.headers]
    parts.append(b"\r\n")
    return b"".join(parts)


def _named_in_connection(headers: http1.Headers) -> Collection[bytes]:
    """The canonical names that Connection names, which go no further."""
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            lowered = value.lower()
            if lowered not in (b"close", b"keep-alive", b"upgrade"):
                every = b",".join(value for name, value in headers if name.lower() == b"connection")
                # A name that frames the body or the route stays, whatever Connection says.
                tokens = {http1.canonical(token.strip()) for token in every.split(b",")}
                return tokens - {b"Content-Length", b"Host"}
    return ()


def _host(host: bytes) -> bytes:
    """A Host as Go's transport writes it: without a zone, in ASCII, empty if it is none."""
    if host.startswith(b"["):
        end = host.rfind(b"]")
        zone = host.find(b"%", 0, end)
        host = host[:zone] + host[end:] if zone >= 0 else host
    elif not host.isascii():
        name, colon, port = host.partition(b":")
        try:
            host = name.decode("utf-8").encode("idna") + colon + port
        except UnicodeError:
            return b""
    return b"" if http1.BAD_HOST.search(host) else host


def _forwarded(
    headers: http1.Headers, special: dict[bytes, list[bytes]], named: Collection[bytes], peer: str, shim: bool
) -> None:
    """X-Forwarded-For gains the peer. With `shim`, an absent Forwarded is made of the X-Forwarded headers as they
    came.
    """
    if not special:
        headers.append((_FOR, peer.encode()))
        return
    came_for = special.get(_FOR, [])
    if shim and not special.get(b"Forwarded", [b""])[0]:
        said = [special.get(key, [b""])[0] for key in (_FOR, _VIA_HOST, _PROTO)]
        if any(said):
            special[b"Forwarded"] = [_forwarded_value(*said)]
    for key in (b"Forwarded", _VIA_HOST, _PROTO):
        if key not in named:
            headers += [(key, value) for value in special.get(key, ())]
    kept = [] if _FOR in named else came_for
    headers.append((_FOR, b", ".join([*kept, peer.encode()])))


def _forwarded_value(came_for: bytes, host: bytes, proto: bytes) -> bytes:
    """Forwarded as Knative makes it, gaps in the list of hops included."""
    first, *others = (part.strip() for part in came_for.removesuffix(b",").split(b","))
    made = b"for=" + _node(first) if came_for else b""
    if host:
        made += (b";" if first else b"") + b"host=" + host
    if proto:
        made += (b";" if first or host else b"") + b"proto=" + proto
    return b", ".join([made, *(b"for=" + _node(hop) for hop in others)])


def _node(address: bytes) -> bytes:
    return b'"[%b]"' % address if b":" in address else address


class AnswerHead:
    """The head of an answer for the client, and how the body after it is framed.

    It is written (`render`) when the first bytes of the body are known, or that none come soon: Go's server looks at
    them for a Content-Type, and gives an answer that ended at once its length.
    """

    __slots__ = ("_bodiless", "_dated", "_lines", "_typed", "chunked", "last", "length", "minor", "prompt", "status")

    def __init__(
        self,
        request: http1.Head,
        status: int,
        headers: http1.Headers,
        length: int | None,
        closing: bool,
        event_stream: bool,
    ) -> None:
        names = {name for name, _ in headers}
        self._lines = headers
        self._dated = b"Date" in names
        self._bodiless = request.method == b"HEAD" or status in http1.NO_BODY
        encoded = any(name == b"Content-Encoding" and value for name, value in headers)
        self._typed = encoded or b"Content-Type" in names
        self.status = status
        self.minor = request.minor
        self.length = 0 if self._bodiless else length
        """The promised length; None for a body that is chunked or ends with the connection."""
        self.prompt = length is None or event_stream
        """Each piece goes out at once (ReverseProxy's flush interval); else as Go's buffers fill."""
        self.chunked = self.length is None and request.minor >= 1
        self.last = closing or not request.keep_alive or (self.length is None and not self.chunked)
        """The connection is to close after this answer."""

    @property
    def headers(self) -> http1.Headers:
        """Canonical and sorted."""
        return self._lines

    def render(self, first: bytes, ended: bool) -> bytes:
        """The head; `first` is what of the body is known, `ended` that nothing else comes.

        Go's server guesses a type by the first piece, unless the head went out before: it does where that has no
        length, if it comes late or with the body's end.
        """
        lines = [b"%b: %b\r\n" % pair for pair in self._lines]
        if not self._dated:
            lines.append(b"Date: %b\r\n" % http1.date())
        if first and not (self._typed or self._bodiless or (ended and self.length is None)):
            lines.append(b"Content-Type: %b\r\n" % content_type(first))
        if self.last and self.minor:
            lines.append(b"Connection: close\r\n")
        elif self.minor == 0 and not self.last:
            lines.append(b"Connection: keep-alive\r\n")
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        return b"HTTP/1.%d %d %b\r\n%b\r\n" % (self.minor, self.status, http1.reason(self.status), b"".join(lines))


def answer(request: http1.Head, status: int, headers: http1.Headers, closing: bool = False) -> AnswerHead:
    """The head for the client, of the app's; `closing` when the connection is to end after it in any case."""
    named = _named_in_connection(headers)
    lines: http1.Headers = []
    length: int | None = None
    event_stream = False
    announced: list[bytes] = []
    suppressed: Collection[bytes] = ()
    if status in http1.NO_BODY:
        typed = status != 304 or request.minor == 2
        suppressed = (b"Content-Length",) if typed else (b"Content-Type", b"Content-Length")
    canonical = http1.canonical
    for name, value in headers:
        key = canonical(name)
        if key in named or key in suppressed or b" " in key:
            continue
        if key in _HOP_BY_HOP:
            if key == b"Trailer":
                announced += [http1.canonical(part.strip()) for part in value.split(b",") if part.strip()]
            continue
        if key == b"Content-Length" and value.isdigit():
            length = int(value)
        elif key == b"Content-Type":
            event_stream = value.lower().startswith(b"text/event-stream")
        lines.append((key, value))
    if announced:
        lines.append((b"Trailer", b", ".join(sorted(set(announced)))))
    lines.sort(key=_name)
    return AnswerHead(request, status, lines, length, closing, event_stream)


def for_any_client(status: int, headers: http1.Headers) -> AnswerHead | None:
    """The head of an answer that is the same for each client of HTTP/1.1 that stays; None for any other.

    It has its date and a length, and a type if there is a body, so that nothing of it is ours to add.
    """
    head = answer(http1.Head(b"GET", b"/", 1, []), status, headers)
    names = {name for name, _ in head.headers}
    fixed = status >= 200 and status not in http1.NO_BODY and b"Date" in names and b"Content-Length" in names
    typed = head.length == 0 or bool(names & {b"Content-Type", b"Content-Encoding"})
    return head if fixed and typed and head.length is not None and not head.last else None


def informational(status: int, headers: http1.Headers, minor: int) -> bytes:
    """An answer of the 1xx kind (103 with its links) for the client."""
    pairs = sorted(((http1.canonical(name), value) for name, value in headers), key=_name)
    lines = [b"%b: %b\r\n" % pair for pair in pairs if pair[0] not in _NOT_INFORMATIONAL and b" " not in pair[0]]
    return b"HTTP/1.%d %d %b\r\n%b\r\n" % (minor, status, http1.reason(status), b"".join(lines))


def switched(reason: bytes, headers: http1.Headers) -> tuple[bytes, bytes]:
    """The head of the app's 101 for the client, and the protocol it names (empty when it names none)."""
    pairs = sorted(((http1.canonical(name), value) for name, value in headers), key=_name)
    tokens = b",".join(value.lower() for key, value in pairs if key == b"Connection").split(b",")
    protocol = next((value for key, value in pairs if key == b"Upgrade"), b"")
    lines = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
    head = b"HTTP/1.1 101 %b\r\n%b\r\n" % (reason or http1.reason(101), lines)
    return head, protocol if b"upgrade" in [token.strip() for token in tokens] else b""
