"""What `emu run` shows while it runs: steps of the set-up, then the pod and its memory, live.

On a terminal a step under way shows how long it has taken, and the pod is a table that renews itself. Elsewhere a
line is printed when something changed (the phase, the pod's status, a restart, a kill): a log of it reads well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from emu.machine import output
from emu.record.events import SCALED_TO_ZERO
from emu.units import format_bytes

_LONG_S = 2.0
"""From here on a step shows how long it has taken."""
_BAR_CELLS = 24


@dataclass(frozen=True)
class MemoryNow:
    """One container's memory; bytes. None is no limit."""

    container: str
    status: str
    anon: int
    page_cache: int
    shmem: int
    sock: int
    kernel: int
    swap: int
    current: int
    memory_max: int | None
    oom_kills: int


@dataclass(frozen=True)
class Now:
    """One moment of a run."""

    elapsed_s: float
    phase: str
    ready: str
    status: str
    restarts: int
    age_s: float
    sent: int = 0
    in_flight: int = 0
    connecting: int = 0
    """Requests whose connection is not open yet."""
    by_status: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    memory: tuple[MemoryNow, ...] = ()


class Screen:
    """Where a run shows its progress. `to_stderr` when standard output belongs to JSON."""

    def __init__(self, *, to_stderr: bool = False, quiet: bool = False) -> None:
        self.to_stderr = to_stderr
        self.console = output.console(stderr=to_stderr, quiet=quiet, soft_wrap=True, lasting=True)
        self._live: Live | None = None
        self._steps: Live | None = None
        self._shown: tuple[object, ...] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_live()

    def title(self, name: str, rest: str) -> None:
        """The title of what is played from here on."""
        self.console.print(Text.assemble((name, "bold"), rest))

    def step(self, text: str) -> None:
        """A step that begins; on a terminal its time is shown below it until something else is."""
        self.done(text)
        if self.console.is_terminal:
            self._steps = Live(_Elapsed(), console=self.console, refresh_per_second=4, transient=True)
            self._steps.start()

    def done(self, text: str) -> None:
        """Something worth a line that takes no time; what was under way is over."""
        self.end_step()
        self.console.print(Text.assemble(("· ", "dim"), text))

    def event(self, text: str, style: str = "bold red") -> None:
        """Something happened: an OOM kill, a restart."""
        self.console.print(Text.assemble((text, style)))

    def show(self, moment: Now) -> None:
        """The state at a moment."""
        if self.console.is_terminal:
            self.end_step()
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4, transient=True)
                self._live.start()
            self._live.update(_table(moment))
            return
        kills = tuple(memory.oom_kills for memory in moment.memory)
        shown = (moment.phase, moment.ready, moment.status, moment.restarts, kills)
        if shown != self._shown:
            self._shown = shown
            self.console.print(_line(moment))

    def end_step(self) -> None:
        """Take the time of the step under way off the screen: somebody else is about to write there."""
        if self._steps is not None:
            self._steps.stop()
            self._steps = None

    def end_live(self) -> None:
        """Take away what renews itself."""
        self.end_step()
        if self._live is not None:
            self._live.stop()
            self._live = None


class _Elapsed:
    """How long a step has taken, each time it is drawn; nothing while that is not long."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spinner = Spinner("dots")

    def __rich__(self) -> RenderableType:
        elapsed_s = time.monotonic() - self._began
        if elapsed_s < _LONG_S:
            return Text("")
        self._spinner.update(text=Text(f"{elapsed_s:.0f} s", "dim"))
        return self._spinner


def _line(moment: Now) -> str:
    parts = [
        f"{moment.elapsed_s:6.1f} s  {moment.phase}: {moment.ready} {moment.status}, {_restarts(moment.restarts)}",
        _requests(moment),
    ]
    for memory in moment.memory:
        limit = f" of {format_bytes(memory.memory_max)}" if memory.memory_max is not None else ""
        kills = f", {memory.oom_kills} OOM-killed" if memory.oom_kills else ""
        parts.append(f"{memory.container} {format_bytes(memory.current)}{limit}{kills}")
    return "; ".join(parts)


def _requests(moment: Now) -> str:
    outcomes = [f"{status}: {count}" for status, count in sorted(moment.by_status.items())]
    outcomes += [f"{name}: {count}" for name, count in sorted(moment.errors.items())]
    counts = f" ({', '.join(outcomes)})" if outcomes else ""
    connecting = f"{moment.connecting} connecting, " if moment.connecting else ""
    return f"{connecting}sent {moment.sent}, in flight {moment.in_flight}{counts}"


def _restarts(count: int) -> str:
    return "1 restart" if count == 1 else f"{count} restarts"


def _table(moment: Now) -> RenderableType:
    pod = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("READY", "STATUS", "RESTARTS", "AGE", "PHASE", "REQUESTS"):
        pod.add_column(heading)
    calm = ("ContainerCreating", SCALED_TO_ZERO)
    style = "green" if moment.status == "Running" else "yellow" if moment.status in calm else "red"
    pod.add_row(
        moment.ready,
        Text(moment.status, style),
        str(moment.restarts),
        f"{moment.age_s:.0f}s",
        moment.phase,
        _requests(moment),
    )
    memory = Table(box=None, pad_edge=False, header_style="dim")
    for heading in (
        "CONTAINER",
        "STATE",
        "MEMORY",
        "ANON",
        "CACHE",
        "SHMEM",
        "SOCKETS",
        "KERNEL",
        "SWAP",
        "LIMIT",
        "OOM",
    ):
        memory.add_column(heading, justify="left" if heading in ("CONTAINER", "STATE", "MEMORY") else "right")
    for row in moment.memory:
        memory.add_row(
            row.container,
            row.status,
            _bar(row),
            *(format_bytes(size) for size in (row.anon, row.page_cache, row.shmem, row.sock, row.kernel, row.swap)),
            format_bytes(row.memory_max) if row.memory_max is not None else "none",
            Text(str(row.oom_kills), "bold red" if row.oom_kills else "dim"),
        )
    return Group(pod, Text(""), memory)


def _bar(row: MemoryNow) -> Text:
    whole = row.memory_max or max(row.current, 1)
    text = Text()
    used = 0
    for size, style in (
        (row.anon, "red"),
        (row.page_cache, "blue"),
        (row.shmem, "magenta"),
        (row.kernel + row.sock, "yellow"),
    ):
        cells = round(_BAR_CELLS * size / whole)
        cells = max(0, min(cells, _BAR_CELLS - used))
        text.append("█" * cells, style)
        used += cells
    text.append("·" * (_BAR_CELLS - used), "dim")
    return text
