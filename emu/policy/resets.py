"""How many streams a client may reset: beginning a request costs the same whether or not anybody waits for it.

A client that opens streams and resets them at once is never stopped by the number that it may have open
(CVE-2023-44487). nghttp2 allows 1,000 and 33 more each second (nghttp2_option_set_stream_reset_rate_limit); Go lets
as many wait for their handlers as four times the open ones, which a server without threads cannot count.
"""

from __future__ import annotations

BURST = 1000
PER_SECOND = 33.0


class ResetBudget:
    """One connection's."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """A stream was reset before its answer was whole; False when that was one too many."""
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND)
        self._at = now
        self._left -= 1
        return self._left >= 0
