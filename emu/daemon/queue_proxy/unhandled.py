"""What Go's server answers before any handler sees the request."""

from __future__ import annotations

from emu.daemon.http import http1


def status(head: http1.Head) -> int:
    """Of its answer: to `OPTIONS *`, and to what expects anything but 100; 0 for all else."""
    if head.target == b"*" and head.method == b"OPTIONS":
        return 200
    return 417 if head.expects_else else 0


def answer(status: int, head: http1.Head, last: bool) -> bytes:
    """The answer, in HTTP/1. It is empty, and the headers that its handler sets stand before the date."""
    minor = head.minor
    before, after = b"Content-Length: 0\r\n", b""
    if status == 417:
        before, after = b"Connection: close\r\n", b"" if head.method == b"HEAD" else b"Content-Length: 0\r\n"
    elif last and minor:
        after = b"Connection: close\r\n"
    made = b"HTTP/1.%d %d %b\r\n%bDate: %b\r\n%b\r\n"
    return made % (minor, status, http1.reason(status), before, http1.date(), after)
