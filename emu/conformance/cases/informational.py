"""100 and 103, and expectations."""

from __future__ import annotations

from emu.conformance.case import OK, Answer, Case, Do, Pause, Seen
from emu.conformance.cases.wire import answered, ask, post

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS = post(b"Content-Length: 3", b"Expect: 100-continue")

HINTS: tuple[Case, ...] = (
    Case(
        "early-hints",
        "103 passes, and the final status after it",
        (ask(),),
        (Answer(103, headers={"link": "</a.css>"}), Answer(404, b"no")),
        app=(EARLY_HINTS, answered(status=b"404 x", body=b"no")),
        why_ours="says 200 instead; EMU_KNATIVE_DEFECTS=final-status-lost does so too",
    ),
    Case(
        "early-hints-twice",
        "Twice",
        (ask(),),
        (Answer(103), Answer(103), Answer(200, b"ok")),
        app=(EARLY_HINTS, Pause(0.05), EARLY_HINTS, OK),
        why_ours="passes the first alone; EMU_KNATIVE_DEFECTS=final-status-lost does so too",
    ),
    Case(
        "early-hints-1.0",
        "HTTP/1.0 gets it, too",
        (ask(line=b"GET / HTTP/1.0"),),
        (Answer(103, line=b"HTTP/1.0 103 Early Hints"), Answer(200, b"ok")),
        app=(EARLY_HINTS, OK),
        closed=True,
    ),
    Case(
        "defect",
        "With the defect on, the final status after a 1xx is 200",
        (ask(),),
        (Answer(103), Answer(200, b"no")),
        app=(EARLY_HINTS, answered(status=b"404 x", body=b"no")),
        settings={"EMU_KNATIVE_DEFECTS": "final-status-lost"},
    ),
)

EXPECTATIONS: tuple[Case, ...] = (
    Case(
        "continue",
        "The app's 100 asks the client for its body",
        (EXPECTS, Pause(0.2), b"abc"),
        (Answer(100), Answer(200, b"ok")),
        app=(CONTINUE, Do.READ_BODY, OK),
        seen=(Seen(lines=(b"Expect: 100-continue",), body=b"abc"),),
    ),
    Case(
        "continue-late",
        "An app that says nothing is sent the body after a second",
        (EXPECTS, Pause(1.3), b"abc"),
        (Answer(100), Answer(200, b"ok")),
        seen=(Seen(body=b"abc"),),
        within_s=(1.0, 2.0),
    ),
    Case(
        "continue-refused",
        "A final answer instead: no body is asked for, unless the real one reads it in a race",
        (EXPECTS, Pause(0.4), b"abc"),
        (),
        raw=rb"^(?:HTTP/1.1 417 .*Connection: close|HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 417 ).*\r\n\r\nno$",
        app=(answered(status=b"417 x", body=b"no"),),
    ),
    Case(
        "continue-impatient",
        "A client that does not wait",
        (EXPECTS + b"abc",),
        (Answer(100), Answer(200, b"ok")),
        app=(CONTINUE, Do.READ_BODY, OK),
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
)

CASES = (*HINTS, *EXPECTATIONS)
