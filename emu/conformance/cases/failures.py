"""Apps that fail, and clients that leave."""

from __future__ import annotations

import re

from emu.conformance.case import OK, Answer, Case, Do, End, Pause
from emu.conformance.cases.wire import CHUNKED_HEAD, PLAIN_ERROR, answered, ask, post

APPS: tuple[Case, ...] = (
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
)

CLIENTS: tuple[Case, ...] = (
    Case(
        "client-leaves",
        "A client that closes even one direction is gone",
        (ask(), Pause(0.2), End.SHUT),
        (Answer(200, b"", {"content-length": "0"}),),
        app=(Pause(0.5), OK),
        closed=True,
    ),
)

CASES = (*APPS, *CLIENTS)
