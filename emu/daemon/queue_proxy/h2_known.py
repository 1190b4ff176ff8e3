"""Heads of HTTP/2 that came before: what was made of them is used again (docs/decisions/0012 and 0018).

`KnownStream` is a request's head, `KnownAnswer` an answer's; both are shared by all who send the same.
"""

from __future__ import annotations

import re

from emu.daemon.http import forward, http1
from emu.daemon.http import h2_frames as frames
from emu.daemon.http.gohost import punycode_host
from emu.daemon.http.gourl import TargetError, read_target

Pairs = http1.Headers
good_method = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
"""What Go's transport takes for a method; its server takes any in HTTP/2."""


class KnownStream:
    """A request that means nothing to queue-proxy itself: where it goes, and what the app gets for it."""

    __slots__ = ("block", "by_address", "end", "head", "host_bytes", "length", "way")

    def __init__(self, head: http1.Head, way: forward.Route, end: bool, length: int | None, address: bytes) -> None:
        self.head = http1.Head(head.method, head.target, 2, [])
        self.head.content_length = head.content_length
        self.way = way
        self.end = end
        """It has no body."""
        self.length = length
        """Its body's, as declared."""
        self.block = frames.encode(app_headers(way, head, end, address))
        self.host_bytes = len(frames.field(b":authority", way.host or address))
        """With so many of `block` begins the Host that the app gets."""
        self.by_address: dict[bytes, bytes] = {}
        """`block` with the address of a pod as the Host, for those that the activator sent it to."""
        way.headers = []


def made_of(
    head: http1.Head, way: forward.Route, end: bool, length: int | None, address: bytes
) -> KnownStream | None:
    """The entry to keep for a request to an address; None where queue-proxy answers it itself."""
    ours = way.health_check or way.network_probe or way.kubelet
    odd_host = http1.BAD_HOST.search(way.host) is not None
    refused = head.method == b"CONNECT" or not good_method(head.method) or way.trailer_fault is not None or odd_host
    if ours or refused or head.expects_continue:
        return None
    return KnownStream(head, way, end, length, address)


def app_headers(way: forward.Route, head: http1.Head, bodiless: bool, address: bytes) -> Pairs:
    """The head that the app at an address gets, which stands for a Host that is none. HostError."""
    host = punycode_host(way.host) or address
    headers = [(b":authority", host), (b":method", head.method), (b":path", way.target), (b":scheme", b"http")]
    if way.trailer:
        headers.append((b"trailer", way.trailer))
    for name, value in way.headers:
        if name == b"Cookie":
            headers += [(b"cookie", crumb) for crumb in _crumbs(value)]
        else:
            headers.append((name.lower(), value))
    if head.content_length or (bodiless and head.method in forward.LENGTH_EVEN_IF_NONE):
        headers.append((b"content-length", b"%d" % (head.content_length or 0)))
    if way.agent:
        headers.append((b"user-agent", way.agent))
    return headers


def _crumbs(cookie: bytes) -> list[bytes]:
    """A Cookie as Go's transport writes it: each part on its own, and none where it ends with one."""
    *parts, last = cookie.split(b";")
    crumbs = [part.lstrip(b" ") if at else part for at, part in enumerate(parts)]
    rest = last.lstrip(b" ") if parts else last
    return [*crumbs, rest] if rest else crumbs


def _target(pseudo: dict[bytes, bytes]) -> bytes:
    """The request's target. MalformedError for a request without what its method needs."""
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    if method == b"CONNECT":
        if b":scheme" in pseudo or target or not pseudo.get(b":authority"):
            raise frames.MalformedError("not a request")
        return pseudo[b":authority"]
    if not method or pseudo.get(b":scheme") not in (b"http", b"https") or not (target[:1] == b"/" or target == b"*"):
        raise frames.MalformedError("not a request")
    return target


def read_head(pairs: Pairs, pseudo: dict[bytes, bytes]) -> http1.Head:
    """A request's head. MalformedError for one without what a request needs."""
    target = _target(pseudo)
    if b":status" in pseudo or b":protocol" in pseudo:
        raise frames.MalformedError("not a request")
    headers = [pair for pair in pairs if pair[0][0] != 58 and pair[0] != b"cookie"]
    cookies = [value for name, value in pairs if name == b"cookie"]
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    authority = pseudo.get(b":authority", b"") or next((value for name, value in headers if name == b"host"), b"")
    if b"@" in authority:
        raise frames.MalformedError("a user in the authority")
    headers = [pair for pair in headers if pair[0] != b"host"]
    headers.append((b"host", authority))
    expects = [value for name, value in headers if name == b"expect"]
    continues = any(part.strip().lower() == b"100-continue" for value in expects for part in value.split(b","))
    if continues:
        headers = [pair for pair in headers if pair[0] != b"expect"]  # the answer to it is Go's server's
    head = http1.Head(pseudo[b":method"], target, 2, headers)
    head.expects_continue = continues
    try:
        head.uri, _ = read_target(b"http://" + target if head.method == b"CONNECT" else target)
    except TargetError as wrong:
        raise frames.MalformedError(str(wrong)) from None
    head.content_length = _body_length(headers)
    return head


def _body_length(headers: Pairs) -> int | None:
    """What a request says of its body's length: 0 where that is no number. MalformedError where it differs."""
    said = {value for name, value in headers if name == b"content-length"}
    if len(said) > 1:
        raise frames.MalformedError("content-length")
    return next((_number(value) for value in said), None)


def _number(text: bytes) -> int:
    """Of 63 bits; 0 for what is none."""
    number = int(text) if text.isdigit() and len(text) < 20 else 0
    return number if number < 1 << 63 else 0


class KnownAnswer:
    """The head of a final answer."""

    __slots__ = ("_block", "_dated", "answer", "headers", "length", "status")

    def __init__(self, status: int, headers: Pairs) -> None:
        self.status = status
        self.headers = headers
        self.length = frames.declared_length(headers)
        self.answer = forward.answer(_ANY, status, headers)
        names = {name for name, _ in self.answer.headers}
        self._dated = b"Date" in names
        typed = self.answer.length == 0 or bool(names & {b"Content-Type", b"Content-Encoding"})
        self._block = frames.encode(client_headers(self.answer)) if typed else None

    def block(self, ended: bool) -> bytes | None:
        """The client's, unless that depends on what follows; `ended` when nothing does."""
        if self._block is None or (ended and self.answer.length is None):
            return None
        return self._block if self._dated else self._block + frames.field(b"date", http1.date())


def client_headers(answer: forward.AnswerHead) -> Pairs:
    """The head that the client gets, as far as it does not depend on the body or the time."""
    return [(b":status", b"%d" % answer.status), *lower(answer.headers)]


def lower(headers: Pairs) -> Pairs:
    """Canonical headers as HTTP/2 has them."""
    return [(name.lower(), value) for name, value in headers]


_ANY = http1.Head(b"GET", b"/", 2, [])
