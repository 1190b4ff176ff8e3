"""Requests: what became of them and why, how long that took, and who waited for a place in the app."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.page.canvas import MOST_POINTS, REQUEST_LEGEND, Canvas
from emu.report.page.downsample import keep_peaks, nice_step
from emu.report.topics.latency import HOW, latency_panel, latency_sentences, latency_table
from emu.report.topics.reasons import brief, in_words, reason_words, reasons_by_outcome, wait_sentences
from emu.report.topics.topic import Cell, Column, Drawing, Figures, Listing, Note, Part, Topic, View, Words
from emu.report.topics.traffic import STATUS, Traffic, end_of, kind_of, traffics
from emu.report.words import (
    all_of,
    asked_pods,
    capital,
    count,
    is_late,
    late_text,
    latency_cells,
    listed,
    pod_words,
    share,
)
from emu.study.measures import SHARES, percentile
from emu.study.model.requests import Request
from emu.study.model.study import Study
from emu.study.pods import named, workload
from emu.study.reasons import SERVER_ERROR
from emu.study.reasons_summary import failure_kinds, failures
from emu.study.request_figures import LATE_S, request_figures
from emu.study.requests import UNANSWERED
from emu.units import format_seconds, format_step

MOST_BURSTS = 100
"""Bursts of failed requests in the report."""


def figures(study: Study) -> Figures:
    """`requests`: all of the run's."""
    words = named(study)
    whole = request_figures(words, words.requests, 0.0, study.duration_s)
    return {"requests": {**whole, "failures": failures(words), "failure_kinds": failure_kinds(words)}}


def sentences(study: Study, summary: Figures) -> list[str]:
    """How they ended, how long they took, and who waited."""
    return [*client_sentences(summary), *wait_sentences(summary)]


def parts(view: View) -> Iterator[Part]:
    """Of each phase, where there are several, and of the whole run."""
    if not view.study.requests:
        said = "No requests were recorded." if view.study.requests is None else "No requests were sent."
        yield Note(said, style="missing")
        return
    known = view.summary["requests"]
    phases = view.summary["phases"] if len(view.summary["phases"]) > 1 else {}
    scopes = [
        *((name, phase["requests"]) for name, phase in phases.items()),
        *asked_pods(view.summary),
        ("all", known),
    ]
    scopes = [(name, one) for name, one in scopes if one["sent"]]
    yield _outcome_table(scopes)
    yield latency_table(scopes)
    yield Note(HOW, style="hint")
    yield from _reasons(known)
    yield _waits(scopes)


_Scopes = list[tuple[str, dict[str, Any]]]


def _outcome_table(scopes: _Scopes) -> Listing:
    late = any(is_late(one) for _, one in scopes)
    heads = (
        "phase",
        "sent",
        "answered",
        Column("by status", number=False),
        Column("errors", number=False),
        *((Column("sent late", number=False),) if late else ()),
        "most in flight",
    )
    rows = tuple(
        (
            name,
            one["sent"],
            one["answered"],
            _counts(one["by_status"]),
            _counts(one["errors"]),
            *((late_text(one),) if late else ()),
            one["in_flight_peak"],
        )
        for name, one in scopes
    )
    return Listing(heads, rows, whole=True)


def _reasons(known: dict[str, Any]) -> Iterator[Listing]:
    """Why requests were not answered well: a row for each reason, and on the page for each burst."""
    heads = ("ended", "requests", "first", "last", Column("why", number=False))
    kinds, bursts = in_words(known["failure_kinds"] or []), known["failures"] or []
    yield Listing(heads, tuple(map(_reason, kinds)), title="Why requests were not answered well", whole=True)
    if len(bursts) > len(kinds):
        shown = bursts[:MOST_BURSTS]
        more = "" if len(shown) == len(bursts) else f", the first {len(shown)}"
        title = f"each burst of them ({len(bursts)}{more})"
        yield Listing(
            heads,
            tuple(_reason({**one, "words": reason_words(one)}) for one in shown),
            title=title,
            folded=True,
            place="page",
        )


def _reason(one: dict[str, Any]) -> tuple[Cell, ...]:
    first, last = (f"{one[name]:.3f} s" for name in ("first_s", "last_s"))
    return (one["outcome"], f"{one['count']:,}", first, last, Words(one["words"]))


def _waits(scopes: _Scopes) -> Listing:
    """How long requests waited for a place in the app."""
    rows = tuple(
        (name, waited["count"], waited["most"], *latency_cells(waited["ms"]))
        for name, one in scopes
        if (waited := one.get("waited")) and waited["count"]
    )
    heads = ("phase", "waited", "most at once", *SHARES)
    return Listing(heads, rows, title="Waited for a place in the app (containerConcurrency)", whole=True)


