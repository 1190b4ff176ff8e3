"""A line of a run's time-ordered log."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from emu.machine import output


@dataclass(frozen=True)
class Entry:
    """One line. `time_s` is None where the order is known and the time is not (a container's own output)."""

    time_s: float | None
    source: str
    """`emu`, `kubelet`, `autoscaler`, `activator`, `kernel`, the runtime (`docker`, `process`), or a container."""
    text: str
    detail: dict[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """As journalctl prints it with `-o short-monotonic`, on the run's clock."""
        stamp = " " * 12 if self.time_s is None else f"{self.time_s:12.6f}"
        first, *more = self.text.split("\n")
        rest = "".join(f"\n{'':15}{line}" for line in more)
        return f"[{stamp}] {self.source}: {first}{rest}"

    def to_json(self) -> str:
        """One JSON object."""
        shown = {name: value for name, value in asdict(self).items() if name != "detail"}
        return output.to_json({**shown, **self.detail})
