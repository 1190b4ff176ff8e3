"""What became of each request: the lines of requests.jsonl. Times are CLOCK_MONOTONIC seconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

SENT = "sent"
DONE = "done"


@dataclass(frozen=True)
class RequestSent:
    """A line of requests.jsonl, written when a request's first byte goes out (or was tried to)."""

    id: int
    phase: str
    due: float
    """When it was to be sent by the plan."""
    sent: float
    """When its first byte went out: the connection was open then."""
    begun: float | None = None
    """When the load generator took it up: it opened a connection for it, or wrote it to a kept one. Latency counts
    from here; what lies between `due` and this is the load generator's own lateness. None in records that have no
    such stamp: `due` stands for it there.
    """
    pod: str = ""
    """The name of the pod that it was sent to; empty where it was sent to an activator, and in older records."""
    container: str = ""
    """The container of that pod that it was sent to."""
    revision: str = ""
    """The revision that it was sent to, where a service may have several."""
    ports: list[int] | None = None
    """Of one that was sent to an activator: the client's own port and the activator's, by which the activator knows
    it (`RequestsForwarded`); empty where no connection could be made. None for the others, and in older records.
    """
    e: str = SENT


RequestError = Literal[
    "refused",
    "reset",
    "closed",
    "short-body",
    "timeout",
    "unanswered",
    "bad-response",
    "unreachable",
    "no-descriptors",
    "no-ports",
]
"""refused: no listener. reset: RST. closed: FIN before any byte of the answer. short-body: cut in the middle.
timeout: the client gave up. unanswered: the run ended first. bad-response: not HTTP. unreachable: no route or
the connection attempt timed out. no-descriptors: the load generator had no file descriptor left. no-ports: it had no
local port left.
"""


@dataclass(frozen=True)
class RequestDone:
    """A line of requests.jsonl, written when a request has ended; with `status` or `error`, or both (short-body)."""

    id: int
    done: float
    first_byte: float | None
    status: int | None
    error: RequestError | None
    bytes: int
    """Bytes of the answer's body that arrived."""
    e: str = DONE


def to_line(record: RequestSent | RequestDone) -> str:
    """One JSON line with its newline."""
    return json.dumps(asdict(record), separators=(",", ":")) + "\n"
