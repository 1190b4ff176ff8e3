"""Why requests were not answered well: queue-proxy's record joined with what clients saw, in numbers and in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emu.policy.expectations import parse_expectation
from emu.record.events import RequestsEnded
from emu.record.rundir import RunDir
from emu.report.journal import entries
from emu.report.page.render import render_html
from emu.report.summary import summarize
from emu.report.topics.reasons import in_words, reason_words, reasons_by_outcome
from emu.report.topics.requests import client_sentences
from emu.study.model.instances import Instance
from emu.study.model.services import Service
from emu.study.reasons import _fate, give_reasons
from emu.study.recorded_ends import LONGEST_WORDS
from emu.study.study import read_study
from tests import fake_runs
from tests.fakes import MIB, POD_NAME, FakeRun


class Logged(FakeRun):
    """A run whose queue-proxy keeps its record."""

    def log(self, event: str, **facts: Any) -> None:
        """A line of queue-proxy's log."""
        path = self.run.new_log(POD_NAME, "queue-proxy", 0)
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps({"t": self.t, "who": "queue-proxy", "event": event, **facts}) + "\n")

    def ended(self, status: int, reason: str, *each: tuple[float, float, float, float | None], **facts: Any) -> None:
        """A line about ends; their times are the run's."""
        at = self.t - self.now
        self.log(
            "requests-ended", status=status, reason=reason, each=[[at + one[0], *one[1:]] for one in each], **facts
        )


