"""What the activator reports to the autoscaler, and how often it probes a pod.

Sources: Knative's pkg/activator/net/throttler.go and pkg/activator/handler/concurrency_reporter.go. Times are seconds
on one clock that only the caller reads.
"""

from __future__ import annotations

import math

from emu.policy.stats import Report, RequestStats

PROBE_EVERY_S = 0.2
"""From one probe of a pod that is not known to be healthy to the next (revision_backends.go, probeFrequency)."""
PROBE_LIMIT_S = 0.3
"""How long one may take (probeTimeout)."""


def next_probe_at(began: float, now: float, ticker: float, every_s: float) -> float:
    """When a pod is asked again whose probe `began` and failed: as the ticker, started at `ticker`, ticks next; at
    once if it has ticked meanwhile (revision_backends.go, revisionWatcher.run).
    """
    ticks = math.floor((began - ticker) / every_s + _ON_TIME) + 1
    return max(now, ticker + ticks * every_s)


_ON_TIME = 0.01
"""A probe that begins this part of a period before a tick belongs to it: a loop may wake up early."""


class Reporter:
    """Requests under way in the activator, waiting or forwarded, as it reports them each second."""

    def __init__(self, now: float) -> None:
        self._stats = RequestStats(now)
        self.came = self._stats.arrived
        """(now): a request came, and it is `known` that there are some."""
        self.left = self._stats.left
        """(now): a request is over."""
        self.known = False
        """The autoscaler knows that there are requests; else the next one is the first, and reported at once."""
        self._sent_at_once = False

    @property
    def inside(self) -> int:
        """How many are under way."""
        return self._stats.concurrency

    def arrived(self, now: float) -> bool:
        """A request came; whether it is to be reported at once, as a concurrency of 1."""
        first = not self.known
        if first:
            self._stats.report(now)
            self.known = self._sent_at_once = True
        self._stats.arrived(now)
        return first

    def report(self, now: float) -> float | None:
        """The mean number under way since the last report, as `cut` has it."""
        report = self.cut(now)
        return None if report is None else report.average_concurrency

    def cut(self, now: float) -> Report | None:
        """The period since the last report, less what was reported at once. None: there is nothing to report. A
        second without any request is reported once, as 0.
        """
        if not self.known:
            return None
        report = self._stats.report(now)
        if report.average_concurrency == 0.0 and not self._stats.concurrency:
            self.known = False
        if not self._sent_at_once:
            return report
        self._sent_at_once = False
        return Report(max(report.average_concurrency - 1.0, 0.0), 0.0, report.request_count - 1)
