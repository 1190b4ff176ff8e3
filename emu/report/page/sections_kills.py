"""The part of the page on OOM kills: whose limit, whose memory, who died, and the kernel's own words."""

from __future__ import annotations

from emu.report.page.html import Markup, at, element, folded, join, kept, section, table, unbroken
from emu.study.model.kills import OomVerdict
from emu.study.model.machine import KernelLine
from emu.study.model.study import Study
from emu.units import format_bytes


def kills_section(study: Study) -> Markup:
    """A row for each kill, and the kernel's own words."""
    if not study.kills:
        said = "No OOM kill was recorded."
        return section("OOM kills", element("p", said, class_="missing"))
    blocks = _oom_blocks(study.kernel_lines)
    heads = ["at", "container", "attempt", "ran out", "asked for memory", "killed", "pid", "it held", "in flight"]
    heads += ["whose", "swap", "evidence", "said otherwise"]
    known = table(heads, [_kill_row(kill) for kill in study.kills], ["at", "attempt", "pid", "in flight"])
    words = [_kernel_words(kill, blocks, first=kill is study.kills[0]) for kill in study.kills]
    return section("OOM kills", known, *words)


def _kill_row(kill: OomVerdict) -> tuple[object, ...]:
    limit = "" if kill.limit_bytes is None else f", memory.max {format_bytes(kill.limit_bytes)}"
    victim = kill.victim or "not known"
    if kill.child:
        victim += " (a child; the container lived on)"
    pids = ", ".join(map(str, kill.pids)) if len(kill.pids) > 1 else kill.pid and str(kill.pid)
    found = [
        kept(kill.container),
        kill.attempt,
        unbroken(f"{kill.level}{limit}"),
        kill.invoker,
        victim,
        pids,
        _held(kill),
    ]
    contradicts = ", ".join(kill.contradicts) or None
    evidence = join(map(kept, kill.evidence), ", ") or "none"
    return (
        at(kill.time_s),
        *found,
        kill.in_flight,
        _whose(kill),
        _SWAP.get(kill.swap_left or ""),
        evidence,
        contradicts,
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
    return who if one.rss_bytes is None else f"{who}: {format_bytes(one.rss_bytes)}"


def _kernel_words(kill: OomVerdict, blocks: list[list[KernelLine]], *, first: bool) -> Markup:
    """The kernel's own block about a kill, or the lines that are left of it."""
    block = next((lines for lines in blocks if kill.pid is not None and _tells_of(lines, kill.pid)), None)
    lines = [log_line(line) for line in block] if block else list(kill.log)
    if not lines:
        return Markup("")
    title = f"{at(kill.time_s)}, {kill.container}: the kernel's own words ({len(lines)} lines)"
    return folded(title, element("pre", "\n".join(lines)), opened=first)


def _held(kill: OomVerdict) -> str | None:
    named = [("anon-rss", kill.anon_rss_bytes), ("file-rss", kill.file_rss_bytes)]
    named += [("shmem-rss", kill.shmem_rss_bytes or None), ("swap", kill.swap_bytes or None)]
    return unbroken(", ".join(f"{name} {format_bytes(value)}" for name, value in named if value is not None)) or None


def _oom_blocks(lines: list[KernelLine]) -> list[list[KernelLine]]:
    """OOM lines cut where someone invoked the killer."""
    blocks: list[list[KernelLine]] = []
    for line in lines:
        if not line.oom:
            continue
        if not blocks or " invoked oom-killer:" in line.text:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _tells_of(lines: list[KernelLine], pid: int) -> bool:
    return any(f"Killed process {pid} (" in line.text for line in lines)


def log_line(line: KernelLine) -> str:
    """A line of the kernel's log as `journalctl -o short-monotonic` has it, on the run's clock."""
    body = line.text.replace("\\x0a", "\n").replace("\n", "\n" + " " * 15)
    return f"[{line.t:12.6f}] {body}"