def started(path: Path, *, recorded: bool = True) -> Logged:
    """A pod that is ready."""
    run = Logged(path, name="why")
    run.start("app", memory_max=64 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.sample()
    if recorded:
        run.log("listening", recordsEnds=True)
    return run


def summary_of(run: RunDir) -> dict[str, Any]:
    """Its numbers and words."""
    return summarize(read_study(run))


def test_answers_of_queue_proxy_and_of_the_app_are_distinguished(tmp_path: Path) -> None:
    """Each record has the request that was under way then; a 502 without one is the app's own."""
    run = started(tmp_path / "run")
    run.requests(3, 1.0, 1.001, takes_s=0.5, status=502)
    run.requests(1, 1.0, 1.001, takes_s=0.1, status=502)
    run.ended(502, "app-broke", *[(1.499, 0.2, 0.0, 0.299)] * 3, why="EOF")
    run.advance(3.0)
    summary = summary_of(run.finish())
    assert summary["requests"]["reasons"] == {"502": {"app": 1, "app-closed": 3}}
    (own, closed) = summary["requests"]["failures"]
    assert (own["reason"], own["by"], own["count"]) == ("app", None, 1)
    assert closed["app_ms"] == dict.fromkeys(("min", "p50", "max"), pytest.approx(299))
    assert (
        "3 were answered 502 by queue-proxy: the app closed the connection without a whole answer (EOF), "
        "299 ms after it was asked." in summary["verdict"]["sentences"]
    )


def test_a_full_queue_and_who_waited(tmp_path: Path) -> None:
    """A burst of ten into one place: who waited, for how long, and how many at once."""
    run = started(tmp_path / "run")
    run.requests(2, 1.0, 1.001, takes_s=0.002, status=503)
    run.requests(3, 1.0, 1.001, takes_s=0.6)
    run.ended(503, "queue-full", (1.001, 0, 0, None), (1.001, 0, 0, None), inside=1, waiting=2)
    run.log("requests-waited", since=run.t - run.now + 1.2, at=[0, 200_000], waited=[200_000, 400_000])
    run.advance(3.0)
    requests = summary_of(run.finish())["requests"]
    assert requests["reasons"] == {"503": {"queue-full": 2}}
    assert (requests["waited"]["count"], requests["waited"]["most"]) == (2, 2)
    assert requests["waited"]["ms"]["max"] == pytest.approx(400, abs=0.2)
    assert reason_words(requests["failures"][0]) == (
        "answered 503 by queue-proxy at once: its queue was full (1 in the app, 2 waiting)"
    )


@pytest.mark.parametrize(
    ("reason", "each", "words"),
    [
        ("response-timeout", (1.9, 0.4, 0.0, 0.5), "arrival in queue-proxy; of that 400 ms waiting for a place"),
        ("response-timeout", (1.9, 0.9, 0.0, None), "all of it waiting for a place"),
        ("response-timeout", (1.9, 0.0, 0.9, None), "all of it waiting for the app to be resumed"),
        ("response-start-timeout", (1.9, 0.0, 0.0, 0.9), "no byte of an answer within the response start"),
        ("idle-timeout", (1.9, 0.0, 0.0, 0.9), "counted from the request's arrival in queue-proxy"),
    ],
)  # fmt: skip
def test_a_504_says_which_timer_and_from_when(
    tmp_path: Path, reason: str, each: tuple[float, float, float, float | None], words: str
) -> None:
    """And how much of it the request waited."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.902, status=504)
    run.ended(504, reason, each, period_s=0.9)
    run.advance(3.0)
    requests = summary_of(run.finish())["requests"]
    assert requests["reasons"] == {"504": {reason: 1}}
    assert words in reason_words(requests["failures"][0])


def test_an_answer_that_had_begun_was_idle_since_its_last_byte() -> None:
    """And what was cut off had begun."""
    spread = {"min": 900.0, "p50": 900.0, "max": 900.0}
    nothing = dict.fromkeys(spread, 0.0)
    burst = {
        "outcome": "short-body",
        "reason": "idle-timeout",
        "by": "queue-proxy",
        "why": "",
        "app": None,
        "count": 1,
    }
    burst |= {"period_s": 0.9, "never_in": 0, "waited_ms": nothing, "held_ms": nothing, "app_ms": spread}
    assert "ran out, counted from the last byte of the answer, all of it in the app" in reason_words(burst)

    slow = reason_words({**burst, "reason": "response-timeout"})  # its client may read slowly: that is not the app
    assert slow.endswith("in queue-proxy, and the answer, which had begun, was not over")
    socket = reason_words({**burst, "reason": "response-start-timeout"})
    assert socket.endswith("in queue-proxy: what goes over a websocket does not end it") and "no byte" not in socket


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (
            ((6.9, 6.0, 0, None), (6.925, 1.3, 0, 4.7)),
            "of that 1.3 s to 6.0 s waiting for a place; 1 of them never got",
        ),
        (
            ((6.9, 6.0, 0, None), (6.925, 1.3, 0, None)),
            "of that 1.3 s to 6.0 s waiting for a place; 2 of them never got",
        ),
        (((6.9, 6.0, 0, None), (6.925, 5.9, 0, None)), "all of it waiting for a place"),
        (((6.9, 0.4, 0, 5.6), (6.925, 0.0, 0, 6.0)), "of that up to 400 ms waiting for a place"),
        (
            ((6.9, 2.0, 4.0, None), (6.925, 2.0, 4.0, None)),
            "2.0 s waiting for a place and 4.0 s waiting for the app to",
        ),
    ],
)
def test_what_is_said_of_several_is_true_of_each(
    tmp_path: Path, each: tuple[tuple[float, float, float, float | None], ...], words: str
) -> None:
    """One waited all the time, the other a fifth of it: the range is said."""
    run = started(tmp_path / "run")
    run.requests(2, 0.9, 0.95, takes_s=6.002, status=504)
    run.ended(504, "response-timeout", *each, period_s=6.0)
    run.advance(9.0)
    assert words in reason_words(summary_of(run.finish())["requests"]["failure_kinds"][0])


def test_no_number_is_said_twice(tmp_path: Path) -> None:
    """How many ended how is said with why; reasons that take more words have a sentence each."""
    run = started(tmp_path / "run")
    run.requests(4, 1.0, 1.001)
    run.requests(3, 1.0, 1.001, takes_s=0.5, status=502)
    run.ended(502, "app-broke", *[(1.499, 0.2, 0.0, 0.299)] * 2, why="EOF")
    run.requests(2, 1.0, 1.001, done_s=2.0, status=None, error="timeout")
    run.ended(0, "client-left", *[(2.0, 0.9, 0, None)] * 2)
    run.advance(3.0)
    reported = [
        said for said in summary_of(run.finish())["verdict"]["sentences"] if " were " in said or " was " in said
    ]
    assert reported[:2] == [
        "Of 9 requests, 4 were answered 200, 1 was answered 502 by the app itself and 2 were given up by the client "
        "while waiting for a place in queue-proxy.",
        "2 were answered 502 by queue-proxy: the app closed the connection without a whole answer (EOF), "
        "299 ms after it was asked.",
    ]


def test_a_headline_says_in_brief_why_requests_failed(tmp_path: Path) -> None:
    """Of each status and error why most of them did; of a 504 whether the app had seen the request at all."""
    run = started(tmp_path / "run")
    run.requests(4, 1.0, 1.001, takes_s=0.5, status=502)
    run.ended(502, "app-broke", *[(1.499, 0.2, 0.0, 0.299)] * 3, why="EOF")
    run.ended(502, "dial-failed", (1.4995, 0.2, 0.0, 0.2995), why="connect: connection refused")
    run.requests(3, 1.0, 1.001, takes_s=0.9, status=504)
    run.ended(504, "response-timeout", *[(1.899, 0.899, 0.0, None)] * 3, period_s=0.9)
    run.requests(2, 1.0, 1.001, done_s=2.0, status=None, error="timeout")
    run.ended(0, "client-left", *[(2.0, 0.9, 0, None)] * 2)
    run.advance(3.0)
    headline = summary_of(run.finish())["verdict"]["headline"]
    assert headline.startswith(
        "Nothing was OOM-killed: 4 of 9 requests were answered 502 (mostly the app closed the connection), 3 were "
        "answered 504 (queue-proxy's response timeout, before the app had seen them) and 2 were given up by the "
        "client (while waiting for a place in queue-proxy); "
    )


def test_half_of_them_are_not_most(tmp_path: Path) -> None:
    """Two reasons of as many requests each are left to the sentences."""
    run = started(tmp_path / "run")
    run.requests(4, 1.0, 1.001, takes_s=0.5, status=502)
    run.ended(502, "app-broke", *[(1.499, 0.2, 0.0, 0.299)] * 2, why="EOF")
    run.ended(502, "dial-failed", *[(1.4995, 0.2, 0.0, 0.2995)] * 2, why="connect: connection refused")
    run.advance(3.0)
    headline = summary_of(run.finish())["verdict"]["headline"]
    assert "all 4 requests were answered 502; " in headline


def test_a_websocket_that_breaks_off_has_what_became_of_the_app(tmp_path: Path) -> None:
    """queue-proxy passes on what was switched to another protocol, and records no end of it."""
    run = started(tmp_path / "run")
    run.requests(5, 0.5, 0.6, done_s=1.02, status=101, error="short-body")
    run.advance(1.0)
    run.exit("app", 3)
    run.advance(3.0)
    summary = summary_of(run.finish())
    assert summary["requests"]["reasons"] == {"short-body": {"app-exited": 5}}
    assert summary["verdict"]["headline"].endswith("; all 5 requests were cut off midway (as the app ended)")
    assert "All 5 requests were cut off midway as the app ended." in summary["verdict"]["sentences"]


def test_an_answer_that_was_cut_short_without_its_client_seeing_it_has_failed(tmp_path: Path) -> None:
    """Its status is 200, and half of it is missing: the headline counts it, and the others were answered in full."""
    run = started(tmp_path / "run")
    run.requests(3, 1.0, 1.001, takes_s=0.9)
    run.requests(4, 1.0, 1.001, takes_s=0.1)
    run.ended(200, "idle-timeout", *[(1.899, 0.0, 0.0, 0.899)] * 3, period_s=0.5)
    run.advance(3.0)
    verdict = summary_of(run.finish())["verdict"]
    assert verdict["headline"].startswith(
        "Nothing was OOM-killed: 3 of 7 requests were answered and cut short (queue-proxy's idle timeout); "
    )
    assert verdict["sentences"][0] == "Of 7 requests, 4 were answered 200 in full."
    assert "counted from the last byte of the answer, all of it in the app." in verdict["sentences"][1]


def test_a_headline_says_what_became_of_a_container_that_was_asked(tmp_path: Path) -> None:
    """Where it is not what the headline begins with, as a kill is."""
    run = Logged(tmp_path / "run", name="plain")
    run.start("app", memory_max=64 * MIB)
    run.sample()
    run.requests(2, 0.5, 0.6, done_s=1.02, status=None, error="closed", container="app")
    run.advance(1.0)
    run.stop("app", "pod", 30.0)
    run.exit("app", 0, asked=True)
    run.requests(2, 1.5, 1.6, status=None, error="refused", container="app")
    run.advance(3.0)
    assert (
        "2 of 4 requests were closed without a byte of answer (as app was stopped) and 2 were refused a connection "
        "(after app was stopped); " in summary_of(run.finish())["verdict"]["headline"]
    )


def test_a_headline_says_where_requests_were_that_had_no_answer_by_the_end(tmp_path: Path) -> None:
    """Where queue-proxy has recorded it."""
    run = started(tmp_path / "run")
    run.requests(4, 1.0, 1.001)
    run.requests(2, 1.0, 1.001, done_s=2.0, status=None, error="unanswered")
    run.ended(0, "client-left", *[(2.0, 0.9, 0, None)] * 2)
    run.advance(3.0)
    assert summary_of(run.finish())["verdict"]["headline"].endswith(
        "; 4 of 6 requests were answered, the others not by the run's end (while waiting for a place in queue-proxy)"
    )


@pytest.mark.parametrize(
    ("reason", "why", "slug"),
    [
        ("dial-failed", "dial tcp 127.0.0.1:8080: connect: connection refused", "app-refused"),
        ("dial-failed", "dial tcp 127.0.0.1:8080: i/o timeout", "app-unreachable"),
        ("dial-failed", "http: server closed idle connection", "app-closed"),
        ("app-broke", "read tcp 127.0.0.1:1->127.0.0.1:8080: read: connection reset by peer", "app-reset"),
        ("app-broke", "readfrom tcp a:1->b:2: write tcp a:1->b:2: use of closed network connection", "app-closed"),
        ("app-broke", 'net/http: HTTP/1.x transport connection broken: malformed HTTP version "x"', "app-malformed"),
        ("app-broke", "stream error: stream ID 1; INTERNAL_ERROR; received from peer", "app-stream-reset"),
        ("app-broke", "http2: Transport received GOAWAY from server ErrCode:NO_ERROR", "app-stream-reset"),
        ("app-broke", "stream error: stream ID 1; PROTOCOL_ERROR; malformed header", "app-malformed"),
        ("not-resumed", "the daemon does not answer", "not-resumed"),
    ],
)
def test_gos_words_have_a_name_each(tmp_path: Path, reason: str, why: str, slug: str) -> None:
    """summary.json's, for expectations; the words themselves are shown."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.1, status=502)
    run.ended(502, reason, (1.09, 0, 0, 0.09), why=why)
    run.advance(2.0)
    requests = summary_of(run.finish())["requests"]
    assert requests["reasons"] == {"502": {slug: 1}}
    words = reason_words(requests["failures"][0])
    assert why in words
    assert ("is not an HTTP answer" in words) == (slug == "app-malformed")


def test_what_an_app_says_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    """Words that came from the app are printed without their control characters."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.1, status=502)
    run.ended(502, "app-broke", (1.09, 0, 0, 0.09), why="malformed HTTP response \x1b]0;gone\x07")
    run.advance(2.0)
    study = read_study(run.finish())
    assert not any("\x1b" in entry.to_text() for entry in entries(study))
    assert "\x1b" not in json.dumps(summarize(study), ensure_ascii=False)


def test_what_clients_saw_of_queue_proxys_end_is_joined_with_it(tmp_path: Path) -> None:
    """Closed as it was OOM-killed, refused while it was down: no word of queue-proxy's own is needed."""
    study = read_study(fake_runs.oom(tmp_path / "run"))
    assert summarize(study)["requests"]["reasons"] == {
        "closed": {"queue-proxy-oom-killed": 1500},
        "refused": {"queue-proxy-restarting": 50},
    }
    lines = [entry.text for entry in entries(study) if entry.source == "clients"]
    assert lines[0].startswith("800 requests were closed without a byte of answer as queue-proxy was OOM-killed")
    assert len(lines) == 3


def test_a_502_says_what_became_of_the_app(tmp_path: Path) -> None:
    """It was OOM-killed just then: the connection's end is no riddle."""
    run = started(tmp_path / "run")
    run.requests(2, 1.0, 1.001, takes_s=0.5, status=502)
    run.ended(502, "app-broke", *[(1.499, 0, 0, 0.499)] * 2, why="EOF")
    run.advance(1.45, {"app": {"anon": 60 * MIB}})
    run.oom("app")
    run.advance(3.0)
    burst = summary_of(run.finish())["requests"]["failures"][0]
    assert burst["app"] == "oom-killed"
    assert reason_words(burst).endswith("after it was asked, as the app was OOM-killed")


def test_a_run_without_a_record_says_so(tmp_path: Path) -> None:
    """As those of older versions: the reason is not known, and no sentence claims one."""
    run = started(tmp_path / "run", recorded=False)
    run.requests(5, 1.0, 1.1, takes_s=0.1, status=502)
    run.advance(2.0)
    summary = summary_of(run.finish())
    assert summary["requests"]["reasons"] == {"502": {"not-recorded": 5}}
    assert summary["requests"]["waited"] is None
    assert not [said for said in summary["verdict"]["sentences"] if "by queue-proxy" in said or "by the app" in said]


def test_what_a_cut_record_lacks_is_not_called_the_apps(tmp_path: Path) -> None:
    """The run was cut off, or queue-proxy killed, just after it answered: the line about it may be lost."""
    run = started(tmp_path / "run")
    run.requests(2, 1.0, 1.001, takes_s=0.1, status=503)
    run.advance(2.0)
    assert summarize(read_study(run.cut()))["requests"]["reasons"] == {"503": {"not-recorded": 2}}
    run = started(tmp_path / "killed")
    run.requests(2, 1.0, 1.001, takes_s=0.1, status=503)
    run.advance(1.2, {"queue-proxy": {"anon": 60 * MIB}})
    run.oom("queue-proxy")
    run.advance(3.0)
    assert summary_of(run.finish())["requests"]["reasons"] == {"503": {"not-recorded": 2}}


def test_waits_of_requests_that_never_had_a_place_count(tmp_path: Path) -> None:
    """Their clients left. Of one that had its place for a moment the line of waits says the same: it counts once."""
    run = started(tmp_path / "run")
    run.requests(3, 1.0, 1.001, done_s=2.0, status=None, error="timeout")
    run.ended(0, "client-left", (2.0, 0.9, 0, None), (2.0, 0.9, 0, 0.001), (2.0, 0.8, 0, 0.001))
    run.log("requests-waited", since=run.t - run.now + 1.999, at=[0], waited=[900_000])
    run.advance(3.0)
    waited = summary_of(run.finish())["requests"]["waited"]
    assert (waited["count"], waited["most"]) == (3, 3)


def test_a_long_wait_for_a_place_is_not_laid_to_the_app(tmp_path: Path) -> None:
    """Each that gave up made room for the next, which then was in the app for a moment before it gave up too."""
    run = started(tmp_path / "run")
    run.requests(3, 1.0, 1.001, done_s=7.0, status=None, error="timeout")
    run.ended(0, "client-left", *[(7.0, wait, 0, 6.0 - wait) for wait in (4.0, 5.8, 5.9)])
    run.advance(9.0)
    verdict = summary_of(run.finish())["verdict"]
    assert "given up by the client (after a long wait for a place in the app)" in verdict["headline"]
    said = "while waiting for the answer of the app, after a wait of 4.0 s to 5.9 s for a place in it"
    assert said in " ".join(verdict["sentences"])


@pytest.mark.parametrize(
    "facts",
    [
        {"each": 5}, {"each": [[1, 2]]}, {"each": [["x", 0, 0, 0]]}, {"each": [[float("nan"), 0, 0, 0]]}, {},
        {"each": [[1, 0, 0, 0]], "status": "many"}, {"each": [[1, 0, 0, 0]], "inside": [1]},
        {"each": [[1, 0, 0, 0]], "reason": {"a": 1}, "why": [3], "period_s": "long"},
    ],
)  # fmt: skip
def test_a_damaged_record_costs_its_line_alone(tmp_path: Path, facts: dict[str, Any]) -> None:
    """In queue-proxy's log as among the events; what is whole is still reported."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.1, status=502)
    run.log("requests-ended", **{"status": 502, "reason": "app-broke", **facts})
    run.log("requests-waited", since=0, at="x", waited=[1, None])
    run.event(RequestsEnded(**{"t": 1.0, "who": "x", "status": 502, "reason": "app-broke", "each": 3, **facts}))
    run.ended(502, "app-broke", (1.09, 0, 0, 0.09), why="EOF")
    run.run.new_log(POD_NAME, "queue-proxy", 7).mkdir()
    run.advance(2.0)
    summary = summary_of(run.finish())
    assert json.loads(json.dumps(summary, allow_nan=False))["requests"]["reasons"]["502"]["app-closed"] == 1


def test_the_activators_own_answers_are_its(tmp_path: Path) -> None:
    """Its record is in the events; the reason has its name."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.902, status=504)
    run.advance(2.0)
    at = run.t - run.now + 1.9
    run.event(
        RequestsEnded(
            t=at, who="activator", status=504, reason="response-timeout", each=[[at, 0.9, 0.0, None]], period_s=0.9
        )
    )
    requests = summary_of(run.finish())["requests"]
    assert requests["reasons"] == {"504": {"activator-response-timeout": 1}}
    assert "in the activator, all of it waiting for a pod" in reason_words(requests["failures"][0])


def test_an_expectation_may_name_a_reason_that_did_not_occur(tmp_path: Path) -> None:
    """Then it is 0, as with statuses."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, status=200)
    run.advance(2.0)
    summary = summary_of(run.finish())
    for name in ("requests.reasons.503.queue-full", "requests.reasons.503", "requests.reasons.502.app-closed"):
        assert parse_expectation(name, "== 0").check(summary).met


def test_the_report_shows_why(tmp_path: Path) -> None:
    """In a table under the requests, and at each dot."""
    run = started(tmp_path / "run")
    run.requests(3, 1.0, 1.001, takes_s=0.5, status=502)
    run.ended(502, "app-broke", *[(1.499, 0.2, 0.0, 0.299)] * 3, why="EOF")
    run.advance(3.0)
    study = read_study(run.finish())
    page = render_html(study, summarize(study))
    assert "the app closed the connection without a whole answer (EOF)" in page
    assert "app closed (request" in page.replace("\\u0020", " ") or "app closed" in page


def test_an_answer_is_the_apps_only_where_every_record_has_its_request(tmp_path: Path) -> None:
    """A record of the same status without a request, a damaged line of ends and a log that is gone leave it open."""

    def run(name: str) -> Logged:
        made = started(tmp_path / name)
        made.requests(1, 1.0, 1.001, takes_s=0.1, status=503)
        made.requests(1, 1.0, 1.001, takes_s=0.1, status=200)
        return made

    whole, stray, damaged, gone = run("whole"), run("stray"), run("damaged"), run("gone")
    stray.ended(503, "queue-full", (1.6, 0, 0, None))
    damaged.log("requests-ended", status=503, reason="queue-full", each=[[None, 0, 0, 0]])
    gone.run.new_log(POD_NAME, "queue-proxy", 0).write_text("")
    gone.advance(1.5)
    gone.event(
        RequestsEnded(
            t=gone.t, who="activator", status=504, reason="response-timeout", each=[[gone.t, 0.9, 0.0, None]]
        )
    )
    for made, reason in ((whole, "app"), (stray, "not-recorded"), (damaged, "not-recorded"), (gone, "not-recorded")):
        made.advance(3.0)
        assert summary_of(made.finish())["requests"]["reasons"] == {"503": {reason: 1}}


def test_reasons_that_read_the_same_are_one(tmp_path: Path) -> None:
    """However many bursts there are of them; what had no answer at the run's end needs no other reason."""
    run = started(tmp_path / "run")
    run.requests(5, 1.0, 1.001, takes_s=1.9, error="unanswered")
    run.advance(3.0)
    summary = summary_of(run.finish())
    (whole,) = summary["requests"]["failure_kinds"]
    assert reason_words(whole) == "still unanswered at the run's end"
    left = {**whole, "reason": "activator-client-left", "by": "activator", "count": 2, "first_s": 1.0, "last_s": 3.0}
    other = {**left, "container": None, "count": 1, "first_s": 0.5, "last_s": 2.0}
    words = "still unanswered in the activator at the run's end"
    kinds = [left, other, {**whole, "count": 2}]
    (merged, rest) = in_words(kinds)
    assert (merged["words"], merged["count"], merged["first_s"], merged["last_s"]) == (words, 3, 0.5, 3.0)
    assert (rest["words"], rest["count"]) == ("still unanswered at the run's end", 2)
    assert reasons_by_outcome({"failure_kinds": kinds}) == {"unanswered": [(3, words)]}
    requests = {**summary["requests"], "failure_kinds": kinds}
    assert (
        client_sentences({"requests": requests})[0]
        == f"Of 5 requests, 3 were {words} and 2 others had no answer then."
    )


def test_requests_that_a_record_has_no_end_of_are_among_the_reasons(tmp_path: Path) -> None:
    """Of a run that was cut off: they were still unanswered when its record ends, and are counted as everywhere."""
    run = started(tmp_path / "run")
    run.requests(5, 1.0, 1.001, takes_s=0.5)
    run.requests(3, 1.5, 1.6, ended=False)
    run.advance(3.0)
    study = read_study(run.cut())
    requests = summarize(study)["requests"]
    (kind,) = requests["failure_kinds"]
    assert (kind["outcome"], kind["reason"], kind["count"]) == ("unanswered", "run-over", 3)
    assert kind["first_s"] == kind["last_s"] == study.duration_s
    assert requests["errors"] == {"unanswered": 3} and requests["reasons"] == {"unanswered": {"run-over": 3}}
    assert any(one.text.startswith("3 requests were still unanswered at the run's end") for one in entries(study))


def test_a_connection_to_a_service_without_a_pod_says_so(tmp_path: Path) -> None:
    """Without an activator nobody holds a request: it is refused once the last pod is to end."""
    run = FakeRun(tmp_path / "run", name="gone", pod=f"{fake_runs.REPLICAS}-aaaaa")
    run.start("sandbox")
    run.start("app", memory_max=64 * MIB)
    run.sample()
    run.requests(2, 0.2, 0.3, status=None, error="refused")
    run.requests(3, 1.5, 1.8, status=None, error="refused")
    run.advance(1.0)
    run.stop("app", "scale-down", 30.0)
    run.advance(2.0)
    study = read_study(run.finish())
    assert "no-pod" not in {one.reason for one in study.requests or []}  # a pod that is no service's stays
    scaled = replace(study, services=[Service(name="app", revision="")])
    reasons = [one.reason for one in give_reasons(scaled) or []]
    assert (reasons.count("no-pod"), reasons[-3:]) == (3, ["no-pod"] * 3)
    kind = {"outcome": "refused", "reason": "no-pod", "by": None}
    assert reason_words(kind) == "refused a connection while there was no pod"


def test_nobody_waits_longer_than_the_load_lasted(tmp_path: Path) -> None:
    """A request that still waited when the load was over counts until then: the pod's end gave it up."""
    run = started(tmp_path / "run")
    run.requests(2, 1.0, 1.001, done_s=3.0, status=None, error="unanswered")
    run.advance(4.0)
    run.log("requests-waited", since=run.t - run.now + 4.0, at=[0], waited=[3_000_000])
    waited = summary_of(run.finish())["requests"]["waited"]
    assert waited["ms"]["max"] == pytest.approx(2000, abs=1)


def test_a_long_reason_is_given_whole_and_one_without_end_is_marked_as_cut(tmp_path: Path) -> None:
    """What is no HTTP is quoted, and what is quoted is what one looks for in a program."""
    run = started(tmp_path / "run")
    long = f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{"x" * 300}"'
    for second, why in ((1, long), (3, "y" * 600)):
        run.requests(1, second, second + 0.001, takes_s=0.5, status=502)
        run.ended(502, "app-broke", (second + 0.499, 0.0, 0.0, 0.4), why=why)
    run.advance(5.0)
    whole, cut = summary_of(run.finish())["requests"]["failures"]
    assert whole["why"] == long
    assert cut["why"].endswith("y…") and len(cut["why"]) == LONGEST_WORDS


def test_an_app_that_was_away_for_several_reasons_is_called_down(tmp_path: Path) -> None:
    """Refused as it ended and while it started again: it was not there at any of these times."""
    run = started(tmp_path / "run")
    for at in (1.9, 5.0):
        run.requests(1, at - 0.1, at, done_s=at, status=502)
    run.advance(2.0)
    run.exit("app", 1)
    run.advance(3.0)
    run.start("app")
    run.advance(4.5)
    for at in (1.899, 4.999):
        run.ended(
            502, "dial-failed", (at, 0.0, 0.0, None), why="dial tcp 127.0.0.1:8080: connect: connection refused"
        )
    run.advance(6.0)
    (kind,) = summary_of(run.finish())["requests"]["failure_kinds"]
    assert (kind["count"], kind["app"]) == (2, "down")
    assert reason_words(kind).endswith("connection refused), while the app was down or not ready")


def test_an_app_that_refuses_connections_as_it_stops_has_its_fate(tmp_path: Path) -> None:
    """A server closes its port on SIGTERM and may then take its whole grace period: it is not there any more."""
    run = started(tmp_path / "run")
    run.requests(1, 2.4, 2.5, done_s=2.5, status=502)
    run.advance(2.0)
    run.stop("app", "liveness", 6.0)
    run.advance(8.0)
    run.exit("app", 137, killed_for="liveness")
    why = "dial tcp 127.0.0.1:8080: connect: connection refused"
    run.ended(502, "dial-failed", (2.499, 0.0, 0.0, None), why=why)
    run.advance(9.0)
    (kind,) = summary_of(run.finish())["requests"]["failure_kinds"]
    assert reason_words(kind).endswith(", as the app was killed for its failing liveness probe")


def test_an_answer_that_broke_off_before_its_first_byte_was_sent_has_its_reason(tmp_path: Path) -> None:
    """The client only saw its connection close; queue-proxy knows that the app had begun an answer."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=0.5, status=None, error="closed")
    run.ended(200, "answer-cut", (1.499, 0.0, 0.0, 0.3), why="unexpected EOF")
    run.advance(4.0)
    (kind,) = summary_of(run.finish())["requests"]["failure_kinds"]
    assert reason_words(kind) == (
        "closed without a byte of answer: the app broke off in the middle of its answer (unexpected EOF), 300 ms "
        "after it was asked"
    )


def test_a_request_that_the_app_had_for_long_is_not_said_to_be_just_refused(tmp_path: Path) -> None:
    """Its connection broke as the app ended, and queue-proxy asked again, as Go does: only that was refused."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=2.0, status=502)
    run.ended(502, "dial-failed", (2.999, 0.0, 0.0, 1.9), why="dial tcp 127.0.0.1:8080: connect: connection refused")
    run.advance(4.0)
    (kind,) = summary_of(run.finish())["requests"]["failure_kinds"]
    assert "connection refused), 1.9 s after it was first asked" in reason_words(kind)


def test_a_client_that_was_reading_the_answer_is_not_said_to_have_left_the_app(tmp_path: Path) -> None:
    """A slow reader of a large answer: the app had done its part."""
    run = started(tmp_path / "run")
    run.requests(1, 1.0, 1.001, takes_s=2.0, status=200, error="timeout")
    run.requests(1, 1.5, 1.501, done_s=3.2, status=200, error="unanswered")
    run.ended(0, "client-left", (3.0, 0.0, 0.0, 2.0), (3.2, 0.0, 0.0, 1.7))
    run.advance(4.0)
    requests = summary_of(run.finish())["requests"]
    assert requests["reasons"] == {
        "timeout": {"client-left-answering": 1},
        "unanswered": {"client-left-answering": 1},
    }
    assert {reason_words(kind) for kind in requests["failure_kinds"]} == {
        "given up by the client while the answer was being sent",
        "still being answered at the run's end",
    }


def test_a_port_is_refused_after_its_container_was_stopped() -> None:
    """Not as it is: until it has ended there is somebody who answers."""
    kind = {"outcome": "refused", "reason": "container-stopped", "by": None, "container": "reader/app"}
    assert reason_words(kind) == "refused a connection after reader/app was stopped"


def test_connections_of_a_worker_that_was_killed_did_not_break_with_its_container() -> None:
    """A child process alone was OOM-killed: runtimes call its container OOMKilled all the same."""
    whole = Instance("app", 0, exited_s=3.0, reason="OOMKilled", oom_ended=True)
    assert _fate(whole) == "oom-killed"
    assert _fate(replace(whole, oom_ended=False)) == "child-oom-killed"
    words = reason_words(
        {"outcome": "closed", "reason": "container-child-oom-killed", "by": None, "container": "web"}
    )
    assert "as a child process of web was OOM-killed" in words
