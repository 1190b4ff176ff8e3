"""The wire cases. Each is what Knative's queue-proxy does, seen on the real one or read in its sources and Go's;
where `why_ours` is set, what is expected here is stricter than the real one on purpose.
"""

from __future__ import annotations

import re

from emu.conformance.case import OK, Answer, Case, Do, End, Pause, Seen

TEXT = "text/plain; charset=utf-8"
PLAIN_ERROR = {"content-type": TEXT, "x-content-type-options": "nosniff"}
DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT"
)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
PROBE_UA = b"User-Agent: kube-probe/1.30"
UP = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n"
FULL = "pending request queue full\n"


def ask(
    *headers: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"app.example.com", body: bytes = b""
) -> bytes:
    """A request."""
    lines = [line, *([b"Host: " + host] if host is not None else []), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def h2_get(*headers: tuple[bytes, bytes]) -> bytes:
    """A connection's preface, and a GET as its first stream: HPACK without tables (RFC 7541, 6.2.2)."""
    block = b"\x82\x86\x84"  # :method GET, :scheme http, :path /
    for name, value in ((b":authority", b"app.example.com"), *headers):
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    ends = b"\x05"  # END_STREAM, END_HEADERS
    frame = len(block).to_bytes(3, "big") + b"\1" + ends + b"\0\0\0\1" + block
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + frame


def post(*headers: bytes, body: bytes = b"") -> bytes:
    """A POST."""
    return ask(*headers, line=b"POST / HTTP/1.1", body=body)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def answered(*headers: bytes, status: bytes = b"200 OK", body: bytes = b"ok", length: bool = True) -> bytes:
    """An answer of the app's."""
    lines = [b"HTTP/1.1 " + status, *headers, *([b"Content-Length: %d" % len(body)] if length else [])]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _plain() -> list[Case]:
    fine = Answer(200, b"ok")
    cases = [
        Case("get", "A GET passes, and the connection is kept", (ask(),), (fine,), closed=False, reached=1),
        Case("date", "An answer without a Date gains one", (ask(),), (Answer(200, headers={"date": DATE}),)),
        Case(
            "keep-alive",
            "A second request on the same connection",
            (ask(), Pause(0.05), ask()),
            (fine, fine),
            reached=2,
            closed=False,
        ),
        Case("pipeline", "Three requests in one write are answered in order", (ask() * 3,), (fine,) * 3, reached=3),
        Case(
            "pipeline-bodies",
            "Bodies do not run into one another",
            (post(b"Content-Length: 3", body=b"abc") + post(b"Content-Length: 2", body=b"de"),),
            (fine, fine),
            seen=(Seen(body=b"abc"), Seen(body=b"de")),
        ),
        Case(
            "split",
            "A request that comes a few bytes at a time",
            tuple(x for i in range(0, len(ask()), 7) for x in (ask()[i : i + 7], Pause(0.002))),
            (fine,),
            reached=1,
        ),
        Case(
            "leading-crlf", "An empty line before the request is passed over", (b"\r\n" + ask(),), (fine,), reached=1
        ),
        Case(
            "close",
            "Connection: close is kept to",
            (ask(b"Connection: close"),),
            (Answer(200, b"ok", {"connection": "close"}),),
            closed=True,
        ),
        Case(
            "close-then-more",
            "Nothing after Connection: close is a request",
            (ask(b"Connection: close") + ask(),),
            (fine,),
            closed=True,
            reached=1,
        ),
        Case(
            "http-1.0",
            "HTTP/1.0 is answered as such, and closed",
            (ask(line=b"GET / HTTP/1.0"),),
            (Answer(200, b"ok", line=b"HTTP/1.0 200 OK", lacks=("connection", "transfer-encoding")),),
            closed=True,
        ),
        Case(
            "http-1.0-hostless",
            "HTTP/1.0 needs no Host",
            (ask(line=b"GET / HTTP/1.0", host=None),),
            (fine,),
            closed=True,
        ),
        Case(
            "http-1.0-keep-alive",
            "HTTP/1.0 may ask to keep the connection",
            (ask(b"Connection: keep-alive", line=b"GET / HTTP/1.0"),),
            (Answer(200, b"ok", {"connection": "keep-alive"}),),
            closed=False,
        ),
        Case(
            "http-1.0-chunked-answer",
            "HTTP/1.0 knows no chunks",
            (ask(line=b"GET / HTTP/1.0"),),
            (Answer(200, b"abcd", lacks=("transfer-encoding",)),),
            app=(CHUNKED_HEAD, Pause(0.1), chunked(b"ab", b"cd")),
            closed=True,
        ),
        Case(
            "head",
            "HEAD has a length and no body",
            (ask(line=b"HEAD / HTTP/1.1"), Pause(0.1), ask()),
            (Answer(200, headers={"content-length": "5"}, to="HEAD"), fine),
            app=(answered(body=b"").replace(b"Content-Length: 0", b"Content-Length: 5"),),
            then=(OK,),
        ),
        Case(
            "head-chunked",
            "HEAD of an answer without a length says nothing of chunks",
            (ask(line=b"HEAD / HTTP/1.1"),),
            (Answer(200, lacks=("transfer-encoding",), to="HEAD"),),
            app=(CHUNKED_HEAD,),
            closed=False,
        ),
        Case(
            "204",
            "204 has neither body nor length",
            (ask(),),
            (Answer(204, lacks=("content-length", "transfer-encoding"), line=b"HTTP/1.1 204 No Content"),),
            app=(answered(status=b"204 No Content", length=False, body=b""),),
            closed=False,
        ),
        Case(
            "304",
            "304 loses its Content-Type",
            (ask(),),
            (Answer(304, headers={"etag": '"x"'}, lacks=("content-type",)),),
            app=(answered(b'ETag: "x"', b"Content-Type: a/b", status=b"304 Not Modified", length=False, body=b""),),
            closed=False,
        ),
        Case(
            "reason",
            "The reason phrase is Go's, whatever the app's was",
            (ask(),),
            (Answer(line=b"HTTP/1.1 200 OK"),),
            app=(answered(status=b"200 Splendid"),),
        ),
        Case(
            "reason-teapot",
            "418 has its name",
            (ask(),),
            (Answer(line=b"HTTP/1.1 418 I'm a teapot"),),
            app=(answered(status=b"418 x"),),
        ),
        Case(
            "reason-unknown",
            "An unknown status has Go's words",
            (ask(),),
            (Answer(line=b"HTTP/1.1 299 status code 299"),),
            app=(answered(status=b"299 Odd"),),
        ),
        Case(
            "options-star",
            "OPTIONS * is answered by queue-proxy",
            (ask(line=b"OPTIONS * HTTP/1.1"),),
            (Answer(200, b"", {"content-length": "0"}),),
            reached=0,
        ),
        Case(
            "absolute-target",
            "An absolute target gives path and Host",
            (ask(line=b"GET http://other:81/x?y HTTP/1.1"),),
            (fine,),
            seen=(Seen(b"GET /x?y HTTP/1.1", (b"Host: other:81",)),),
        ),
        Case(
            "query",
            "Path and query pass as they are",
            (ask(line=b"GET /a%2Fb?c=d%20e&f HTTP/1.1"),),
            (fine,),
            seen=(Seen(b"GET /a%2Fb?c=d%20e&f HTTP/1.1"),),
        ),
        Case(
            "close-app",
            "The app's Connection: close is its own",
            (ask(), Pause(0.1), ask()),
            (Answer(200, lacks=("connection",)), fine),
            app=(answered(b"Connection: close"), Do.CLOSE),
            reached=2,
            closed=False,
        ),
        Case(
            "app-1.0",
            "An app that speaks HTTP/1.0",
            (ask(),),
            (Answer(200, b"old", {"transfer-encoding": "chunked"}, line=b"HTTP/1.1 200 OK"),),
            app=(b"HTTP/1.0 200 OK\r\n\r\n", Pause(0.1), b"old", Do.CLOSE),
            closed=False,
        ),
        Case(
            "until-close",
            "A body that ends with its connection becomes chunked",
            (ask(),),
            (Answer(200, b"until the end", {"transfer-encoding": "chunked"}),),
            app=(b"HTTP/1.1 200 OK\r\n\r\n", Pause(0.1), b"until the end", Do.CLOSE),
            closed=False,
        ),
    ]
    cases += [
        Case(
            f"method-{name.lower()}",
            f"{name} passes",
            (ask(line=name.encode() + b" / HTTP/1.1"),),
            (fine,),
            seen=(Seen(name.encode() + b" / HTTP/1.1"),),
        )
        for name in ("DELETE", "PUT", "PATCH", "OPTIONS", "PURGE", "PROPFIND", "FROBNICATE")
    ]
    return cases


def _bodies() -> list[Case]:
    fine = Answer(200, b"ok")
    big = b"x" * (1 << 20)
    return [
        Case(
            "length",
            "A body of known length keeps it",
            (post(b"Content-Length: 5", body=b"hello"),),
            (fine,),
            seen=(Seen(lines=(b"Content-Length: 5",), body=b"hello"),),
        ),
        Case(
            "chunks",
            "A chunked body stays chunked",
            (post(b"Transfer-Encoding: chunked", body=chunked(b"abc", b"defg")),),
            (fine,),
            seen=(Seen(lines=(b"Transfer-Encoding: chunked",), lacks=(b"content-length",), body=b"abcdefg"),),
        ),
        Case(
            "chunk-extension",
            "Extensions of chunks are dropped",
            (post(b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\n\r\n"),),
            (fine,),
            seen=(Seen(body=b"abc"),),
        ),
        Case(
            "chunk-upper",
            "Sizes may be in capitals, with zeros before",
            (post(b"Transfer-Encoding: chunked", body=b"00A\r\n0123456789\r\n0\r\n\r\n"),),
            (fine,),
            seen=(Seen(body=b"0123456789"),),
        ),
        Case(
            "get-body",
            "A GET may have a body",
            (ask(b"Content-Length: 3", body=b"abc"),),
            (fine,),
            seen=(Seen(b"GET / HTTP/1.1", body=b"abc"),),
        ),
        Case(
            "post-empty",
            "A POST without a body says so",
            (post(),),
            (fine,),
            seen=(Seen(lines=(b"Content-Length: 0",)),),
        ),
        Case(
            "get-zero",
            "A GET of length 0 says nothing of it",
            (ask(b"Content-Length: 0"),),
            (fine,),
            seen=(Seen(lacks=(b"content-length",)),),
        ),
        Case(
            "mebibyte",
            "A MiB each way",
            (post(b"Content-Length: 1048576", body=big),),
            (Answer(200, big),),
            app=(Do.READ_BODY, answered(body=big)),
            seen=(Seen(body=big),),
        ),
        Case(
            "body-slow",
            "A body that comes in pieces",
            (post(b"Content-Length: 6", body=b"ab"), Pause(0.1), b"cd", Pause(0.1), b"ef"),
            (fine,),
            seen=(Seen(body=b"abcdef"),),
        ),
        Case(
            "answer-chunks",
            "A chunked answer stays chunked",
            (ask(),),
            (Answer(200, b"hithere", {"transfer-encoding": "chunked"}, lacks=("content-length",)),),
            app=(CHUNKED_HEAD, Pause(0.1), chunked(b"hi", b"there")),
            closed=False,
        ),
        Case(
            "answer-chunks-prompt",
            "Each chunk of an answer goes out at once",
            (ask(),),
            (),
            app=(CHUNKED_HEAD + b"2\r\nhi\r\n", Do.HOLD),
            raw=rb"HTTP/1.1 200 OK\r\n.*\r\n\r\n2\r\nhi\r\n$",
        ),
        Case(
            "answer-head-prompt",
            "The head of an answer without a length goes out before its body",
            (ask(),),
            (),
            app=(CHUNKED_HEAD, Do.HOLD),
            raw=rb"HTTP/1.1 200 OK\r\n.*Transfer-Encoding: chunked\r\n\r\n$",
        ),
        Case(
            "answer-empty-chunks",
            "An answer of no chunks has length 0",
            (ask(),),
            (Answer(200, b"", {"content-length": "0"}, lacks=("transfer-encoding",)),),
            app=(CHUNKED_HEAD + b"0\r\n\r\n",),
        ),
        Case(
            "event-stream",
            "Events go out at once even with a length",
            (ask(),),
            (),
            app=(answered(b"Content-Type: text/event-stream", body=b"x" * 10)[:-5], Do.HOLD),
            raw=rb"HTTP/1.1 200 OK\r\n.*\r\n\r\nxxxxx$",
        ),
        Case(
            "trailers-answer",
            "Trailers of an answer pass",
            (ask(b"TE: trailers"),),
            (Answer(200, b"x", {"trailer": "X-Sum"}, trailers={"x-sum": "7"}),),
            app=(
                CHUNKED_HEAD.replace(b"\r\n\r\n", b"\r\nTrailer: X-Sum\r\n\r\n"),
                Pause(0.1),
                chunked(b"x", end=b"0\r\nX-Sum: 7\r\n\r\n"),
            ),
        ),
        Case(
            "trailers-unannounced",
            "Even those that were not announced",
            (ask(b"TE: trailers"),),
            (Answer(200, b"x", trailers={"x-sum": "7"}),),
            app=(CHUNKED_HEAD, Pause(0.1), chunked(b"x", end=b"0\r\nx-sum: 7\r\n\r\n")),
        ),
        Case(
            "trailers-request",
            "Trailers of a request pass",
            (
                post(
                    b"Transfer-Encoding: chunked",
                    b"Trailer: X-Sum",
                    body=chunked(b"abc", end=b"0\r\nX-Sum: 7\r\n\r\n"),
                ),
            ),
            (fine,),
            seen=(Seen(lines=(b"Trailer: X-Sum",), trailers=(b"X-Sum: 7",)),),
        ),
        Case(
            "trailers-framing",
            "A trailer that frames or routes is dropped",
            (post(b"Transfer-Encoding: chunked", body=chunked(b"abc", end=b"0\r\nHost: evil\r\nX-A: 1\r\n\r\n")),),
            (fine,),
            seen=(Seen(trailers=(b"X-A: 1",)),),
        ),
        Case(
            "answer-waits",
            "An answer waits until its request was read to its end",
            (post(b"Content-Length: 20000", body=bytes(10000)), Pause(0.4), bytes(10000)),
            (Answer(413, b"no", lacks=("connection",)),),
            app=(answered(status=b"413 x", body=b"no"),),
            within_s=(0.4, 5.0),
            closed=False,
        ),
        Case(
            "answer-waits-chunked",
            "So does one to a body of which the length is not known",
            (post(b"Transfer-Encoding: chunked", body=chunked(b"abc", end=b"")), Pause(0.4), chunked(b"def")),
            (Answer(413, b"no", lacks=("connection",)),),
            app=(answered(status=b"413 x", body=b"no"),),
            within_s=(0.4, 5.0),
            closed=False,
        ),
        Case(
            "answer-waits-pipelined",
            "What came behind that end is the next request",
            (post(b"Content-Length: 20000", body=bytes(10000)), Pause(0.1), bytes(10000) + ask()),
            (Answer(413, b"no"), Answer(200, b"ok")),
            app=(answered(status=b"413 x", body=b"no"),),
            then=(OK,),
            closed=False,
        ),
        Case(
            "answer-gives-up",
            "It does not wait for 256 KiB or more: the connection ends after it",
            (post(b"Content-Length: 300000", body=bytes(10000)),),
            (Answer(413, b"no", {"connection": "close"}),),
            app=(answered(status=b"413 x", body=b"no"),),
            closed=True,
        ),
        Case(
            "answer-gives-up-chunked",
            "Nor any longer for what turns out as long",
            (
                post(b"Transfer-Encoding: chunked", body=chunked(bytes(10000), end=b"")),
                Pause(0.3),
                chunked(*[bytes(10000)] * 30, end=b""),
            ),
            (Answer(413, b"no", {"connection": "close"}),),
            app=(answered(status=b"413 x", body=b"no"),),
            closed=True,
        ),
        Case(
            "refusal-waits",
            "An answer of queue-proxy's own waits likewise",
            (post(b"Content-Length: 20000", body=bytes(10000)), Pause(0.4), bytes(10000)),
            (Answer(502),),
            app_down=True,
            within_s=(0.4, 5.0),
            closed=False,
        ),
        Case(
            "answer-overtakes",
            "With full duplex an answer may overtake its request",
            (post(b"Content-Length: 20000", body=bytes(10000)),),
            (Answer(413, b"no"),),
            app=(answered(status=b"413 x", body=b"no"),),
            settings={"ENABLE_HTTP_FULL_DUPLEX": "true"},
        ),
        Case(
            "upload-gathered",
            "The head of a short upload waits for its body",
            (post(b"Content-Length: 4", body=b"ha"), End.CLOSE),
            (),
            reached=0,
        ),
        Case(
            "abandoned-upload",
            "A body that never ends does not reach the app as a whole",
            (post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"), Pause(0.1), End.CLOSE),
            (),
            reached=1,
        ),
    ]


def _sniffing() -> list[Case]:
    kinds = [
        ("text", b"hello", TEXT),
        ("html", b"<!DOCTYPE html><p>", "text/html; charset=utf-8"),
        ("xml", b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        ("png", b"\x89PNG\r\n\x1a\nxxxx", "image/png"),
        ("binary", b"\x00\x01\x02\x03", "application/octet-stream"),
        ("json", b'{"a":1}', TEXT),
        ("gzip", b"\x1f\x8b\x08xxxx", "application/x-gzip"),
    ]
    cases = [
        Case(
            f"sniff-{name}",
            f"An answer without Content-Type gets {kind}",
            (ask(),),
            (Answer(200, body, {"content-type": kind}),),
            app=(answered(body=body),),
        )
        for name, body, kind in kinds
    ]
    return [
        *cases,
        Case(
            "sniff-not-typed",
            "The app's own Content-Type stays",
            (ask(),),
            (Answer(200, headers={"content-type": "a/b"}),),
            app=(answered(b"content-type: a/b"),),
        ),
        Case(
            "sniff-not-encoded",
            "What is encoded is not looked into",
            (ask(),),
            (Answer(200, lacks=("content-type",)),),
            app=(answered(b"Content-Encoding: br"),),
        ),
        Case(
            "sniff-not-empty",
            "An empty body has no type",
            (ask(),),
            (Answer(200, lacks=("content-type",)),),
            app=(EMPTY,),
        ),
    ]


def _headers() -> list[Case]:
    fine = Answer(200, b"ok")

    def to_app(
        name: str, about: str, *headers: bytes, has: tuple[bytes, ...] = (), lacks: tuple[bytes, ...] = ()
    ) -> Case:
        return Case(name, about, (ask(*headers),), (fine,), seen=(Seen(lines=has, lacks=lacks),))

    return [
        Case(
            "canonical",
            "Header names reach the app as Go writes them",
            (ask(b"x-lower: 1", b"X-UPPER-CASE: 2"),),
            (fine,),
            seen=(Seen(lines=(b"X-Lower: 1", b"X-Upper-Case: 2"), sorted=True),),
        ),
        Case(
            "sorted",
            "And sorted",
            (ask(b"B: 1", b"A: 2", b"C: 3"),),
            (fine,),
            seen=(Seen(sorted=True, lines=(b"A: 2",)),),
        ),
        Case(
            "answer-canonical",
            "So do those of the answer reach the client",
            (ask(),),
            (),
            app=(answered(b"x-b: 1", b"x-a: 2"),),
            raw=rb"HTTP/1.1 200 OK\r\n.*X-A: 2\r\nX-B: 1\r\n",
        ),
        Case(
            "answer-order",
            "The answer's own headers come first, what Go adds after them",
            (ask(),),
            (Answer(200, order=("content-length", "z-mine", "date", "content-type")),),
            app=(answered(b"z-mine: 1"),),
        ),
        Case(
            "repeated",
            "Repeated headers keep their order",
            (ask(b"X-A: 2", b"X-A: 1"),),
            (fine,),
            seen=(Seen(lines=(b"X-A: 2", b"X-A: 1")),),
        ),
        to_app("no-agent", "No User-Agent is made up", lacks=(b"user-agent", b"accept-encoding")),
        to_app("agent", "User-Agent passes", b"user-agent: curl/8", has=(b"User-Agent: curl/8",)),
        to_app(
            "hop-by-hop",
            "Hop-by-hop headers go no further",
            b"Keep-Alive: 5",
            b"Proxy-Connection: x",
            b"Proxy-Authorization: y",
            b"Te: gzip",
            b"Proxy-Authenticate: z",
            lacks=(
                b"keep-alive",
                b"proxy-connection",
                b"proxy-authorization",
                b"te",
                b"proxy-authenticate",
                b"connection",
            ),
        ),
        to_app(
            "named",
            "Nor do those that Connection names",
            b"Connection: X-Mine, close",
            b"X-Mine: 1",
            lacks=(b"x-mine", b"connection"),
        ),
        to_app("te-trailers", "Of TE only trailers pass", b"TE: gzip, trailers", has=(b"Te: trailers",)),
        to_app(
            "xff",
            "X-Forwarded-For gains the peer",
            b"X-Forwarded-For: 1.1.1.1",
            has=(b"X-Forwarded-For: 1.1.1.1, 127.0.0.1",),
        ),
        to_app(
            "xff-several",
            "In one header",
            b"X-Forwarded-For: 1.1.1.1",
            b"x-forwarded-for: 2.2.2.2",
            has=(b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1",),
        ),
        to_app("xff-none", "Even if it is the first", has=(b"X-Forwarded-For: 127.0.0.1",), lacks=(b"forwarded",)),
        to_app(
            "forwarded",
            "Forwarded is made of X-Forwarded-*",
            b"X-Forwarded-For: 1.1.1.1, ::1",
            b"X-Forwarded-Host: h",
            b"X-Forwarded-Proto: https",
            has=(b'Forwarded: for=1.1.1.1;host=h;proto=https, for="[::1]"',),
        ),
        to_app(
            "forwarded-proto", "Of whatever there is", b"X-Forwarded-Proto: https", has=(b"Forwarded: proto=https",)
        ),
        to_app(
            "forwarded-own",
            "Unless there is one",
            b"X-Forwarded-For: 1.1.1.1",
            b"Forwarded: for=x",
            has=(b"Forwarded: for=x",),
        ),
        to_app(
            "original-host",
            "K-Original-Host becomes Host",
            b"K-Original-Host: first.example.com",
            has=(b"Host: first.example.com",),
            lacks=(b"k-original-host",),
        ),
        to_app(
            "revision",
            "The ingress's revision headers stay behind",
            b"Knative-Serving-Revision: r",
            b"Knative-Serving-Namespace: n",
            lacks=(b"knative-serving-revision", b"knative-serving-namespace"),
        ),
        to_app(
            "proxy-request",
            "K-Proxy-Request passes",
            b"K-Proxy-Request: activator",
            has=(b"K-Proxy-Request: activator",),
        ),
        to_app("tag", "The route's tag passes", b"Knative-Serving-Tag: blue", has=(b"Knative-Serving-Tag: blue",)),
        to_app("expect-kept", "Cookies pass", b"Cookie: a=b; c=d", has=(b"Cookie: a=b; c=d",)),
        Case(
            "answer-hop-by-hop",
            "Hop-by-hop headers of an answer stay behind",
            (ask(),),
            (Answer(200, lacks=("keep-alive", "proxy-authenticate", "x-mine", "connection")),),
            app=(answered(b"Keep-Alive: 5", b"Proxy-Authenticate: z", b"Connection: X-Mine", b"X-Mine: 1"),),
        ),
        Case(
            "cookies",
            "Each Set-Cookie stays one",
            (ask(),),
            (),
            app=(answered(b"Set-Cookie: a=1", b"Set-Cookie: b=2"),),
            raw=rb".*Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
        ),
    ]


def _informational() -> list[Case]:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    expects = post(b"Content-Length: 3", b"Expect: 100-continue")
    return [
        Case(
            "early-hints",
            "103 passes, and the final status after it",
            (ask(),),
            (Answer(103, headers={"link": "</a.css>"}), Answer(404, b"no")),
            app=(early, answered(status=b"404 x", body=b"no")),
            why_ours="says 200 instead; EMU_KNATIVE_DEFECTS=final-status-lost does so too",
        ),
        Case(
            "early-hints-twice",
            "Twice",
            (ask(),),
            (Answer(103), Answer(103), Answer(200, b"ok")),
            app=(early, Pause(0.05), early, OK),
        ),
        Case(
            "early-hints-1.0",
            "HTTP/1.0 is not told",
            (ask(line=b"GET / HTTP/1.0"),),
            (Answer(200, b"ok"),),
            app=(early, OK),
            closed=True,
        ),
        Case(
            "defect",
            "With the defect on, the final status after a 1xx is 200",
            (ask(),),
            (Answer(103), Answer(200, b"no")),
            app=(early, answered(status=b"404 x", body=b"no")),
            settings={"EMU_KNATIVE_DEFECTS": "final-status-lost"},
        ),
        Case(
            "continue",
            "The app's 100 asks the client for its body",
            (expects, Pause(0.2), b"abc"),
            (Answer(100), Answer(200, b"ok")),
            app=(go_on, Do.READ_BODY, OK),
            seen=(Seen(lines=(b"Expect: 100-continue",), body=b"abc"),),
        ),
        Case(
            "continue-late",
            "An app that says nothing is sent the body after a second",
            (expects, Pause(1.3), b"abc"),
            (Answer(100), Answer(200, b"ok")),
            seen=(Seen(body=b"abc"),),
            within_s=(1.0, 2.0),
        ),
        Case(
            "continue-refused",
            "A final answer instead: no body is asked for, and the connection ends",
            (expects,),
            (Answer(417, b"no", {"connection": "close"}),),
            app=(answered(status=b"417 x", body=b"no"),),
            closed=True,
        ),
        Case(
            "continue-impatient",
            "A client that does not wait",
            (expects + b"abc",),
            (Answer(100), Answer(200, b"ok")),
            app=(go_on, Do.READ_BODY, OK),
            seen=(Seen(body=b"abc"),),
        ),
        Case(
            "expect-else",
            "Any other expectation is a 417, and the app is not asked",
            (ask(b"Expect: magic"),),
            (Answer(417, b"", {"connection": "close", "content-length": "0"}),),
            closed=True,
            reached=0,
        ),
    ]


def _refused() -> list[Case]:
    """Requests that are refused before anyone sees them."""
    chunky = b"Transfer-Encoding: chunked"
    go_takes_it = "takes it, and passes one framing on"
    malformed: list[tuple[str, str, bytes, str]] = [
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
            go_takes_it,
        ),
        ("list-length", "A list of lengths", post(b"Content-Length: 3, 3", body=b"abc"), ""),
        (
            "length-and-chunks",
            "Content-Length with chunked",
            post(b"Content-Length: 3", chunky, body=b"0\r\n\r\n"),
            go_takes_it,
        ),
        (
            "chunks-and-length",
            "The other way round",
            post(chunky, b"Content-Length: 3", body=b"0\r\n\r\n"),
            go_takes_it,
        ),
        (
            "chunks-in-1.0",
            "Chunks in HTTP/1.0",
            ask(chunky, line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"),
            "reads it without a body",
        ),
        ("plus-length", "A length with a sign", post(b"Content-Length: +3", body=b"abc"), ""),
        ("negative-length", "A negative length", post(b"Content-Length: -3", body=b"abc"), ""),
        ("hex-length", "A length in hex", post(b"Content-Length: 0x3", body=b"abc"), ""),
        ("huge-length", "A length beyond 64 bits", post(b"Content-Length: 99999999999999999999", body=b"abc"), ""),
        ("space-before-colon", "A space before the colon", post(b"Content-Length : 3", body=b"abc"), ""),
        ("bare-lf", "Lines that end in LF alone", b"GET / HTTP/1.1\nHost: a\n\n", "takes LF alone in a head"),
        (
            "bare-lf-header",
            "One header that ends in LF alone",
            b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
            "takes LF alone in a head",
        ),
        ("bare-cr", "A CR within a header", ask(b"X: a\rb"), ""),
        ("nul", "NUL in a header's value", ask(b"X: a\0b"), ""),
        ("control", "A control character in a header's value", ask(b"X: a\x01b"), ""),
        ("nul-name", "NUL in a header's name", ask(b"X\0Y: 1"), ""),
        ("obs-fold", "A folded header", ask(b"X: 1\r\n folded"), "joins the lines"),
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
    ]
    cases = [
        Case(
            name,
            about + ": 400, and the app is not asked",
            (request,),
            (
                Answer(
                    400, headers={"content-type": TEXT, "connection": "close"}, body=re.compile(rb"400 Bad Request.*")
                ),
            ),
            closed=True,
            reached=0,
            why_ours=why,
        )
        for name, about, request, why in malformed
    ]
    broken_chunks = [
        ("chunk-size-nonsense", b"zz\r\nabc\r\n0\r\n\r\n"),
        ("chunk-size-sign", b"-3\r\nabc\r\n0\r\n\r\n"),
        ("chunk-size-0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
        ("chunk-size-huge", b"11111111111111111\r\nabc\r\n0\r\n\r\n"),
        ("chunk-size-lf", b"3\nabc\r\n0\r\n\r\n"),
        ("chunk-too-long", b"3\r\nabcd\r\n0\r\n\r\n"),
        ("chunk-size-space", b" 3\r\nabc\r\n0\r\n\r\n"),
        ("chunk-size-empty", b"\r\nabc\r\n0\r\n\r\n"),
    ]
    cases += [
        Case(
            name,
            f"A chunked body that begins {body[:12]!r} never passes as a whole",
            (post(chunky, body=body),),
            (Answer(400),),
            app=(Do.READ_BODY, OK),
            closed=True,
        )
        for name, body in broken_chunks
    ]
    long = b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X-Long: " + b"x" * 32768 + b"\r\n") * 34
    return [
        *cases,
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
            "Chunked twice is refused",
            (post(chunky, chunky, body=b"0\r\n\r\n"),),
            (Answer(400),),
            closed=True,
            reached=0,
            why_ours="says 501",
        ),
        Case(
            "http-2-line",
            "HTTP/2.0 in a request line is a 505",
            (ask(line=b"GET / HTTP/2.0"),),
            (Answer(505),),
            closed=True,
            reached=0,
        ),
        Case(
            "head-431",
            "More than a MiB of headers is a 431",
            (long,),
            (
                Answer(
                    431, b"431 Request Header Fields Too Large", line=b"HTTP/1.1 431 Request Header Fields Too Large"
                ),
            ),
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
        Case(
            "slowloris",
            "A head that does not end is cut off without a word",
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Pause(1.5), b"X: 1\r\n"),
            (),
            closed=True,
            reached=0,
            settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        ),
        Case(
            "silent",
            "So is a client that never says anything",
            (),
            (),
            closed=True,
            reached=0,
            settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        ),
        Case(
            "idle",
            "But not one that rests between requests",
            (ask(), Pause(1.5), ask()),
            (Answer(200), Answer(200)),
            closed=False,
            reached=2,
            settings={"EMU_HEAD_LIMIT_SECONDS": "1"},
        ),
    ]


def _failures() -> list[Case]:
    return [
        Case(
            "app-down",
            "An app that does not listen is a 502 with the dial's error",
            (ask(),),
            (Answer(502, re.compile(rb"dial tcp 127\.0\.0\.1:\d+: connect: connection refused\n"), PLAIN_ERROR),),
            app_down=True,
            closed=False,
        ),
        Case(
            "app-closes",
            "An app that closes before its answer is a 502 EOF",
            (post(b"Content-Length: 1", body=b"x"),),
            (Answer(502, b"EOF\n", PLAIN_ERROR),),
            app=(Do.READ_BODY, Do.CLOSE),
            closed=False,
        ),
        Case(
            "app-resets",
            "One that resets is a 502 that says so",
            (post(b"Content-Length: 1", body=b"x"),),
            (Answer(502, re.compile(rb"read tcp .*: read: connection reset by peer\n")),),
            app=(Do.READ_BODY, Do.RESET),
        ),
        Case(
            "app-nonsense",
            "One that does not speak HTTP is a 502",
            (ask(),),
            (Answer(502),),
            app=(b"SSH-2.0-x\r\n\r\n", Do.CLOSE),
        ),
        Case(
            "app-dies-chunked",
            "One that dies in a chunked body: no last chunk pretends that it was whole",
            (ask(),),
            (Answer(200, cut=True),),
            app=(CHUNKED_HEAD, Pause(0.05), b"3\r\nabc\r\n", Pause(0.1), Do.CLOSE),
            closed=True,
        ),
        Case(
            "app-dies-length",
            "One that dies after little of a known length: not a byte came through",
            (ask(),),
            (),
            app=(answered(body=b"x" * 100)[:-50], Pause(0.1), Do.CLOSE),
            closed=True,
        ),
        Case(
            "app-closed-kept",
            "A kept connection that the app closed is not the client's trouble",
            (ask(), Pause(0.2), ask()),
            (Answer(200), Answer(200)),
            app=(OK, Do.CLOSE),
            reached=2,
        ),
        Case(
            "client-leaves",
            "A client that closes even one direction is gone",
            (ask(), Pause(0.2), End.SHUT),
            (),
            app=(Pause(0.5), OK),
            closed=True,
        ),
    ]


def _timeouts() -> list[Case]:
    one = {"REVISION_TIMEOUT_SECONDS": "1"}
    start = {"REVISION_TIMEOUT_SECONDS": "10", "REVISION_RESPONSE_START_TIMEOUT_SECONDS": "1"}
    idle = {"REVISION_TIMEOUT_SECONDS": "10", "REVISION_IDLE_TIMEOUT_SECONDS": "1"}
    late = Answer(
        504, b"request timeout", {"content-type": TEXT, "content-length": "15"}, lacks=("x-content-type-options",)
    )
    return [
        Case(
            "revision-time",
            "Nothing said for the revision's time: 504, and the connection is kept",
            (ask(),),
            (late,),
            app=(Do.HOLD,),
            settings=one,
            within_s=(0.95, 1.3),
            closed=False,
        ),
        Case(
            "revision-chunked",
            "A chunked answer that has begun gains the text and ends well",
            (ask(),),
            (Answer(200, b"abcrequest timeout"),),
            app=(CHUNKED_HEAD, Pause(0.1), b"3\r\nabc\r\n", Do.HOLD),
            settings=one,
            within_s=(0.95, 1.3),
            closed=False,
        ),
        Case(
            "revision-length",
            "One of a known length is cut, the text within it",
            (ask(),),
            (Answer(200, b"abcrequest timeout", cut=True),),
            app=(answered(body=b"abc" + b"x" * 100)[:-100], Do.HOLD),
            settings=one,
            within_s=(0.95, 1.3),
            closed=True,
        ),
        Case(
            "revision-fast",
            "A fast answer is not touched",
            (ask(),),
            (Answer(200, b"ok"),),
            settings=one,
            closed=False,
        ),
        Case(
            "revision-zero",
            "0 is at once, not never",
            (ask(),),
            (late,),
            app=(Do.HOLD,),
            settings={"REVISION_TIMEOUT_SECONDS": "0"},
            within_s=(0.0, 0.5),
        ),
        Case(
            "start",
            "No byte within the response-start time: 504",
            (ask(),),
            (late,),
            app=(Do.HOLD,),
            settings=start,
            within_s=(0.95, 1.3),
        ),
        Case(
            "start-begun",
            "Once a byte has come it is over",
            (ask(),),
            (Answer(200, b"ab"),),
            app=(CHUNKED_HEAD + b"1\r\na\r\n", Pause(1.4), b"1\r\nb\r\n0\r\n\r\n"),
            settings=start,
            within_s=(1.3, 2.0),
        ),
        Case(
            "idle-never",
            "The idle time counts from the start",
            (ask(),),
            (late,),
            app=(Do.HOLD,),
            settings=idle,
            within_s=(0.95, 1.3),
        ),
        Case(
            "idle-busy",
            "Each byte starts it again",
            (ask(),),
            (Answer(200, b"abc"),),
            app=(CHUNKED_HEAD + b"1\r\na\r\n", Pause(0.7), b"1\r\nb\r\n", Pause(0.7), b"1\r\nc\r\n0\r\n\r\n"),
            settings=idle,
        ),
        Case(
            "idle-silent",
            "Silence in the middle ends it",
            (ask(),),
            (Answer(200, b"arequest timeout"),),
            app=(CHUNKED_HEAD, Pause(0.1), b"1\r\na\r\n", Do.HOLD),
            settings=idle,
            within_s=(0.95, 1.6),
        ),
        Case(
            "idle-upload",
            "Uploading is not activity",
            (post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n"), Pause(0.6), b"1\r\nb\r\n"),
            (Answer(504),),
            app=(Do.HOLD,),
            settings={**idle, "ENABLE_HTTP_FULL_DUPLEX": "true"},
            within_s=(0.95, 1.4),
        ),
        Case(
            "timeout-waits",
            "A timeout's answer waits for the end of an upload, too",
            (
                post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n"),
                Pause(1.4),
                chunked(b"b"),
            ),
            (Answer(504),),
            app=(Do.HOLD,),
            settings=one,
            within_s=(1.4, 4.0),
        ),
        Case(
            "upgrade-revision",
            "The revision's time cuts an upgraded connection",
            (UP,),
            (Answer(101),),
            app=(SWITCHED, Do.HOLD),
            settings=one,
            closed=True,
        ),
    ]


def _breaker() -> list[Case]:
    one = {"CONTAINER_CONCURRENCY": "1"}
    return [
        Case(
            "queue-full",
            "One runs and ten wait: the twelfth is refused at once",
            (ask(),),
            (Answer(503, FULL.encode(), {**PLAIN_ERROR, "content-length": str(len(FULL))}, lacks=("retry-after",)),),
            settings=one,
            crowd=11,
            reached=0,
            closed=False,
            within_s=(0.0, 0.5),
        ),
        Case(
            "queue-full-probe",
            "A probe is answered all the same",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (Answer(200, b"queue"),),
            settings=one,
            crowd=11,
            reached=0,
        ),
        Case(
            "kubelet-header",
            "K-Kubelet-Probe goes past the breaker, to the app",
            (ask(b"K-Kubelet-Probe: queue"),),
            (Answer(200, b"ok"),),
            settings=one,
            crowd=11,
            reached=1,
        ),
        Case(
            "no-limit", "containerConcurrency 0 refuses nobody", (ask(),), (Answer(200, b"ok"),), crowd=30, reached=1
        ),
        Case(
            "upgrade-place",
            "An upgraded connection holds its place",
            (UP,),
            (Answer(101),),
            app=(SWITCHED, Do.HOLD),
            settings=one,
            closed=False,
        ),
        Case(
            "queue-timeout",
            "Waiting counts towards the revision's time",
            (ask(),),
            (Answer(504, b"request timeout"),),
            app=(Do.HOLD,),
            settings={**one, "REVISION_TIMEOUT_SECONDS": "1"},
            crowd=1,
            reached=1,
            within_s=(0.95, 1.3),
        ),
    ]


def _probes() -> list[Case]:
    ready = Answer(200, b"queue", {"content-length": "5"})
    cases = [
        Case(
            f"probe-{agent.split('/')[0].lower()}",
            f"{agent} asks whether the app is ready",
            (ask(b"User-Agent: " + agent.encode(), b"K-Network-Probe: queue", line=b"GET /any HTTP/1.1"),),
            (ready,),
            reached=0,
            closed=False,
        )
        for agent in ("kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe")
    ]
    return [
        *cases,
        Case(
            "probe-value",
            "A prober must say queue",
            (ask(PROBE_UA, b"K-Network-Probe: activator"),),
            (Answer(400, b"unexpected probe header value: activator\n", PLAIN_ERROR),),
            reached=0,
        ),
        Case(
            "probe-bare",
            "Nothing is not queue either",
            (ask(PROBE_UA),),
            (Answer(400, b"unexpected probe header value: \n"),),
            reached=0,
        ),
        Case(
            "probe-hash",
            "A network probe is told its hash",
            (ask(b"K-Network-Probe: probe", b"K-Network-Hash: abc"),),
            (Answer(200, b"", {"k-network-hash": "abc"}),),
            reached=0,
        ),
        Case(
            "probe-no-hash",
            "It must have one",
            (ask(b"K-Network-Probe: probe"),),
            (Answer(400, b'a probe request must contain a non-empty "K-Network-Hash" header\n', PLAIN_ERROR),),
            reached=0,
        ),
        Case(
            "probe-traffic",
            "K-Network-Probe: queue alone is traffic",
            (ask(b"K-Network-Probe: queue"),),
            (Answer(200, b"ok"),),
            seen=(Seen(lines=(b"K-Network-Probe: queue",)),),
        ),
        Case(
            "probe-kubelet-header",
            "So is K-Kubelet-Probe",
            (ask(b"K-Kubelet-Probe: 1"),),
            (Answer(200, b"ok"),),
            reached=1,
        ),
        Case(
            "probe-post",
            "A probe is known whatever its method",
            (ask(PROBE_UA, b"K-Network-Probe: queue", line=b"POST /x HTTP/1.1"),),
            (ready,),
            reached=0,
        ),
        Case(
            "probe-not-ready",
            "An app that does not listen is not ready: 503, empty",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (Answer(503, b""),),
            app_down=True,
            settings={"SERVING_READINESS_PROBE": '{"tcpSocket":{"port":0},"periodSeconds":1}'},
        ),
        Case(
            "probe-exec",
            "An exec probe always fails",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (Answer(503, b""),),
            settings={"SERVING_READINESS_PROBE": '{"exec":{"command":["true"]},"periodSeconds":1}'},
        ),
        Case(
            "probe-http",
            "An HTTP probe asks the app as the kubelet would",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (ready,),
            settings={
                "SERVING_READINESS_PROBE": '{"httpGet":{"path":"/ready","httpHeaders":[{"name":"X-Mine",'
                '"value":"1"}]},"periodSeconds":1}'
            },
            seen=(Seen(b"GET /ready HTTP/1.1", (b"User-Agent: kube-probe//", b"X-Mine: 1")),),
        ),
        Case(
            "probe-http-500",
            "A 500 is not ready",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (Answer(503, b""),),
            app=(answered(status=b"500 x"),),
            settings={"SERVING_READINESS_PROBE": '{"httpGet":{"path":"/"},"periodSeconds":1}'},
        ),
        Case(
            "probe-http-redirect",
            "Redirects are followed",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (ready,),
            app=(answered(b"Location: /there", status=b"302 x"),),
            then=(OK,),
            reached=2,
            settings={"SERVING_READINESS_PROBE": '{"httpGet":{"path":"/"},"periodSeconds":1}'},
        ),
        Case(
            "probe-aggressive",
            "Without a period it is tried until the app is there",
            (ask(PROBE_UA, b"K-Network-Probe: queue"),),
            (ready,),
            settings={"SERVING_READINESS_PROBE": '{"tcpSocket":{"port":0}}'},
        ),
    ]


def _upgrades() -> list[Case]:
    return [
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
            (Pause(0.3), h2_get()),  # by then it is known that the connection of the case before is gone
            (),
            app=(OK,),
            app_http1=True,
            raw=rb".*http2: failed reading the frame payload: http2: frame too large, note that the frame header "
            rb"looked like an HTTP/1.1 header\n",
        ),
        Case(
            "h2-nonsense",
            "A preface that goes wrong half-way is a 400",
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",),
            (Answer(400),),
            closed=True,
            reached=0,
        ),
    ]


CASES: tuple[Case, ...] = (
    *_plain(),
    *_bodies(),
    *_sniffing(),
    *_headers(),
    *_informational(),
    *_refused(),
    *_failures(),
    *_timeouts(),
    *_breaker(),
    *_probes(),
    *_upgrades(),
)
