"""HTTP/1.1 as values: a request's head checked and its framing understood, answers and chunks as bytes.

No I/O here; `server_connection.py` and `client.py` move the bytes.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus

from emu.daemon.http import heads
from emu.daemon.http.gourl import PLAIN_TARGET, TargetError, read_target

MAX_HEAD_BYTES = (1 << 20) + 4096
"""Longest head of a request (Go's net/http, DefaultMaxHeaderBytes and its slop); beyond it the answer is 431."""
NO_BODY = (204, 304)
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Headers = list[tuple[bytes, bytes]]

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    # Where Go's names (net/http, StatusText) are not Python's.
    208: b"Already Reported",
    226: b"IM Used",
    302: b"Found",
    413: b"Request Entity Too Large",
    414: b"Request URI Too Long",
    416: b"Requested Range Not Satisfiable",
    418: b"I'm a teapot",
    422: b"Unprocessable Entity",
    505: b"HTTP Version Not Supported",
}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HeadError(Exception):
    """A request that is refused before anyone sees it: `status`, and what Go's net/http says of it, if anything."""

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Head:
    """A request's head. `content_length` is None for a chunked body; no body is 0."""

    __slots__ = (
        "authority",
        "chunked",
        "content_length",
        "expects_continue",
        "expects_else",
        "headers",
        "keep_alive",
        "method",
        "minor",
        "target",
        "upgrade",
        "uri",
    )

    def __init__(self, method: bytes, target: bytes, minor: int, headers: Headers) -> None:
        self.method = method
        self.target = target
        self.uri = target
        """Path and query as Go writes them again."""
        self.minor = minor
        self.headers = headers
        self.authority = b""
        """Of an absolute target: it counts, whatever Host says."""
        self.chunked = False
        self.content_length: int | None = 0
        self.keep_alive = minor >= 1
        self.expects_continue = False
        self.expects_else = False
        """Expect asks for something unknown."""
        self.upgrade = b""
        """The protocol that the client wants to switch to; empty when it wants none."""

    def get(self, name: bytes) -> bytes:
        """The first value of a header by its lower-case name; empty when absent."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return b""


_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"expect", b"upgrade"))
_NOTABLE = _FRAMING | {b"pragma", b"trailer"}
BAD_HOST = re.compile(rb"[^!$%&'()*+,\-.:;=\[\]_~0-9A-Za-z]")
"""What no Host header may hold (golang.org/x/net/http/httpguts, ValidHostHeader)."""
_NEVER_TRAILERS = (b"transfer-encoding", b"trailer", b"content-length")
_CONTINUE_TOKEN, _CLOSE_TOKEN, _KEEP_TOKEN = (
    re.compile(rb"(?:^|[ ,\t])%b(?:$|[ ,\t])" % word, re.IGNORECASE)
    for word in (b"100-continue", b"close", b"keep-alive")
)
"""How Go's server looks for a word in a field's first value (net/http, hasToken)."""
MOST_FIELDS = 500
"""Header fields in a request; beyond them the answer is 431 (net/http, DefaultMaxHeaderValueCount)."""


def parse_head(data: bytes, two_framings: bool = False) -> Head:
    """The head that these bytes are, up to and with its empty line, as Go's server reads it. HeadError.

    What two hops may read differently (a length twice or beside chunked, chunked in HTTP/1.0) is refused unless
    `two_framings`: then one of the two is chosen as Go does.
    """
    line, at = heads.first_line(data)
    try:
        method, target, (major, minor) = heads.request_line(line)
        uri = authority = b""
        if method == b"CONNECT" and not target.startswith(b"/"):
            read_target(b"http://" + target)
        else:
            uri, authority = read_target(target)
        headers = heads.fields(data, at, MOST_FIELDS)
    except heads.TooManyFieldsError:
        raise HeadError(431) from None
    except (heads.MessageError, TargetError):
        raise HeadError(400) from None
    head = Head(method, target, min(minor, 1) if major == 1 else int(major > 1), headers)
    head.uri, head.authority = uri, authority
    named = _read_fields(head, two_framings or major != 1)
    if (method, target, major) == (b"PRI", b"*", 2):
        raise HeadError(0)
    if major != 1:
        raise HeadError(505, "unsupported protocol version")
    _check_host(head, named.get(b"host"))
    return head


_keys: dict[bytes, bytes] = {}
"""Names that are tokens; what is notable in lower case, nothing of all others."""
_hosts: set[bytes] = set()
"""Hosts that are none to refuse."""
_MOST_KNOWN = 512
SURE_DIGITS = 18
"""A length of so many digits is below 2^63."""


def usual_head(data: bytes) -> Head | None:
    """The head, if it is one as most are: of HTTP/1.1, with nothing odd, and a body of one length, in chunks, or
    none. Whatever this takes the long way takes too, and makes the same of it.
    """
    lines = data.split(b"\r\n")
    said = lines[0].split(b" ")
    if len(said) != 3 or said[2] != b"HTTP/1.1" or said[0] not in heads.METHODS or len(lines) > MOST_FIELDS:
        return None
    target = said[1]
    if (target != b"/" and not PLAIN_TARGET.fullmatch(target)) or not heads.clean(data, len(lines) - 1):
        return None
    headers: Headers = []
    hosts = 0
    length: int | None = None
    chunked = False
    keys = _keys
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        key = keys.get(name)
        value = value.strip(b" \t")
        if key is None or not colon:
            if not colon or not heads.valid_name(name):
                return None
            key = _learn_name(name)
        if key:
            if key == b"host":
                hosts += 1
                if value not in _hosts and not _learn_host(value):
                    return None
            elif key == b"content-length" and length is None and value.isdigit() and len(value) <= SURE_DIGITS:
                length = int(value)
            elif key == b"transfer-encoding" and not chunked and value.lower() == b"chunked":
                chunked = True
            elif key != b"connection" or value.lower() != b"keep-alive":
                return None
        headers.append((name, value))
    if hosts != 1 or (chunked and length is not None):
        return None
    head = Head(said[0], target, 1, headers)
    head.chunked = chunked
    head.content_length = None if chunked else length or 0
    return head


def _learn_name(name: bytes) -> bytes:
    if len(_keys) >= _MOST_KNOWN:
        _keys.clear()
    lower = name.lower()
    key = _keys[name] = lower if lower in _NOTABLE else b""
    return key


def plain_host(host: bytes) -> bool:
    """Whether a Host was found valid before and is no address in brackets: it is forwarded without a check."""
    return host in _hosts and host[:1] != b"["


def _learn_host(host: bytes) -> bool:
    if BAD_HOST.search(host):
        return False
    if len(_hosts) >= _MOST_KNOWN:
        _hosts.clear()
    _hosts.add(host)
    return True


def check_first_line(data: bytes) -> None:
    """Refuse a head whose first line is wrong, before the rest of it has come. HeadError."""
    try:
        method, target, _ = heads.request_line(heads.first_line(data)[0])
        read_target(b"http://" + target if method == b"CONNECT" and not target.startswith(b"/") else target)
    except (heads.MessageError, TargetError):
        raise HeadError(400) from None


def _read_fields(head: Head, two_framings: bool) -> dict[bytes, list[bytes]]:
    """Note what the fields say of the message itself; those fields."""
    named: dict[bytes, list[bytes]] = {}
    lowered, notable = heads.lowered, _NOTABLE
    for name, value in head.headers:
        key = lowered(name)
        if key in notable:
            named.setdefault(key, []).append(value)
    if not named:
        return named
    if len(named.get(b"host", ())) > 1:
        raise HeadError(400)
    if named.get(b"pragma", [b""])[0] == b"no-cache" and not head.get(b"cache-control"):
        head.headers.append((b"Cache-Control", b"no-cache"))
    encodings = named.get(b"transfer-encoding")
    lengths = named.get(b"content-length")
    if encodings:
        if head.minor:
            if len(encodings) > 1 or encodings[0].lower() != b"chunked":
                raise HeadError(501, "Unsupported transfer encoding")
            head.chunked = True
        elif not two_framings:
            raise HeadError(400)
    if lengths:
        try:
            head.content_length = heads.content_length(lengths)
        except heads.MessageError:
            raise HeadError(400) from None
        if (len(lengths) > 1 or head.chunked) and not two_framings:
            raise HeadError(400)
    if head.chunked:
        head.content_length = None
        for value in named.get(b"trailer", ()):
            if any(part.strip().lower() in _NEVER_TRAILERS for part in value.split(b",")):
                raise HeadError(400)
    if b"connection" in named or b"expect" in named:
        _read_switches(head, named)
    return named


def _read_switches(head: Head, named: dict[bytes, list[bytes]]) -> None:
    connection = named.get(b"connection")
    if connection:
        tokens = [token.strip() for value in connection for token in value.lower().split(b",")]
        if head.minor:
            head.keep_alive = b"close" not in tokens and not _CLOSE_TOKEN.search(connection[0])
        else:
            head.keep_alive = _KEEP_TOKEN.search(connection[0]) is not None  # whatever else it says
        if b"upgrade" in tokens:
            head.upgrade = named.get(b"upgrade", [b""])[0]
    for value in named.get(b"expect", ())[:1]:
        if _CONTINUE_TOKEN.search(value):
            head.expects_continue = head.minor == 1
        elif value:
            head.expects_else = True


def _check_host(head: Head, hosts: list[bytes] | None) -> None:
    """What Go's server looks at once it has the whole head."""
    if not hosts and head.minor and head.method != b"CONNECT":
        raise HeadError(400, "missing required Host header")
    if hosts and BAD_HOST.search(hosts[0]):
        raise HeadError(400, "malformed Host header")
    if b" " in b"".join([name for name, _ in head.headers]):
        raise HeadError(400, "invalid header name")


