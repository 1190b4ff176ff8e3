"""What `emu run` shows while it runs: steps of the set-up, then the pod and its memory, live.

On a terminal a table that renews itself; elsewhere a line a second, so that a log of it reads well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from emu import output
from emu.events import SCALED_TO_ZERO
from emu.units import format_bytes

_LINE_S = 1.0
_BAR_CELLS = 24
_WORTH_TELLING = 2**20


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
    limit: int | None
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
    by_status: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    memory: tuple[MemoryNow, ...] = ()


class Screen:
    """Where a run tells how it goes. `to_stderr` when standard output belongs to JSON."""

    def __init__(self, *, to_stderr: bool = False, quiet: bool = False) -> None:
        self.to_stderr = to_stderr
        self.console = output.console(stderr=to_stderr, quiet=quiet, soft_wrap=True, lasting=True)
        self._live: Live | None = None
        self._line_at = -_LINE_S
        self._shown: tuple[str, str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_live()

    def title(self, name: str, rest: str) -> None:
        """What is played from here on."""
        self.console.print(Text.assemble((name, "bold"), rest))

    def step(self, text: str) -> None:
        """A step of the set-up, or something worth a line."""
        self.console.print(Text.assemble(("· ", "dim"), text))

    def event(self, text: str, style: str = "bold red") -> None:
        """Something happened: an OOM kill, a restart."""
        self.console.print(Text.assemble((text, style)))

    def show(self, moment: Now) -> None:
        """The state at a moment."""
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4, transient=True)
                self._live.start()
            self._live.update(_table(moment))
            return
        shown = (moment.phase, moment.ready, moment.status)
        if shown != self._shown or moment.elapsed_s >= self._line_at + _LINE_S:
            self._shown = shown
            self._line_at = moment.elapsed_s
            self.console.print(_line(moment))

    def end_live(self) -> None:
        """Take the live table away."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _line(moment: Now) -> str:
    parts = [f"{moment.elapsed_s:6.1f} s  {moment.ready} {moment.status}, {_restarts(moment.restarts)}"]
    parts.append(_requests(moment))
    for memory in moment.memory:
        limit = f" of {format_bytes(memory.limit)}" if memory.limit is not None else ""
        kinds = (
            ("anon", memory.anon),
            ("cache", memory.page_cache),
            ("shmem", memory.shmem),
            ("sockets", memory.sock),
            ("kernel", memory.kernel),
            ("swap", memory.swap),
        )
        held = ", ".join(f"{kind} {format_bytes(size)}" for kind, size in kinds if size >= _WORTH_TELLING)
        parts.append(f"{memory.container}: {format_bytes(memory.current)}{limit}" + (f" ({held})" if held else ""))
    return " | ".join(parts)


def _requests(moment: Now) -> str:
    outcomes = [f"{status}: {count}" for status, count in sorted(moment.by_status.items())]
    outcomes += [f"{name}: {count}" for name, count in sorted(moment.errors.items())]
    told = f" ({', '.join(outcomes)})" if outcomes else ""
    return f"sent {moment.sent}, in flight {moment.in_flight}{told}"


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
            format_bytes(row.limit) if row.limit is not None else "none",
            Text(str(row.oom_kills), "bold red" if row.oom_kills else "dim"),
        )
    return Group(pod, Text(""), memory)


def _bar(row: MemoryNow) -> Text:
    whole = row.limit or max(row.current, 1)
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
