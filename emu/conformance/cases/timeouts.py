"""The revision's timers."""

from __future__ import annotations

from emu.conformance.case import Answer, Case, Do, Pause
from emu.conformance.cases.wire import CHUNKED_HEAD, SWITCHED, TEXT, UP, answered, ask, chunked, post


def cases() -> list[Case]:
    """All of them."""
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