_canonical: dict[bytes, bytes] = {}
_CANONICAL_MOST = 512


def canonical(name: bytes) -> bytes:
    """A header's name as Go writes it: `x-mine` is X-Mine (net/textproto, CanonicalMIMEHeaderKey)."""
    known = _canonical.get(name)
    if known is None:
        known = heads.canonical(name)
        if len(_canonical) >= _CANONICAL_MOST:
            _canonical.clear()
        _canonical[name] = known
    return known


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; data must not be empty, for that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reason(status: int) -> bytes:
    """The reason phrase of a status, in Go's words."""
    return REASONS.get(status) or b"status code %d" % status


def may_trail(name: bytes) -> bool:
    """Whether a canonical name may be a trailer's: it frames and routes no message."""
    return name not in _NO_TRAILER and not name.startswith(b"If-")


def trailer_lines(trailers: Headers, announced: frozenset[bytes]) -> bytes:
    """The end of a chunked body: the last chunk and these trailers. If all of them were announced, those that would
    frame or route a message are left out (net/http, declareTrailer); else they are written as they are. One with a
    blank in its name is never written.
    """
    lines = sorted((canonical(name), value) for name, value in trailers if b" " not in name)
    if announced.issuperset(name for name, _ in lines):
        lines = [pair for pair in lines if may_trail(pair[0])]
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % pair for pair in lines)


