"""Hosts that are not ASCII as Go's transport for HTTP/2 sends them (httpguts.PunycodeHostPort). Pure."""

from __future__ import annotations

from emu.daemon.http.goquote import quoted

_PREFIX = b"xn--"


class HostError(Exception):
    """A host that cannot be sent; `words` are Go's."""

    def __init__(self, label: bytes) -> None:
        self.words = b"http2: idna: invalid label %b\n" % quoted(label)
        super().__init__(self.words)


def punycode_host(host: bytes) -> bytes:
    """The host, with each label that is not ASCII in Punycode. HostError for one that cannot be."""
    if host.isascii():
        return host
    name, colon, port = host.rpartition(b":")
    if not colon or b":" in name or b"[" in host:
        name, colon, port = host, b"", b""
    return b".".join(_label(label) for label in name.split(b".")) + (colon + port if port else b"")


def _label(label: bytes) -> bytes:
    if label.isascii():
        return label
    if label.startswith(_PREFIX):
        raise HostError(label[len(_PREFIX) :])
    try:
        return _PREFIX + label.decode().encode("punycode")
    except UnicodeDecodeError:
        raise HostError(label) from None
