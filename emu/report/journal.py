"""The time-ordered log of a run: what its topics have to say, what the kernel said, what containers printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from emu.files.regular import read_lines
from emu.report.entry import Entry
from emu.report.topics.registry import log_of, more_log_of
from emu.report.words import time_scale_words
from emu.study.model.machine import KernelLine
from emu.study.model.study import Study
from emu.study.pods import named

Selection = Literal["notable", "oom", "kernel", "all"]
"""notable: what a person should know of. oom: the kernel's OOM blocks. kernel: all of the kernel's lines. all: the
notable events with the kernel's lines, Docker's events and what containers printed.
"""


def entries(study: Study, selection: Selection = "notable") -> list[Entry]:
    """The chosen lines in order of time."""
    raw, study = study, named(study, by_pod=True)
    if selection in ("oom", "kernel"):
        return [_kernel(line) for line in study.kernel_lines if line.oom or selection == "kernel"]
    placed = [(entry.time_s or 0.0, entry) for entry in (_begin(study), *log_of(study))]
    if selection == "notable":
        own = {
            (line.text, line.kernel_us // 1_000_000): line for line in study.kernel_lines if _is_own_word(study, line)
        }
        placed += [(line.t, _kernel(line)) for line in own.values()]  # a group's first victim is logged twice
    else:
        placed += [(line.t, _kernel(line)) for line in study.kernel_lines]
        placed += [(entry.time_s or 0.0, entry) for entry in (*_of_engine(study), *more_log_of(study))]
        placed += _printed(raw)
    return [entry for _, entry in sorted(placed, key=lambda pair: pair[0])]


def _begin(study: Study) -> Entry:
    """The first line of all."""
    where = (study.where or "place unknown") + (", as processes" if study.machine.runtime == "process" else "")
    faster = f", {words}" if (words := time_scale_words(study.time_scale)) else ""
    return Entry(0.0, "emu", f"run {study.run_id or study.run.path.name} began ({where}{faster})")


def _kernel(line: KernelLine) -> Entry:
    detail = {"kernel_us": line.kernel_us, "read_s": line.read_s, "level": line.level, "sequence": line.sequence}
    return Entry(line.t, "kernel", line.text, detail)


def _is_own_word(study: Study, line: KernelLine) -> bool:
    """Of an OOM block the lines that matter: who asked, the summary, the kill."""
    return line.oom and any(line.text in kill.log for kill in study.kills)


def _of_engine(study: Study) -> Iterator[Entry]:
    """The engine's own events, or the runtime's."""
    source = study.machine.runtime or "docker"
    return (Entry(one.t, source, f"{one.text} {one.subject}", one.detail) for one in study.docker_events)


def _printed(study: Study) -> list[tuple[float, Entry]]:
    """What each container instance printed, at its end: its log has no time stamps of emu's."""
    found: list[tuple[float, Entry]] = []
    for one in study.instances:
        try:
            text = b"".join(read_lines(study.run.container_log(one.pod, one.container, one.attempt)))
        except OSError:
            continue
        at = study.duration_s if one.exited_s is None else one.exited_s
        detail = {"container": one.container, "attempt": one.attempt}
        lines = text.decode(errors="replace").splitlines()
        found += [(at, Entry(None, f"{one.container}.{one.attempt}", line, detail)) for line in lines]
    return found