_NO_TRAILER = frozenset(
    b"Authorization Cache-Control Connection Content-Encoding Content-Length Content-Range Content-Type Expect Host "
    b"Keep-Alive Max-Forwards Pragma Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Realm Te Trailer "
    b"Transfer-Encoding Www-Authenticate".split()
)
"""What is no trailer (golang.org/x/net/http/httpguts, ValidTrailerHeader)."""


_date_second = -1
_date_text = b""


def date() -> bytes:
    """The wall clock as a Date header's value; made once a second."""
    global _date_second, _date_text
    now = int(time.time())
    if now != _date_second:
        t = time.gmtime(now)
        _date_text = (
            f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} "
            f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
        ).encode()
        _date_second = now
    return _date_text


def answer_head(
    status: int, length: int | None, extra: bytes = b"", connection: bytes = b"", minor: int = 1, guessed: bytes = b""
) -> bytes:
    """The head of emu's own answer; `extra` is whole header lines, `connection` that header's value if any. Without a
    `length` nothing is said of one, as of an empty answer to HEAD.

    The order is that of Go's net/http: the handler's own headers, then Date, Content-Length, a `guessed` type, then
    Connection.
    """
    tail = guessed + (b"Connection: %b\r\n\r\n" % connection if connection else b"\r\n")
    if length is not None:
        tail = b"Content-Length: %d\r\n%b" % (length, tail)
    return b"HTTP/1.%d %d %b\r\n%bDate: %b\r\n%b" % (minor, status, reason(status), extra, date(), tail)


TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
ERROR_TEXT = TEXT + b"X-Content-Type-Options: nosniff\r\n"
"""The headers that Go's http.Error sets."""


def connection_value(minor: int, last: bool) -> bytes:
    """What an answer says in Connection; empty for what goes without saying."""
    return (b"close" if minor else b"") if last else b"" if minor else b"keep-alive"


def whole_answer(request: Head, status: int, body: bytes, headers: bytes, last: bool) -> bytes:
    """An answer of which all is known; `headers` are whole lines, and with the `last` one the connection ends."""
    minor = request.minor
    connection = connection_value(minor, last)
    shown = b"" if request.method == b"HEAD" else body
    guessed = TEXT if body and not headers else b""
    return answer_head(status, known_length(request, body), headers, connection, minor, guessed) + shown


def known_length(request: Head, body: bytes) -> int | None:
    """Of emu's own answer: Go's server knows none of one to HEAD that nothing was written of."""
    return len(body) if body or request.method != b"HEAD" else None


def refusal(status: int, detail: str = "") -> bytes:
    """What Go's net/http writes for a request that it cannot read, before it closes the connection."""
    line = b"%d %b" % (status, reason(status))
    if status == 501:
        return b"HTTP/1.1 %b\r\n%bConnection: close\r\n\r\n%b" % (line, TEXT, detail.encode())
    if detail:
        line += b": " + detail.encode()
    return b"HTTP/1.1 %b\r\n%bConnection: close\r\n\r\n%b" % (line, TEXT, line)
