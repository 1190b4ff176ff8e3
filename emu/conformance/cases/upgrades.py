"""Upgrades and HTTP/2."""

from __future__ import annotations

from emu.conformance.case import OK, Answer, Case, Pause, Seen
from emu.conformance.cases.wire import SWITCHED, UP, answered, ask, h2_get

UPGRADES: tuple[Case, ...] = (
    Case(
        "upgrade",
        "An upgrade passes, and what comes after it both ways",
        (UP, Pause(0.2), b"ping"),
        (),
        app=(SWITCHED, b"hello"),
        raw=rb"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nhello",
        seen=(Seen(lines=(b"Connection: Upgrade", b"Upgrade: thing")),),
    ),
    Case(
        "upgrade-refused",
        "An app that does not want it answers as usual",
        (UP, Pause(0.1), ask()),
        (Answer(426, b"ok"), Answer(200, b"ok")),
        app=(answered(status=b"426 x"),),
        then=(OK,),
        closed=False,
    ),
    Case(
        "upgrade-other",
        "Another protocol than was asked for is a 502",
        (UP,),
        (Answer(502, b'backend tried to switch protocol "other" when "thing" was requested\n'),),
        app=(SWITCHED.replace(b"thing", b"other"),),
    ),
    Case("upgrade-unasked", "So is one that nobody asked for", (ask(),), (Answer(502),), app=(SWITCHED,)),
    Case(
        "upgrade-unconnected",
        "Upgrade without Connection is no upgrade",
        (ask(b"Upgrade: thing"),),
        (Answer(200, b"ok"),),
        seen=(Seen(lacks=(b"upgrade",)),),
    ),
)

HTTP2: tuple[Case, ...] = (
    Case(
        "h2c-preface",
        "HTTP/2 is spoken without asking",
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",),
        (),
        raw=rb"\x00\x00.\x04\x00\x00\x00\x00\x00.*\x00\x00\x00\x04\x01\x00\x00\x00\x00",
    ),
    Case(
        "h2c-preface-split",
        "Even if its preface comes in pieces",
        (b"PRI * HT", Pause(0.05), b"TP/2.0\r\n\r\nSM", Pause(0.05), b"\r\n\r\n\0\0\0\4\0\0\0\0\0"),
        (),
        raw=rb"\x00\x00.\x04\x00\x00\x00\x00\x00",
    ),
    Case(
        "h2c-upgrade",
        "Upgrade: h2c is answered by queue-proxy",
        (ask(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAQAAP__"),),
        (),
        raw=rb"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\x00\x00.\x04",
    ),
    Case(
        "h2-probe",
        "A probe is answered in HTTP/2 too",
        (h2_get((b"user-agent", b"kube-probe/1.30"), (b"k-network-probe", b"queue")),),
        (),
        raw=rb".*\x00\x00\x05\x00.\x00\x00\x00\x01queue",
        reached=0,
    ),
    Case(
        "h2-probe-value",
        "… and refused where its value is another",
        (h2_get((b"user-agent", b"kube-probe/1.30"), (b"k-network-probe", b"nobody")),),
        (),
        raw=rb".*unexpected probe header value: nobody\n",
        reached=0,
    ),
    Case(
        "h2-app-http1",
        "An app that speaks HTTP/1 alone gives 502 to a client that speaks HTTP/2",
        (h2_get(),),
        (),
        app=(OK,),
        app_http1=True,
        fresh=True,
        raw=rb".*http2: failed reading the frame payload: http2: frame too large, note that the frame header "
        rb"looked like an HTTP/1.1 header\n",
    ),
    Case(
        "h2-nonsense",
        "A preface that goes wrong half-way: closed without a byte",
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",),
        (),
        closed=True,
        reached=0,
    ),
)

CASES = (*UPGRADES, *HTTP2)
