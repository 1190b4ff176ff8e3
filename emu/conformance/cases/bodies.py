"""Bodies both ways, trailers, and answers that come before a request's end."""

from __future__ import annotations

import re

from emu.conformance.case import OK, Answer, Case, Do, End, Pause, Seen
from emu.conformance.cases.wire import CHUNKED_HEAD, answered, ask, chunked, post

FINE = Answer(200, b"ok")
BIG = b"x" * (1 << 20)

REQUESTS: tuple[Case, ...] = (
    Case(
        "length",
        "A body of known length keeps it",
        (post(b"Content-Length: 5", body=b"hello"),),
        (FINE,),
        seen=(Seen(lines=(b"Content-Length: 5",), body=b"hello"),),
    ),
    Case(
        "chunks",
        "A chunked body stays chunked",
        (post(b"Transfer-Encoding: chunked", body=chunked(b"abc", b"defg")),),
        (FINE,),
        seen=(Seen(lines=(b"Transfer-Encoding: chunked",), lacks=(b"content-length",), body=b"abcdefg"),),
    ),
    Case(
        "chunk-extension",
        "Extensions of chunks are dropped",
        (post(b"Transfer-Encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\n\r\n"),),
        (FINE,),
        seen=(Seen(body=b"abc"),),
    ),
    Case(
        "chunk-upper",
        "Sizes may be in capitals, with zeros before",
        (post(b"Transfer-Encoding: chunked", body=b"00A\r\n0123456789\r\n0\r\n\r\n"),),
        (FINE,),
        seen=(Seen(body=b"0123456789"),),
    ),
    Case(
        "get-body",
        "A GET may have a body",
        (ask(b"Content-Length: 3", body=b"abc"),),
        (FINE,),
        seen=(Seen(b"GET / HTTP/1.1", body=b"abc"),),
    ),
    Case(
        "post-empty",
        "A POST without a body says so",
        (post(),),
        (FINE,),
        seen=(Seen(lines=(b"Content-Length: 0",)),),
    ),
    Case(
        "get-zero",
        "A GET of length 0 says nothing of it",
        (ask(b"Content-Length: 0"),),
        (FINE,),
        seen=(Seen(lacks=(b"content-length",)),),
    ),
    Case(
        "mebibyte",
        "A MiB each way",
        (post(b"Content-Length: 1048576", body=BIG),),
        (Answer(200, BIG),),
        app=(Do.READ_BODY, answered(body=BIG)),
        seen=(Seen(body=BIG),),
    ),
    Case(
        "body-slow",
        "A body that comes in pieces",
        (post(b"Content-Length: 6", body=b"ab"), Pause(0.1), b"cd", Pause(0.1), b"ef"),
        (FINE,),
        seen=(Seen(body=b"abcdef"),),
    ),
)

ANSWERS: tuple[Case, ...] = (
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
        "An answer of no chunks stays chunked",
        (ask(),),
        (Answer(200, b"", {"transfer-encoding": "chunked"}, lacks=("content-length",)),),
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
)

TRAILERS: tuple[Case, ...] = (
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
        "Trailers of a request are announced to the app, and never sent",
        (
            post(
                b"Transfer-Encoding: chunked",
                b"Trailer: X-Sum",
                body=chunked(b"abc", end=b"0\r\nX-Sum: 7\r\n\r\n"),
            ),
        ),
        (FINE,),
        seen=(Seen(lines=(b"Trailer: X-Sum",), body=b"abc", no_trailers=True),),
    ),
    Case(
        "trailers-framing",
        "Nor are those that frame or route",
        (post(b"Transfer-Encoding: chunked", body=chunked(b"abc", end=b"0\r\nHost: evil\r\nX-A: 1\r\n\r\n")),),
        (FINE,),
        seen=(Seen(body=b"abc", no_trailers=True),),
    ),
)

EARLY_ANSWERS: tuple[Case, ...] = (
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
        "Of 256 KiB or more it waits for the next byte alone: the connection ends after it",
        (post(b"Content-Length: 300000", body=bytes(10000)), Pause(0.4), b"x"),
        (Answer(413, b"no", {"connection": "close"}),),
        app=(answered(status=b"413 x", body=b"no"),),
        within_s=(0.4, 5.0),
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
        "answer-closes-late",
        "One after which the connection closes waits too, and says so once",
        (post(b"Connection: close\r\nContent-Length: 20000", body=bytes(10000)), Pause(0.4), bytes(10000)),
        (),
        raw=rb"^HTTP/1.1 413 (?:(?!Connection: close)(?:.|\n))*Connection: close\r\n\r\nno$",
        app=(answered(status=b"413 x", body=b"no"),),
        within_s=(0.4, 5.0),
        closed=True,
    ),
    Case(
        "gone-amid-body",
        "An app that goes away amid a body: the client learns it when the rest cannot be sent",
        (post(b"Content-Length: 20", body=bytes(10)), Pause(0.4), bytes(10)),
        (Answer(502, re.compile(rb"readfrom tcp .*: write tcp .*: use of closed network connection\n")),),
        app=(Do.CLOSE,),
        within_s=(0.4, 5.0),
        closed=False,
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
        "With full duplex an answer that is sent as it comes may overtake its request; its end waits",
        (post(b"Content-Length: 20000", body=bytes(10000)),),
        (),
        raw=rb"HTTP/1.1 413 .*\r\n\r\n2\r\nno\r\n$",
        app=(b"HTTP/1.1 413 x\r\nTransfer-Encoding: chunked\r\n\r\n", Pause(0.1), chunked(b"no")),
        settings={"ENABLE_HTTP_FULL_DUPLEX": "true"},
    ),
    Case(
        "answer-overtakes-short",
        "One that fits into a buffer waits in it for the request's end",
        (post(b"Content-Length: 20000", body=bytes(10000)), Pause(0.4), bytes(10000)),
        (Answer(413, b"no"),),
        app=(answered(status=b"413 x", body=b"no"),),
        within_s=(0.4, 5.0),
        settings={"ENABLE_HTTP_FULL_DUPLEX": "true"},
    ),
)

UPLOADS: tuple[Case, ...] = (
    Case(
        "upload-at-once",
        "The head of an upload does not wait for its body",
        (post(b"Content-Length: 4", body=b"ha"), Pause(0.2), End.CLOSE),
        (),
        reached=1,
    ),
    Case(
        "abandoned-upload",
        "A body that never ends does not reach the app as a whole",
        (post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"), Pause(0.1), End.CLOSE),
        (),
        reached=1,
    ),
)

CASES = (*REQUESTS, *ANSWERS, *TRAILERS, *EARLY_ANSWERS, *UPLOADS)