def _counts(counts: dict[str, int] | None) -> str | None:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items()) if counts else None


AT_ONCE_S = 0.1
"""An answer within this is one that came at once."""
MOST_FAILURES = 3
"""So many ways in which requests failed are in the headline."""
FEW = 100
"""Of fewer requests the number is said, not a share."""
SLOW_SHARE = 0.1
"""A machine that is late with more than this share of a phase's requests is too slow for it."""
TOO_SLOW = "This machine is too slow for the scenario"
BUSY_SHARE = 0.2
"""A machine whose recorder is late with more than this share of its samples has other things to do."""
SELDOM_SHARE = 0.4
"""So is one whose recorder took less than this share of the samples that it was to take: each costs it too much."""
CUT_SHORT = "cut-short"
_SEEN = {
    CUT_SHORT: "were answered and cut short",
    "refused": "were refused a connection",
    "reset": "were reset",
    "closed": "were closed without a byte of answer",
    "short-body": "were cut off midway",
    "timeout": "were given up by the client (timeout)",
    "unanswered": "had no answer when the run ended",
    "bad-response": "were answered with something that is not HTTP",
    "unreachable": "could not reach the pod",
    "no-descriptors": "were never sent, as the load generator had no file descriptor left",
    "no-ports": "were never sent, as the load generator had no local port left",
}


def client_sentences(summary: dict[str, Any]) -> list[str]:
    """How many requests ended how, and when."""
    requests = summary["requests"]
    if not requests["sent"]:
        return []
    return [*_outcomes(requests, ended=summary.get("ended", True)), *latency_sentences(requests)]


def _saw(name: str, *, ended: bool) -> str:
    """What a client saw of an error. `ended`: the run did; of one that was cut off only the record is over."""
    return _SEEN.get(name, name) if ended or name != UNANSWERED else "had no answer when the record ended"


def _outcomes(requests: dict[str, Any], *, ended: bool) -> list[str]:
    """How many ended how and why: the short ones in one sentence, then one for each reason that takes more words."""
    ends = [(name, number, f"were answered {name}") for name, number in requests["by_status"].items()]
    ends += [(name, number, _saw(name, ended=ended)) for name, number in requests["errors"].items()]
    known = reasons_by_outcome(requests)
    seen: list[str] = []
    for name, number, plain in ends:
        reasons = known.get(name, [])
        seen += [_number(of_it, f"were {words}") for of_it, words in reasons]
        rest = int(number) - sum(of_it for of_it, _ in reasons)
        if rest > 0:
            if reasons and name == "unanswered":  # the run's end is the reason, wherever they were
                seen.append("1 other had no answer then" if rest == 1 else f"{rest:,} others had no answer then")
            elif reasons and name == "timeout":  # the client's patience is
                seen.append("1 other was given up, too" if rest == 1 else f"{rest:,} others were given up, too")
            elif name.isdigit() and int(name) < SERVER_ERROR:
                seen.append(_number(rest, f"{plain} in full" if reasons else plain))
            else:
                seen.append(_number(rest, f"{plain} for other or unknown reasons" if reasons else plain))
    if len(seen) == 1:
        whole = all_of(int(requests["sent"]))
        return [f"{capital(whole)} {seen[0].split(' ', 1)[1]}."]
    long = [words for words in seen if ": " in words]
    short = [words for words in seen if words not in long]
    first = listed(short) if short else long.pop(0)
    return [f"Of {count(requests['sent'], 'request')}, {first}.", *(f"{words}." for words in long)]


def _number(number: int, words: str) -> str:
    return f"{number:,} {_was(number, words)}"


def bound_headline(study: Study) -> str:
    """That a phase reached its bound and what it waited for had not come, and whether that is because this machine is
    too slow; empty where all came.
    """
    for phase in study.phases:
        if phase.met is not False:
            continue
        unmet = f"ended before what it waited for ({phase.waits_for})"
        bound = f"after {format_seconds(phase.bound_s)} phase {phase.name} {unmet}"
        mine = [one for one in study.requests or [] if one.phase == phase.name]
        in_time = sum((one.late_s or 0.0) < LATE_S for one in mine)
        asked = len(mine) + phase.unsent
        if asked and in_time <= (1 - SLOW_SHARE) * asked:
            rest = f" and {phase.unsent:,} not at all" if phase.unsent else ""
            return f"{TOO_SLOW}: it sent {in_time:,} of {count(asked, 'request')} in time{rest}, and {bound}. "
        return f"{capital(bound)}{_busy(study)}. "
    return ""


