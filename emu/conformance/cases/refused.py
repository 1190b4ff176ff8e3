"""Requests that are refused before anyone sees them."""

from __future__ import annotations

import re

from emu.conformance.case import OK, Answer, Case, Do, Pause
from emu.conformance.cases.wire import PLAIN_ERROR, TEXT, ask, post

CHUNKED = b"Transfer-Encoding: chunked"
GO_TAKES_IT = "takes it, and passes one framing on"

_MALFORMED: tuple[tuple[str, str, bytes, str], ...] = (
    ("nonsense", "No request line", b"nonsense\r\n\r\n", ""),
    (
        "two-lengths",
        "Two Content-Length that differ",
        post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
        "",
    ),
    (
        "same-lengths",
        "Two Content-Length that agree",
        post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
        GO_TAKES_IT,
    ),
    ("list-length", "A list of lengths", post(b"Content-Length: 3, 3", body=b"abc"), ""),
    (
        "length-and-chunks",
        "Content-Length with chunked",
        post(b"Content-Length: 3", CHUNKED, body=b"0\r\n\r\n"),
        GO_TAKES_IT,
    ),
    (
        "chunks-and-length",
        "The other way round",
        post(CHUNKED, b"Content-Length: 3", body=b"0\r\n\r\n"),
        GO_TAKES_IT,
    ),
    (
        "chunks-in-1.0",
        "Chunks in HTTP/1.0",
        ask(CHUNKED, line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"),
        "reads it without a body",
    ),
    ("plus-length", "A length with a sign", post(b"Content-Length: +3", body=b"abc"), ""),
    ("negative-length", "A negative length", post(b"Content-Length: -3", body=b"abc"), ""),
    ("hex-length", "A length in hex", post(b"Content-Length: 0x3", body=b"abc"), ""),
    ("huge-length", "A length beyond 64 bits", post(b"Content-Length: 99999999999999999999", body=b"abc"), ""),
    ("space-before-colon", "A space before the colon", post(b"Content-Length : 3", body=b"abc"), ""),
    ("bare-cr", "A CR within a header", ask(b"X: a\rb"), ""),
    ("nul", "NUL in a header's value", ask(b"X: a\0b"), ""),
    ("control", "A control character in a header's value", ask(b"X: a\x01b"), ""),
    ("nul-name", "NUL in a header's name", ask(b"X\0Y: 1"), ""),
    ("fold-first", "A fold before any header", b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", ""),
    ("no-colon", "A header without a colon", ask(b"nothing"), ""),
    ("empty-name", "A header without a name", ask(b": 1"), ""),
    ("space-in-name", "A space in a header's name", ask(b"X Y: 1"), ""),
    ("two-hosts", "Two Host headers", ask(b"Host: b"), ""),
    ("no-host", "No Host in HTTP/1.1", ask(host=None), ""),
    ("bad-host", "A Host with what none may hold", ask(host=b"a/b"), ""),
    ("http-0.9", "HTTP/0.9", b"GET /\r\n\r\n", ""),
    ("bad-version", "A version that is none", ask(line=b"GET / HTTP/x.y"), ""),
    ("bad-target", "A target that is no path", ask(line=b"GET nopath HTTP/1.1"), ""),
    ("control-target", "A control character in the target", ask(line=b"GET /a\x01b HTTP/1.1"), ""),
    ("bad-method", "A method with what none may hold", ask(line=b"GE(T / HTTP/1.1"), ""),
)

MALFORMED = tuple(
    Case(
        name,
        about + ": 400, and the app is not asked",
        (request,),
        (Answer(400, headers={"content-type": TEXT, "connection": "close"}, body=re.compile(rb"400 Bad Request.*")),),
        closed=True,
        reached=0,
        why_ours=why,
    )
    for name, about, request, why in _MALFORMED
)

_BROKEN_CHUNKS = (
    ("chunk-size-nonsense", b"zz\r\nabc\r\n0\r\n\r\n", b"invalid byte in chunk length"),
    ("chunk-size-sign", b"-3\r\nabc\r\n0\r\n\r\n", b"invalid byte in chunk length"),
    ("chunk-size-0x", b"0x3\r\nabc\r\n0\r\n\r\n", b"invalid byte in chunk length"),
    ("chunk-size-huge", b"11111111111111111\r\nabc\r\n0\r\n\r\n", b"http chunk length too large"),
    ("chunk-size-lf", b"3\nabc\r\n0\r\n\r\n", b"chunked line ends with bare LF"),
    ("chunk-too-long", b"3\r\nabcd\r\n0\r\n\r\n", b"malformed chunked encoding"),
    ("chunk-size-space", b" 3\r\nabc\r\n0\r\n\r\n", b"invalid byte in chunk length"),
    ("chunk-size-empty", b"\r\nabc\r\n0\r\n\r\n", b"empty hex number for chunk length"),
)

BROKEN_CHUNKS = tuple(
    Case(
        name,
        f"A chunked body that begins {body[:12]!r} never passes as a whole",
        (post(CHUNKED, body=body),),
        (Answer(502, words + b"\n", PLAIN_ERROR | {"connection": "close"}),),
        app=(Do.READ_BODY, OK),
        closed=True,
        reached=1,
    )
    for name, body, words in _BROKEN_CHUNKS
)

_TAKEN = (
    ("bare-lf", "Lines that end in LF alone", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("bare-lf-header", "One header that ends in LF alone", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
    ("obs-fold", "A folded header is joined", ask(b"X: 1\r\n folded")),
)

TAKEN = tuple(
    Case(name, f"{about}: taken", (request,), (Answer(200, b"ok"),), closed=False, reached=1)
    for name, about, request in _TAKEN
)

_LONG_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X-Long: " + b"x" * 32768 + b"\r\n") * 34

UNSUPPORTED: tuple[Case, ...] = (
    Case(
        "te-unknown",
        "An encoding that nobody knows is a 501",
        (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),),
        (Answer(501, b"Unsupported transfer encoding"),),
        closed=True,
        reached=0,
    ),
    Case(
        "te-twice",
        "Chunked twice is a 501",
        (post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),),
        (Answer(501),),
        closed=True,
        reached=0,
    ),
    Case(
        "http-2-line",
        "HTTP/2.0 in a request line is a 505",
        (ask(line=b"GET / HTTP/2.0"),),
        (Answer(505),),
        closed=True,
        reached=0,
    ),
)

TOO_LONG: tuple[Case, ...] = (
    Case(
        "head-431",
        "More than a MiB of headers is a 431",
        (_LONG_HEAD,),
        (Answer(431, b"431 Request Header Fields Too Large", line=b"HTTP/1.1 431 Request Header Fields Too Large"),),
        closed=True,
        reached=0,
    ),
    Case(
        "line-431",
        "So is a request line of that length",
        (b"GET /" + b"x" * (1100 << 10) + b" HTTP/1.1\r\n",),
        (Answer(431),),
        closed=True,
        reached=0,
    ),
    Case(
        "head-large",
        "Half a MiB of headers passes",
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X-Long: " + b"x" * 32768 + b"\r\n") * 16 + b"\r\n",),
        (Answer(200, b"ok"),),
        reached=1,
    ),
)

WORDS: tuple[Case, ...] = (
    Case(
        "no-host-words",
        "A 400 of Go's names its reason in the status line",
        (ask(host=None),),
        (
            Answer(
                line=b"HTTP/1.1 400 Bad Request: missing required Host header",
                body=b"400 Bad Request: missing required Host header",
            ),
        ),
        closed=True,
    ),
    Case(
        "good-then-bad",
        "A good request before a bad one is answered first",
        (ask() + b"nonsense\r\n\r\n",),
        (Answer(200, b"ok"), Answer(400)),
        closed=True,
        reached=1,
    ),
)

SLOW: tuple[Case, ...] = (
    Case(
        "slowloris",
        "A head that does not end is cut off without a word",
        (b"GET / HTTP/1.1\r\nHost: a\r\n", Pause(1.5), b"X: 1\r\n"),
        (),
        closed=True,
        reached=0,
        settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        read_only="its limit is 60 s, and cannot be set",
    ),
    Case(
        "silent",
        "So is a client that never says anything",
        (),
        (),
        closed=True,
        reached=0,
        settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        read_only="its limit is 60 s, and cannot be set",
    ),
    Case(
        "idle",
        "But not one that rests between requests",
        (ask(), Pause(1.5), ask()),
        (Answer(200), Answer(200)),
        closed=False,
        reached=2,
        settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        read_only="its limit is 60 s, and cannot be set",
    ),
)

CASES = (*MALFORMED, *BROKEN_CHUNKS, *TAKEN, *UNSUPPORTED, *TOO_LONG, *WORDS, *SLOW)
