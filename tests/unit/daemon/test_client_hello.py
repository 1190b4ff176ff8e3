"""What a TLS client says first."""

from __future__ import annotations

import ssl
from contextlib import suppress

from emu.conformance.tls import in_records
from emu.daemon.http.client_hello import needed, offered

PROTOCOLS = ["h2", "http/1.1"]


def _hello() -> bytes:
    context = ssl.create_default_context()
    context.set_alpn_protocols(PROTOCOLS)
    heard, says = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(heard, says, server_hostname="localhost").do_handshake()
    return says.read()


def test_what_it_offers_is_known_once_all_of_it_has_come() -> None:
    """A ClientHello may come in several packets, cut amid a name: a part of one is no protocol that is not spoken."""
    hello = _hello()
    wanted = [name.encode() for name in PROTOCOLS]
    assert offered(hello) == wanted
    assert all(offered(hello[:cut]) in ([], wanted) for cut in range(len(hello)))


def _wanted(hello: bytes) -> list[int]:
    """How many bytes are said to be needed, while they come one by one."""
    return [needed(hello[:cut]) for cut in range(len(hello) + 1)]


def test_a_hello_is_waited_for_to_its_end() -> None:
    """First for its record's head, then for the record; in several records for each of them in turn."""
    hello = _hello()
    assert _wanted(hello) == [5] * 5 + [len(hello)] * (len(hello) - 4)
    cut = in_records(hello, 2)
    first = 5 + int.from_bytes(cut[3:5], "big")
    assert _wanted(cut) == [5] * 5 + [first] * (first - 5) + [first + 5] * 5 + [len(cut)] * (len(cut) - first - 4)
    assert offered(cut) == [name.encode() for name in PROTOCOLS]


def test_what_is_no_hello_is_not_waited_for() -> None:
    """It is known by its first five bytes, or by its first record."""
    for first in (
        b"GET /",
        b"SSH-2",
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
    ):
        assert needed(first) == len(first)
    assert needed(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00") == 9