def _busy(study: Study) -> str:
    """That this machine had other things to do, where its recorder came to its samples late or seldom. Of several
    pods the recorder takes fewer on an idle machine too.
    """
    cost = study.recorder
    if cost is None or not cost.samples:
        return ""
    if cost.late > BUSY_SHARE * cost.samples:
        return f"; this machine was busy: {share(cost.late, cost.samples)} of the samples were late"
    wanted = int(study.duration_s / cost.interval_s) if cost.interval_s > 0 else 0  # 0: the record is damaged
    if len(study.pods) > 1 or cost.samples >= SELDOM_SHARE * wanted:
        return ""
    return f"; this machine was busy: it took {cost.samples:,} samples of each cgroup, and {wanted:,} were wanted"


def answers_headline(study: Study) -> list[str]:
    """The headline's word on answers: how many requests failed, how and mostly why, or that all went well."""
    requests = study.requests or []
    if not requests:
        return []
    failed = Counter(name for one in requests if (name := _failed(one)))
    if failed.keys() - {UNANSWERED}:
        return [_failures(study, requests, failed)]
    whole, answered = len(requests), len(requests) - failed[UNANSWERED]
    why = brief(study, [one for one in requests if one.error == UNANSWERED])
    if not answered:
        why = f" ({why})" if why else ""
        return [
            f"the one request was not answered{why}"
            if whole == 1
            else f"none of {whole:,} requests was answered{why}"
        ]
    who = all_of(whole) if answered == whole else f"{answered:,} of {whole:,} requests"
    others, over = "others" if failed[UNANSWERED] > 1 else "other", "run" if study.ended else "record"
    rest = f", the {others} not by the {over}'s end ({why})" if why else ""
    return [f"{who} {'was' if answered == 1 else 'were'} answered{rest}"]


def failures_headline(study: Study) -> list[str]:
    """The same; nothing where no request failed."""
    return (
        answers_headline(study) if any(_failed(one) not in ("", UNANSWERED) for one in study.requests or ()) else []
    )


def failed_of_all(study: Study) -> str:
    """`12 of 40 requests`, those that failed; empty where none did."""
    requests = study.requests or []
    failed, whole = sum(_failed(one) not in ("", UNANSWERED) for one in requests), len(requests)
    return "" if not failed else all_of(whole) if failed == whole else f"{failed:,} of {count(whole, 'request')}"


def _failed(request: Request) -> str:
    """Its error, a status that is the server's fault, or that its answer was cut short without the client seeing it;
    empty where none is so.
    """
    if request.error is None and (request.status or 0) < SERVER_ERROR:
        return CUT_SHORT if request.end is not None else ""
    return request.error or str(request.status)


def _failures(study: Study, requests: list[Request], failed: Counter[str]) -> str:
    """`3 of 40 requests were answered 502 and 2 were reset`: the most frequent first."""
    (first, number), *others = failed.most_common(MOST_FAILURES)
    whole = len(requests)
    part = share(number, whole) if number > 1 and whole >= FEW else f"{number:,}"
    who = all_of(whole) if number == whole else f"{part} of {count(whole, 'request')}"
    clauses = [f"{who} {_was(number, _ended(study, requests, first))}"]
    clauses += [f"{other:,} {_was(other, _ended(study, requests, name))}" for name, other in others]
    left = failed.total() - sum(number for _, number in failed.most_common(MOST_FAILURES))
    return listed([*clauses, *([f"{left:,} failed in other ways"] if left else [])])


def _was(number: int, words: str) -> str:
    return words.replace("were ", "was ", 1) if number == 1 and words.startswith("were ") else words


def _ended(study: Study, requests: list[Request], name: str) -> str:
    """How those ended that failed alike, and why most of them did."""
    mine = [one for one in requests if _failed(one) == name]
    why = brief(study, mine)
    if name == "timeout" and why:
        return f"were given up by the client ({why})"
    text = _saw(name, ended=study.ended)
    if name.isdigit():
        taken = sorted(one.latency_s for one in mine if one.latency_s is not None)
        text = f"were answered {name}{' at once' if (percentile(taken, 0.5) or 0.0) <= AT_ONCE_S else ''}"
    return f"{text} ({why})" if why else text


def log(study: Study) -> Iterator[Entry]:
    """Requests that were not answered well: each burst of one kind a line, at its first."""
    for burst in failures(study) or ():
        number, until = int(burst["count"]), float(burst["last_s"])
        text = f"{count(number, 'request')} {'was' if number == 1 else 'were'} {reason_words(burst)}"
        pod = str(burst["pod"] or "")
        notes = [pod_words(study, pod)] if pod != workload(pod) and len(study.pods) > 1 else []
        notes += [f"until {until:.3f} s"] if number > 1 else []
        text += f" ({', '.join(notes)})" if notes else ""
        yield Entry(float(burst["first_s"]), str(burst["by"] or "clients"), text, burst)


