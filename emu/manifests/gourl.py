"""Whether Go's net/url takes a text for a URL, and what it says where it does not."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_PORT = re.compile(r"(?::[0-9]*)?")
_HOST = re.compile(r"[^A-Za-z0-9\-._~!\"$&'()*+,;=:\[\]<>%\x80-\U0010ffff]")


def url_error(text: str) -> str:
    """What url.Parse says of it, `parse "…": ` before it; empty where it is a URL."""
    wrong = _wrong(text)
    return f'parse "{text}": {wrong}' if wrong else ""


def _wrong(text: str) -> str:
    if _CONTROL.search(text):
        return "net/url: invalid control character in URL"
    if text.startswith(":"):
        return "missing protocol scheme"
    rest = text.partition("#")[0]
    scheme = _SCHEME.match(rest)
    rest = (rest[scheme.end() :] if scheme else rest).partition("?")[0]
    if not rest.startswith("/"):
        if scheme:
            return ""  # opaque
        if ":" in rest.partition("/")[0]:
            return "first path segment in URL cannot contain colon"
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path
    return _wrong_host(host.rpartition("@")[2]) or _escape(rest)


def _wrong_host(host: str) -> str:
    if host.startswith("["):
        _, closing, port = host.rpartition("]")
        if not closing:
            return "missing ']' in host"
        return "" if _PORT.fullmatch(port) else f'invalid port "{port}" after host'
    colon = host.rfind(":")
    if colon >= 0 and not _PORT.fullmatch(host[colon:]):
        return f'invalid port "{host[colon:]}" after host'
    if (strange := _HOST.search(host)) is not None:
        return f'invalid character "{strange[0]}" in host name'
    return _escape(host)


def _escape(text: str) -> str:
    found = _ESCAPE.search(text)
    return f'invalid URL escape "{found[0]}"' if found else ""
