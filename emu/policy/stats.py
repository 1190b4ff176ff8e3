"""What queue-proxy reports to the autoscaler: how many requests were inside on average, and how many came.

Rules from Knative's networking/pkg/http/stats/request.go and pkg/queue/protobuf_stats_reporter.go. Times are seconds
on one clock that only the caller reads.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

REPORT_PERIOD_S = 1.0
"""Knative's reportingPeriod: counts are divided by it, not by the time that really passed."""


class Report(NamedTuple):
    """One period. The averages are weighted by time; the counts are arrivals."""

    average_concurrency: float = 0.0
    average_proxied_concurrency: float = 0.0
    request_count: int = 0
    proxied_request_count: int = 0


class RequestStats:
    """The requests inside, refused ones included for the moment that they take; probes never come here.

    A proxied request (it came through the activator) counts among all requests and among the proxied ones.
    """

    __slots__ = (
        "_arrivals",
        "_latest",
        "_proxied_arrivals",
        "_proxied_seconds",
        "_seconds",
        "_since",
        "concurrency",
        "proxied_concurrency",
    )

    def __init__(self, now: float) -> None:
        self.concurrency = 0
        self.proxied_concurrency = 0
        self._begin(now)

    def _begin(self, now: float) -> None:
        """A period begins, with those that are inside."""
        self._since = self._latest = now
        self._seconds = self._proxied_seconds = 0.0
        """How far into the period those that went out did so, less how far into it the arrivals were."""
        self._arrivals = self._proxied_arrivals = 0

    def arrived(self, now: float, proxied: bool = False) -> None:
        """A request came in."""
        if now > self._latest:
            self._latest = now
        else:
            now = self._latest
        self.concurrency += 1
        self._arrivals += 1
        self._seconds -= now - self._since
        if proxied:
            self.proxied_concurrency += 1
            self._proxied_arrivals += 1
            self._proxied_seconds -= now - self._since

    def left(self, now: float, proxied: bool = False) -> None:
        """A request went out, answered or not."""
        if now > self._latest:
            self._latest = now
        else:
            now = self._latest
        self.concurrency -= 1
        self._seconds += now - self._since
        if proxied:
            self.proxied_concurrency -= 1
            self._proxied_seconds += now - self._since

    def report(self, now: float) -> Report:
        """The period that ends now; the next one begins with the requests that are inside."""
        now = max(now, self._latest)
        elapsed = now - self._since
        report = Report(
            self._average(self._seconds, self.concurrency, elapsed),
            self._average(self._proxied_seconds, self.proxied_concurrency, elapsed),
            self._arrivals,
            self._proxied_arrivals,
        )
        self._begin(now)
        return report

    @staticmethod
    def _average(seconds: float, inside: int, elapsed: float) -> float:
        return max(0.0, seconds / elapsed + inside) if elapsed > 0 else 0.0


class Stat(NamedTuple):
    """The message that the autoscaler reads (pkg/autoscaler/metrics/stat.proto). Counts are per second."""

    pod_name: str
    average_concurrent_requests: float = 0.0
    average_proxied_concurrent_requests: float = 0.0
    request_count: float = 0.0
    proxied_request_count: float = 0.0
    process_uptime: float = 0.0
    timestamp: int = 0
    """0 from queue-proxy; only the activator sets it."""

    def encoded(self) -> bytes:
        """As protobuf. A field at its default is not written, as in proto3."""
        name = self.pod_name.encode()
        parts = [b"\x0a" + varint(len(name)) + name] if name else []
        doubles = (
            self.average_concurrent_requests,
            self.average_proxied_concurrent_requests,
            self.request_count,
            self.proxied_request_count,
            self.process_uptime,
        )
        for number, value in enumerate(doubles, start=2):
            if value:
                parts.append(struct.pack("<Bd", number << 3 | 1, value))
        if self.timestamp:
            parts.append(b"\x38" + varint(self.timestamp))
        return b"".join(parts)

    @classmethod
    def decoded(cls, data: bytes) -> Stat:
        """What `encoded` gives, less the pod's name and the stamp; unknown fields are passed over. ValueError for
        what is no message.
        """
        values: dict[int, float] = {}
        at = 0
        try:
            while at < len(data):
                tag, at = _read_varint(data, at)
                size, at = _read_varint(data, at) if tag & 7 == _BYTES else (8, at)
                if tag & 7 == _DOUBLE:
                    values[tag >> 3] = struct.unpack_from("<d", data, at)[0]
                elif tag & 7 == _VARINT:
                    _, at = _read_varint(data, at)
                    continue
                at += size
        except (IndexError, struct.error):
            raise ValueError("the message ends in the middle of a field") from None
        concurrent, proxied, count, proxied_count, uptime = (values.get(number, 0.0) for number in range(2, 7))
        return cls("", concurrent, proxied, count, proxied_count, uptime)


_VARINT, _DOUBLE, _BYTES = 0, 1, 2
"""Protobuf's wire types."""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def varint(value: int) -> bytes:
    """A number of protobuf's variable length, the negative ones in ten bytes."""
    value &= 2**64 - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def stat(report: Report, pod_name: str, uptime_s: float, period_s: float = REPORT_PERIOD_S) -> Stat:
    """The message for a period's report."""
    return Stat(
        pod_name,
        report.average_concurrency,
        report.average_proxied_concurrency,
        report.request_count / period_s,
        report.proxied_request_count / period_s,
        uptime_s,
    )