def panels(drawing: Drawing) -> None:
    """In flight, rate and status, latency: of each workload by itself, and below that of each of its pods."""
    canvas, study = drawing.canvas, drawing.study
    if not study.requests:
        said = "No requests were recorded" if study.requests is None else "No requests were sent"
        canvas.missing(f"{said}, so there is no traffic to draw.")
        return
    for traffic in traffics(drawing):
        if traffic.curve.t:
            _in_flight(canvas, traffic)
        if not traffic.part:
            _rate(canvas, traffic)
        latency_panel(canvas, traffic)


def _in_flight(canvas: Canvas, traffic: Traffic) -> None:
    curve = traffic.curve
    rows = keep_peaks(curve.t, [curve.n], canvas.bucket_s, MOST_POINTS)
    peak = max(curve.n)
    few = 3 if traffic.part else 4
    ticks: dict[str, Any] = {"dtick": 1} if peak <= few else {"nticks": few}
    axis = {"range": [0, max(1, peak) * 1.14], "tickformat": ",d", **ticks}
    title = f"<b>requests in flight</b>{traffic.whose} · at most {peak:,}"
    panel = canvas.panel(title, 50 if traffic.part else 84, **axis)
    canvas.trace(
        panel, name="in flight", x=[*(round(curve.t[row], 6) for row in rows), canvas.end_s],
        y=[*(curve.n[row] for row in rows), curve.n[-1]], mode="lines", fill="tozeroy",
        line={"width": 1.2, "shape": "hv", "color": "var(--traffic)"}, fillcolor="var(--traffic-fill)",
        hovertemplate="%{y:,} in flight<extra></extra>", meta={"kind": "in-flight"},
    )  # fmt: skip


def _rate(canvas: Canvas, traffic: Traffic) -> None:
    """Ends by kind as stacked bars, and what was sent as a line."""
    requests = traffic.requests
    step = nice_step(canvas.end_s / 150)
    count = math.ceil(canvas.end_s / step)
    ended: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    sent = [0] * count
    for request in requests:
        sent[_bucket(request.sent_s, step, count)] += 1
        ended[kind_of(request)][_bucket(end_of(request, canvas.end_s), step, count)] += 1
    top = max([sum(column) for column in zip(*ended.values(), strict=True)] + sent) / step
    title = f"<b>requests per second</b>{traffic.whose} by status, in steps of {format_step(step)}"
    axis = {"range": [0, top * 1.14], "nticks": 4, "ticksuffix": "/s", "tickformat": ",~g"}
    panel = canvas.panel(title, 110, **axis)
    middle = [round((i + 0.5) * step, 6) for i in range(count)]
    for kind, name, colour, _ in STATUS:
        if kind in ended:
            canvas.trace(
                panel, REQUEST_LEGEND, type="bar", name=name, x=middle, y=[n / step for n in ended[kind]],
                width=step * 0.94, marker=_bar(kind, colour, ended[kind]), customdata=ended[kind],
                hovertemplate=f"{name}: %{{customdata:,}}, %{{y:,.4~r}}/s<extra></extra>",
                meta={"kind": "rate", "of": kind},
            )  # fmt: skip
    canvas.trace(
        panel, REQUEST_LEGEND, name="sent", x=[round(i * step, 6) for i in range(count + 1)],
        y=[*(n / step for n in sent), sent[-1] / step], mode="lines", meta={"kind": "sent"},
        line={"width": 1.2, "color": "var(--ink)", "shape": "hv"}, hovertemplate="sent: %{y:,.4~r}/s<extra></extra>",
    )  # fmt: skip


def _bar(kind: str, colour: str, counts: list[int]) -> dict[str, Any]:
    """Neighbours differ by brightness; where that is not enough, one of them is hatched."""
    if kind not in ("4xx", "error"):
        return {"color": colour, "line": {"width": 0}}
    hatch = {"shape": "/" if kind == "4xx" else "x", "fgcolor": colour, "bgcolor": "var(--paper)", "size": 4}
    # Outlined, as a bar may be narrower than its hatches are apart.
    outline = {"width": [1 if count else 0 for count in counts], "color": colour}
    return {"color": colour, "line": outline, "pattern": {**hatch, "fillmode": "overlay"}}


def _bucket(t: float, step: float, count: int) -> int:
    return min(max(int(t / step), 0), count - 1)


REQUESTS = Topic("Requests", figures, sentences=sentences, more=parts, log=log, panels=panels)
