"""What a TLS client says first."""

from __future__ import annotations

import ssl
from contextlib import suppress

from emu.daemon.http.client_hello import offered

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
