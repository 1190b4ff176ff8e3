"""Requests and answers without anything special: versions, methods, keep-alive, reasons."""

from __future__ import annotations

from emu.conformance.case import OK, Answer, Case, Do, Pause, Seen
from emu.conformance.cases.wire import CHUNKED_HEAD, DATE, answered, ask, chunked, post

FINE = Answer(200, b"ok")

KEEP_ALIVE: tuple[Case, ...] = (
    Case("get", "A GET passes, and the connection is kept", (ask(),), (FINE,), closed=False, reached=1),
    Case("date", "An answer without a Date gains one", (ask(),), (Answer(200, headers={"date": DATE}),)),
    Case(
        "keep-alive",
        "A second request on the same connection",
        (ask(), Pause(0.05), ask()),
        (FINE, FINE),
        reached=2,
        closed=False,
    ),
    Case("pipeline", "Three requests in one write are answered in order", (ask() * 3,), (FINE,) * 3, reached=3),
    Case(
        "pipeline-bodies",
        "Bodies do not run into one another",
        (post(b"Content-Length: 3", body=b"abc") + post(b"Content-Length: 2", body=b"de"),),
        (FINE, FINE),
        seen=(Seen(body=b"abc"), Seen(body=b"de")),
    ),
    Case(
        "split",
        "A request that comes a few bytes at a time",
        tuple(x for i in range(0, len(ask()), 7) for x in (ask()[i : i + 7], Pause(0.002))),
        (FINE,),
        reached=1,
    ),
    Case(
        "leading-crlf",
        "An empty line before the first request is a 400",
        (b"\r\n" + ask(),),
        (Answer(400),),
        reached=0,
        closed=True,
    ),
    Case(
        "leading-crlf-post",
        "After a POST one is passed over",
        (post(b"Content-Length: 1", body=b"x") + b"\r\n" + ask(),),
        (FINE, FINE),
        reached=2,
        closed=False,
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
        (FINE,),
        closed=True,
        reached=1,
    ),
)

VERSION_1_0: tuple[Case, ...] = (
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
        (FINE,),
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
)

NO_BODY: tuple[Case, ...] = (
    Case(
        "head",
        "HEAD has a length and no body",
        (ask(line=b"HEAD / HTTP/1.1"), Pause(0.1), ask()),
        (Answer(200, headers={"content-length": "5"}, to="HEAD"), FINE),
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
)

REASONS: tuple[Case, ...] = (
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
)

TARGETS: tuple[Case, ...] = (
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
        (FINE,),
        seen=(Seen(b"GET /x?y HTTP/1.1", (b"Host: other:81",)),),
    ),
    Case(
        "query",
        "Path and query pass as they are",
        (ask(line=b"GET /a%2Fb?c=d%20e&f HTTP/1.1"),),
        (FINE,),
        seen=(Seen(b"GET /a%2Fb?c=d%20e&f HTTP/1.1"),),
    ),
)

OLD_APPS: tuple[Case, ...] = (
    Case(
        "close-app",
        "The app's Connection: close is its own",
        (ask(), Pause(0.1), ask()),
        (Answer(200, lacks=("connection",)), FINE),
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
)

METHODS = tuple(
    Case(
        f"method-{name.lower()}",
        f"{name} passes",
        (ask(line=name.encode() + b" / HTTP/1.1"),),
        (FINE,),
        seen=(Seen(name.encode() + b" / HTTP/1.1"),),
    )
    for name in ("DELETE", "PUT", "PATCH", "OPTIONS", "PURGE", "PROPFIND", "FROBNICATE")
)

CASES = (*KEEP_ALIVE, *VERSION_1_0, *NO_BODY, *REASONS, *TARGETS, *OLD_APPS, *METHODS)
