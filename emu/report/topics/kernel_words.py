"""The kernel's own words about a kill: its block of the log, or the lines that are left of it."""

from __future__ import annotations

from collections.abc import Iterator

from emu.report.topics.topic import Log
from emu.study.model.kills import OomVerdict
from emu.study.model.machine import KernelLine


def kernel_words(kill: OomVerdict, blocks: list[list[KernelLine]], *, first: bool) -> Iterator[Log]:
    """The kernel's own block about a kill, or the lines that are left of it."""
    block = next((lines for lines in blocks if kill.pid is not None and _is_about(lines, kill.pid)), None)
    lines = [log_line(line) for line in block] if block else list(kill.log)
    if lines:
        title = f"{kill.time_s:.3f} s, {kill.container}: the kernel's own words ({len(lines)} lines)"
        yield Log(title, tuple(lines), opened=first)


def oom_blocks(lines: list[KernelLine]) -> list[list[KernelLine]]:
    """OOM lines cut where someone invoked the killer."""
    blocks: list[list[KernelLine]] = []
    for line in lines:
        if not line.oom:
            continue
        if not blocks or " invoked oom-killer:" in line.text:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _is_about(lines: list[KernelLine], pid: int) -> bool:
    return any(f"Killed process {pid} (" in line.text for line in lines)


def log_line(line: KernelLine) -> str:
    """A line of the kernel's log as `journalctl -o short-monotonic` has it, on the run's clock."""
    body = line.text.replace("\\x0a", "\n").replace("\n", "\n" + " " * 15)
    return f"[{line.t:12.6f}] {body}"
