"""A request on its way through queue-proxy, as those see it who count it, log it or hold it up.

Each of them names here what it needs of a request, and so knows nothing of the protocol that it came in.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from emu.daemon.http import http1
    from emu.daemon.http.forward import Route
    from emu.policy.metrics import Outcomes, QueueProxyMetrics
    from emu.policy.timeouts import Timer


class Placed(Protocol):
    """For the record of how it ended: where its time went."""

    begun_at: float
    """When it came."""
    sent_at: float | None
    """When it went to the app."""
    held_s: float
    """From then on, so long it waited for the app to be resumed."""


class Counted(Placed, Protocol):
    """For the statistics and the metrics."""

    head: http1.Head
    status: int
    """The answer's; 0 until there is one."""
    sent_bytes: int
    """Of the answer's body."""

    def outcomes(self, metrics: QueueProxyMetrics) -> Outcomes:
        """Where it is counted, once its status is known."""


class Client(Protocol):
    """Where a request came from."""

    @property
    def transport(self) -> asyncio.Transport:
        """The client's connection."""


class Logged(Protocol):
    """For the request log. It is known there by its identity."""

    head: http1.Head

    @property
    def conn(self) -> Client:
        """Where it came from."""


class Held(Hashable, Protocol):
    """For the gate, which lets it go to the app once that runs."""

    def let_in(self) -> None:
        """The app runs: the request proceeds."""

    def keep_out(self, why: str) -> None:
        """The app could not be resumed in time."""

    def answered_for(self, ready: bool) -> None:
        """A probe of an app that is paused is answered for it."""


class Admitted(Counted, Logged, Held, Protocol):
    """For the admission, which lets it run, ends it in time and lets the next one in its place."""

    over: bool
    """It has left."""
    way: Route | None
    """Where it goes; None for one that does not enter, such as a probe of queue-proxy's own."""

    @property
    def logged_status(self) -> int:
        """The answer's status, or what Go's server would have answered."""

    def dispatch(self, now: float) -> None:
        """Go to the app."""

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Answer it here, whole."""

    def fail(self, status: int, body: bytes) -> None:
        """Answer it here, for the app does not."""

    def timed_out(self, timer: Timer) -> None:
        """One of the timers ran out."""
