"""The revision's timers."""

from __future__ import annotations

from emu.conformance.case import Answer, Case, Do, Pause
from emu.conformance.cases.wire import CHUNKED_HEAD, SWITCHED, TEXT, UP, answered, ask, chunked, post

REVISION = {"REVISION_TIMEOUT_SECONDS": "1"}
DUPLEX = {**REVISION, "ENABLE_HTTP_FULL_DUPLEX": "true"}
START = {"REVISION_TIMEOUT_SECONDS": "10", "REVISION_RESPONSE_START_TIMEOUT_SECONDS": "1"}
IDLE = {"REVISION_TIMEOUT_SECONDS": "10", "REVISION_IDLE_TIMEOUT_SECONDS": "1"}
LATE = Answer(
    504, b"request timeout", {"content-type": TEXT, "content-length": "15"}, lacks=("x-content-type-options",)
)

REVISION_TIME: tuple[Case, ...] = (
    Case(
        "revision-time",
        "Nothing said for the revision's time: 504, and the connection is kept",
        (ask(),),
        (LATE,),
        app=(Do.HOLD,),
        settings=REVISION,
        within_s=(0.95, 1.3),
        closed=False,
    ),
    Case(
        "revision-hints",
        "An informational answer before it changes nothing",
        (ask(),),
        (Answer(103), LATE),
        app=(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Do.HOLD),
        settings=REVISION,
        within_s=(0.95, 1.3),
        closed=False,
    ),
    Case(
        "revision-closes",
        "Where the connection closes after it, it does not wait for the rest of a body",
        (post(b"Connection: close\r\nContent-Length: 20", body=bytes(10)),),
        (LATE,),
        app=(Do.HOLD,),
        settings=REVISION,
        within_s=(0.95, 1.3),
        closed=True,
    ),
    Case(
        "revision-chunked",
        "A chunked answer that has begun gains the text and ends well",
        (ask(),),
        (Answer(200, b"abcrequest timeout"),),
        app=(CHUNKED_HEAD, Pause(0.1), b"3\r\nabc\r\n", Do.HOLD),
        settings=REVISION,
        within_s=(0.95, 1.3),
        closed=False,
    ),
    Case(
        "revision-length",
        "One of a known length is cut, the text within it",
        (ask(),),
        (Answer(200, b"abcrequest timeout", cut=True),),
        app=(answered(body=b"abc" + b"x" * 100)[:-100], Do.HOLD),
        settings=REVISION,
        within_s=(0.95, 1.3),
        closed=True,
    ),
    Case(
        "revision-fast",
        "A fast answer is not touched",
        (ask(),),
        (Answer(200, b"ok"),),
        settings=REVISION,
        closed=False,
    ),
    Case(
        "revision-zero",
        "0 is at once, not never",
        (ask(),),
        (LATE,),
        app=(Do.HOLD,),
        settings={"REVISION_TIMEOUT_SECONDS": "0"},
        within_s=(0.0, 0.5),
    ),
)

RESPONSE_START: tuple[Case, ...] = (
    Case(
        "start",
        "No byte within the response-start time: 504",
        (ask(),),
        (LATE,),
        app=(Do.HOLD,),
        settings=START,
        within_s=(0.95, 1.3),
    ),
    Case(
        "start-hints",
        "An informational answer is a beginning",
        (ask(),),
        (Answer(103), Answer(200, b"ab")),
        app=(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", Pause(1.4), answered(body=b"ab")),
        settings=START,
        within_s=(1.3, 2.0),
    ),
    Case(
        "start-begun",
        "Once a byte has come it is over",
        (ask(),),
        (Answer(200, b"ab"),),
        app=(CHUNKED_HEAD + b"1\r\na\r\n", Pause(1.4), b"1\r\nb\r\n0\r\n\r\n"),
        settings=START,
        within_s=(1.3, 2.0),
    ),
)

IDLE_TIME: tuple[Case, ...] = (
    Case(
        "idle-never",
        "The idle time counts from the start",
        (ask(),),
        (LATE,),
        app=(Do.HOLD,),
        settings=IDLE,
        within_s=(0.95, 1.3),
    ),
    Case(
        "idle-busy",
        "Each byte starts it again",
        (ask(),),
        (Answer(200, b"abc"),),
        app=(CHUNKED_HEAD + b"1\r\na\r\n", Pause(0.7), b"1\r\nb\r\n", Pause(0.7), b"1\r\nc\r\n0\r\n\r\n"),
        settings=IDLE,
    ),
    Case(
        "idle-silent",
        "Silence in the middle ends it",
        (ask(),),
        (Answer(200, b"arequest timeout"),),
        app=(CHUNKED_HEAD, Pause(0.1), b"1\r\na\r\n", Do.HOLD),
        settings=IDLE,
        within_s=(0.95, 1.6),
    ),
    Case(
        "idle-upload",
        "Uploading is not activity",
        (post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n"), Pause(0.6), b"1\r\nb\r\n"),
        (Answer(504),),
        app=(Do.HOLD,),
        settings={**IDLE, "ENABLE_HTTP_FULL_DUPLEX": "true"},
        within_s=(0.95, 1.4),
    ),
)

UPLOADS_AND_UPGRADES: tuple[Case, ...] = (
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
        settings=REVISION,
        within_s=(1.4, 4.0),
    ),
    Case(
        "timeout-short",
        "One that cuts an answer waits for it as well, and then ends the connection",
        (post(b"Content-Length: 10", body=b"abc"), Pause(1.4), b"defghij"),
        (Answer(200, b"abcrequest timeout", cut=True, lacks=("connection",)),),
        app=(answered(body=b"abc" + b"x" * 100)[:-100], Do.HOLD),
        settings=REVISION,
        within_s=(1.4, 4.0),
        closed=True,
    ),
    Case(
        "timeout-duplex",
        "In full duplex a timeout amid an upload ends the connection, and the answer does not say so",
        (post(b"Content-Length: 10", body=b"abc"),),
        (Answer(504, b"request timeout", lacks=("connection",)),),
        app=(Do.HOLD,),
        settings=DUPLEX,
        within_s=(0.95, 1.3),
        closed=True,
    ),
    Case(
        "timeout-duplex-chunked",
        "So does one that appends its text to an answer",
        (post(b"Content-Length: 10", body=b"abc"),),
        (Answer(200, b"abcrequest timeout"),),
        app=(CHUNKED_HEAD + b"3\r\nabc\r\n", Do.HOLD),
        settings=DUPLEX,
        within_s=(0.95, 1.3),
        closed=True,
    ),
    Case(
        "timeout-duplex-short",
        "What an answer of known length waited with is sent before",
        (post(b"Content-Length: 10", body=b"abc"),),
        (Answer(200, b"abcrequest timeout", cut=True),),
        app=(answered(body=b"abc" + b"x" * 100)[:-100], Do.HOLD),
        settings=DUPLEX,
        within_s=(0.95, 1.3),
        closed=True,
    ),
    Case(
        "upgrade-revision",
        "The revision's time cuts an upgraded connection",
        (UP,),
        (Answer(101),),
        app=(SWITCHED, Do.HOLD),
        settings=REVISION,
        closed=True,
    ),
)

CASES = (*REVISION_TIME, *RESPONSE_START, *IDLE_TIME, *UPLOADS_AND_UPGRADES)
