"""OOM kills: who died, at whose limit, and what each is known from, in tables, the journal and the picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emu.report.entry import Entry
from emu.report.page.areas import draw_marks
from emu.report.page.canvas import safe
from emu.report.topics.containers import other_ends
from emu.report.topics.kernel_words import kernel_words, oom_blocks
from emu.report.topics.kill_headline import lived_on, victim_words
from emu.report.topics.kill_sentences import sentences, shares_pages
from emu.report.topics.topic import (
    Cell,
    Column,
    Figures,
    Listing,
    MemoryPanel,
    Name,
    Note,
    Part,
    Topic,
    View,
    Words,
    of_pod,
)
from emu.study.model.kills import OomVerdict
from emu.study.model.study import Study
from emu.units import format_bytes


def figures(study: Study) -> Figures:
    """`oom_kills`: each, with all that is known of it."""
    return {"oom_kills": [_all_of(kill) for kill in study.kills]}


def _all_of(kill: OomVerdict) -> dict[str, Any]:
    return {**of_pod(kill), "candidates": [of_pod(one) for one in kill.candidates]}


def kill_parts(view: View) -> Iterator[Part]:
    """A row for each kill, and the kernel's own words; on the terminal a line for each."""
    kills = view.each.kills
    if not kills:
        yield Note("No OOM kill was recorded.", style="missing")
        return
    heads = ("at", "container", "attempt", "ran out", "asked for memory", "killed", "pid", "it held", "in flight",
             "whose", "swap", "evidence", "said otherwise")  # fmt: skip
    numbers = ("at", "attempt", "pid", "in flight")
    columns = tuple(Column(head, number=head in numbers) for head in heads)
    yield Listing(columns, tuple(_row(view.each, kill) for kill in kills), place="page", whole=True)
    blocks = oom_blocks(view.each.kernel_lines)
    for kill in kills:
        yield from kernel_words(kill, blocks, first=kill is kills[0])
    for kill in kills:
        yield from _lines(kill)


def _lines(kill: OomVerdict) -> Iterator[Note]:
    what = "a child of " if kill.child else ""
    limit = "" if kill.limit_bytes is None else f", limit {format_bytes(kill.limit_bytes)}"
    doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
    where = f"{what}{kill.container}, {kill.level} level{limit}"
    yield Note(f"{kill.time_s:10.3f} s  {where}; known from {', '.join(kill.evidence)}{doubts}", "terminal")
    yield from (Note(f"{'':14}{line}", "terminal", "rest") for line in kill.log)


def _row(study: Study, kill: OomVerdict) -> tuple[Cell, ...]:
    limit = "" if kill.limit_bytes is None else f", memory.max {format_bytes(kill.limit_bytes)}"
    return (
        f"{kill.time_s:.3f} s",
        Name(kill.container),
        kill.attempt,
        Words(f"{kill.level}{limit}"),
        kill.invoker,
        f"{kill.victim or 'not known'}{f' (a child; {lived_on(study, kill)})' if kill.child else ''}",
        ", ".join(map(str, kill.pids)) if len(kill.pids) > 1 else kill.pid and str(kill.pid),
        _held(kill),
        kill.in_flight,
        _whose(kill),
        _SWAP.get(kill.swap_left or ""),
        tuple(map(Name, kill.evidence)) or "none",
        ", ".join(kill.contradicts) or None,
    )


_SWAP = {
    "not-allowed": "not allowed",
    "limit": "its limit used up",
    "no-swap": "the machine has none",
    "machine-full": "the machine's was full",
    "some": "some was left",
}


def _whose(kill: OomVerdict) -> str | None:
    """Whose processes held most of it."""
    one = kill.culprit
    if one is None:
        return None
    who = {"main": "its main process", "child": "its children"}.get(one.kind, f"what {one.kind} ran")
    twice = ", shared pages counted for each process" if shares_pages(kill) else ""
    return Words(who if one.rss_bytes is None else f"{who}: {format_bytes(one.rss_bytes)}{twice}")


def _held(kill: OomVerdict) -> str | None:
    named = [("anon-rss", kill.anon_rss_bytes), ("file-rss", kill.file_rss_bytes)]
    named += [("shmem-rss", kill.shmem_rss_bytes or None), ("swap", kill.swap_bytes or None)]
    text = ", ".join(f"{name} {format_bytes(value)}" for name, value in named if value is not None)
    return Words(text) if text else None


def log(study: Study) -> Iterator[Entry]:
    """A line each OOM kill, with the witnesses that it is known from."""
    for kill in study.kills:
        who = victim_words(kill)
        who += " (frozen)" if kill.frozen else ""
        text = f"OOM kill: {who}, {kill.level} level, known from {', '.join(kill.evidence)}"
        doubts = f"; but {', '.join(kill.contradicts)}" if kill.contradicts else ""
        # just after the kernel's own line of it
        yield Entry(kill.time_s + 1e-6, "emu", f"{text}{doubts}", {"container": kill.container, "level": kill.level})


def marks(on: MemoryPanel) -> None:
    """A cross for each kill, a line down through all panels, and the victim's name where there is room."""
    canvas, kills = on.canvas, on.kills
    outline = {"width": 1, "color": "var(--paper)"}
    marker = {"symbol": "x", "size": 11, "color": "var(--kill)", "line": outline}
    at = [(kill.time_s, _kill_text(kill)) for kill in kills]
    draw_marks(canvas, on.panel, "OOM kill", at, on.top * 0.93, marker, "oom-kill")
    taken = [kill.time_s for kill in kills] + [t for t, _ in other_ends(on)]
    for kill in kills:
        canvas.line(kill.time_s, "var(--kill)")
        said = f"OOM kill: {safe(kill.victim or 'victim not known')}"
        width = canvas.width_s(said)
        for side, begin, end in (
            ("left", kill.time_s, kill.time_s + width),
            ("right", kill.time_s - width, kill.time_s),
        ):
            crowded = any(begin < t < end for t in taken)
            if not crowded and begin >= 0 and end <= canvas.end_s:
                shift = 8 if side == "left" else -8
                canvas.words(on.panel, kill.time_s, 0.93, said, colour="var(--kill)", xanchor=side, xshift=shift)
                taken += [begin + width / 2]
                break


def _kill_text(kill: OomVerdict) -> str:
    pid = "" if kill.pid is None else f" (pid {kill.pid})"
    anon = "" if kill.anon_rss_bytes is None else f", anon-rss {format_bytes(kill.anon_rss_bytes)}"
    return f"<b>OOM kill</b>: {safe(kill.victim or 'unknown')}{pid}, limit of the {safe(kill.level)} hit{anon}"


KILLS = Topic("OOM kills", figures, sentences=sentences, more=kill_parts, log=log, marks=marks)
