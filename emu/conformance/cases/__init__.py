"""The wire cases, by topic. Each says how it is known (`Case.known`): seen on Knative's own queue-proxy, read in its
sources or Go's, or chosen; where `why_ours` is set, emu's queue-proxy is expected to differ from the real one.
"""

from __future__ import annotations

from emu.conformance.case import Case
from emu.conformance.cases import (
    bodies,
    breaker,
    failures,
    headers,
    informational,
    plain,
    probes,
    refused,
    sniffing,
    timeouts,
    tls,
    upgrades,
)

_TOPICS = (
    plain,
    bodies,
    sniffing,
    headers,
    informational,
    refused,
    failures,
    timeouts,
    breaker,
    probes,
    upgrades,
    tls,
)
CASES: tuple[Case, ...] = tuple(case for topic in _TOPICS for case in topic.CASES)

__all__ = ["CASES"]
