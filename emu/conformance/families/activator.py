"""The activator's families: what it reports, and how requests are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emu.policy.stats import RequestStats


def request_accounting(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arrivals and ends → reports; the counting starts at 0."""
    stats = RequestStats(0.0)
    reports = []
    for t, what in given["events"]:
        proxied = what.startswith("proxied-")
        if what == "report":
            made = stats.report(t)
            reports.append(
                [
                    made.average_concurrency,
                    made.average_proxied_concurrency,
                    made.request_count,
                    made.proxied_request_count,
                ]
            )
        elif what.endswith("in"):
            stats.arrived(t, proxied)
        else:
            stats.left(t, proxied)
    return {"reports": reports}


FAMILIES = {"request_accounting": request_accounting}
