"""The freezer daemon's figures for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from emu.policy.metrics import Labels, Series, histogram, written

DURATION_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class FreezerMetrics:
    """Counts since the daemon began; what is frozen now comes from the kernel when it is asked for."""

    def __init__(self) -> None:
        self._actions: Counter[Labels] = Counter()
        self._reclaimed = self._prefetched = 0
        self._durations: dict[Labels, Series] = {}

    def action(self, action: str, status: int, took_s: float) -> None:
        """One was answered."""
        self._actions[("action", action), ("code", str(status))] += 1
        if status == 200:
            series = self._durations.setdefault((("action", action),), Series(DURATION_S))
            series.counts[bisect_left(DURATION_S, took_s)] += 1
            series.sum += took_s

    def reclaimed(self, size: int) -> None:
        """Bytes came back."""
        self._reclaimed += max(0, size)

    def prefetched(self, size: int) -> None:
        """Bytes were read back ahead."""
        self._prefetched += size

    def text(self, frozen: dict[str, int]) -> bytes:
        """What a scrape reads; `frozen` is how many containers of each pod are frozen."""
        return ("\n".join(self._lines(frozen)) + "\n").encode()

    def _lines(self, frozen: dict[str, int]) -> Iterator[str]:
        yield "# HELP emu_freezer_actions_total Requests answered, by action and status."
        yield "# TYPE emu_freezer_actions_total counter"
        for labels, count in sorted(self._actions.items()):
            yield f"emu_freezer_actions_total{written(labels)} {count}"
        name = "emu_freezer_action_duration_seconds"
        yield from histogram(name, "From the request to the kernel's word.", self._durations)
        yield "# HELP emu_freezer_frozen_containers Containers that the kernel says are frozen."
        yield "# TYPE emu_freezer_frozen_containers gauge"
        for pod, count in frozen.items():
            yield f"emu_freezer_frozen_containers{written((('pod', pod),))} {count}"
        yield "# HELP emu_freezer_reclaimed_bytes_total Memory that frozen containers gave back."
        yield "# TYPE emu_freezer_reclaimed_bytes_total counter"
        yield f"emu_freezer_reclaimed_bytes_total {self._reclaimed}"
        yield "# HELP emu_freezer_prefetched_bytes_total Swapped memory that was read back ahead of a resume."
        yield "# TYPE emu_freezer_prefetched_bytes_total counter"
        yield f"emu_freezer_prefetched_bytes_total {self._prefetched}"
