"""A request's target as Go's net/url reads it and writes it again. Pure: bytes → bytes."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

PLAIN_TARGET = re.compile(
    rb"/[A-Za-z0-9\-._~/$&+,:;=@!'()*\[\]]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-._~/$&+,:;=@!'()*\[\]]*+)*+"
    rb"(?:\?[^\x00-\x20\x7f]*+)?",
)
"""Passes as it is: nothing in the path that Go would write another way."""
_PATH_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/$&+,:;=@")
"""Written as it is in a path (encodePath)."""
_PATH_HINT = _PATH_SAFE | frozenset(b"!'()*[]%")
"""May stand in a path that is kept as it came (validEncoded)."""
_HOST_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!\"$&'()*+,;=:[]<>")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9+\-.]*):")
_PORT = re.compile(rb"(?::[0-9]*)?")
_USER = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


class TargetError(ValueError):
    """No URL of a request; the text is Go's."""


def read_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query as forwarded, and the authority of an absolute target (empty otherwise). TargetError."""
    if PLAIN_TARGET.fullmatch(target):
        return target, b""
    if _CONTROL.search(target):
        raise TargetError("net/url: invalid control character in URL")
    if not target:
        raise TargetError("empty url")
    if target == b"*":
        return target, b""
    scheme, rest = b"", target
    if found := _SCHEME.match(target):
        scheme, rest = found[1].lower(), target[found.end() :]
    elif target.startswith(b":"):
        raise TargetError("missing protocol scheme")
    rest, asks, query = rest.partition(b"?")
    asks += query
    if not rest.startswith(b"/"):
        if scheme:
            return (rest or b"/") + asks, b""  # opaque
        raise TargetError("invalid URI for request")
    host = b""
    if scheme and rest.startswith(b"//"):
        authority, slash, path = rest[2:].partition(b"/")
        rest = slash + path
        host = _authority(authority)
    return (_path(rest) or b"/") + asks, host


def _path(path: bytes) -> bytes:
    """As it came if that is a valid encoding; else decoded and encoded again, whole."""
    plain = _unescaped(path)
    if _PATH_HINT.issuperset(path):
        return path
    return b"".join(b"%c" % byte if byte in _PATH_SAFE else b"%%%02X" % byte for byte in plain)


def _unescaped(text: bytes) -> bytes:
    if _BAD_ESCAPE.search(text):
        raise TargetError("invalid URL escape")
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text)


def _authority(authority: bytes) -> bytes:
    user, at, host = authority.rpartition(b"@")
    if at:
        if not _USER.fullmatch(user):
            raise TargetError("net/url: invalid userinfo")
        _unescaped(user)
    bracket = host.rfind(b"[")
    if bracket > 0:
        raise TargetError("invalid IP-literal")
    if bracket == 0:
        return _literal(host)
    colon = host.rfind(b":")
    if colon >= 0 and not _PORT.fullmatch(host[colon:]):
        raise TargetError("invalid port after host")
    return _host(host)


def _literal(host: bytes) -> bytes:
    inner, closing, port = host[1:].rpartition(b"]")
    if not closing:
        raise TargetError("missing ']' in host")
    if not _PORT.fullmatch(port):
        raise TargetError("invalid port after host")
    address, percent, zone = inner.partition(b"%25")
    name = _host(address) + (_unescaped(percent + zone) if percent else b"")
    try:
        IPv6Address(name.decode("ascii"))
    except (AddressValueError, UnicodeDecodeError):
        raise TargetError("invalid host") from None
    return b"[%b]%b" % (name, port)


def _host(host: bytes) -> bytes:
    for found in _ESCAPE.finditer(host):
        if int(found[1], 16) < 128 and found[1] != b"25":
            raise TargetError("invalid URL escape")
    if not all(byte in _HOST_SAFE or byte >= 128 or byte == 37 for byte in host):
        raise TargetError("invalid character in host name")
    return _unescaped(host)
