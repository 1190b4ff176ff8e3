"""What the autoscaler gets: averages weighted by time, counts by arrivals, as Knative's reporter has them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.policy.stats import Report, RequestStats, Stat, stat, varint

# (what it shows, [(second, event)], second of the report, the report); + and - are a request in and out, > and < one
# that came through the activator
GIVEN = [
    ("nothing came", "", 1, Report(0, 0, 0, 0)),
    ("one request for half of the time", "0+ 0.5-", 1, Report(0.5, 0, 1, 0)),
    ("one that stays", "0.75+", 1, Report(0.25, 0, 1, 0)),
    ("two at once for a quarter", "0+ 0.5+ 0.75-", 1, Report(1.25, 0, 2, 0)),
    ("through the activator: in both figures", "0> 0.5<", 1, Report(0.5, 0.5, 1, 1)),
    ("both kinds", "0> 0+ 0.25- 0.5<", 1, Report(0.75, 0.5, 2, 1)),
    ("refused: in and out in the same moment", "0.5+ 0.5-", 1, Report(0, 0, 1, 0)),
    ("a late report is an average over the time that passed", "0+ 1-", 2, Report(0.5, 0, 1, 0)),
    ("a clock that goes back counts as no time", "1+ 0.5+", 2, Report(1, 0, 2, 0)),
    ("no time at all: no average", "0+", 0, Report(0, 0, 1, 0)),
]


def feed(stats: RequestStats, script: str) -> None:
    """Play a script."""
    for word in script.split():
        at, kind = float(word[:-1]), word[-1]
        if kind in "+>":
            stats.arrived(at, kind == ">")
        else:
            stats.left(at, kind == "<")


@pytest.mark.parametrize(("script", "at", "report"), [row[1:] for row in GIVEN], ids=[row[0] for row in GIVEN])
def test_given_then(script: str, at: float, report: Report) -> None:
    """Each line of the table."""
    stats = RequestStats(0.0)
    feed(stats, script)
    assert stats.report(at) == report


def test_a_new_report_keeps_who_is_inside() -> None:
    """Sums and counts are reset; a request that stays is there for the whole of the next second."""
    stats = RequestStats(0.0)
    feed(stats, "0.5> 0.5+")
    assert stats.report(1.0) == Report(1.0, 0.5, 2, 1)
    assert stats.report(2.0) == Report(2.0, 1.0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=30))
def test_the_average_never_exceeds_the_most_that_were_inside(moves: list[tuple[float, bool]]) -> None:
    """Whatever comes, in whatever order of time."""
    stats = RequestStats(0.0)
    most = inside = 0
    for at, comes in moves:
        if comes:
            stats.arrived(at)
            inside += 1
        elif inside:
            stats.left(at)
            inside -= 1
        most = max(most, inside)
    report = stats.report(11.0)
    assert 0 <= report.average_concurrency <= most + 1e-9
    assert stats.concurrency == inside


def test_the_message_is_protobuf_as_the_autoscaler_reads_it() -> None:
    """Field 1 is text, 2 to 6 are doubles, 7 a varint; 69 bytes for the pod of the real one's measurement."""
    message = Stat("app-00001-deployment-0", 1.5, 0.5, 3.0, 1.0, 12.25).encoded()
    assert len(message) == 69
    assert message[:2] == b"\x0a\x16" and message[2:24] == b"app-00001-deployment-0"
    assert [message[24 + 9 * number] for number in range(5)] == [0x11, 0x19, 0x21, 0x29, 0x31]
    values = [struct.unpack_from("<d", message, 25 + 9 * number)[0] for number in range(5)]
    assert values == [1.5, 0.5, 3.0, 1.0, 12.25]
    assert Stat("", timestamp=300).encoded() == b"\x38\xac\x02"


def test_before_the_first_report_all_is_zero() -> None:
    """proto3 writes no zeros: the name alone remains."""
    assert stat(Report(), "pod", 0.0).encoded() == b"\x0a\x03pod"


def test_counts_are_per_second_of_the_period() -> None:
    """Divided by Knative's reporting period of one second, not by the time that really passed."""
    found = stat(Report(2.0, 1.0, 10, 4), "pod", 7.0)
    assert (found.request_count, found.proxied_request_count, found.process_uptime) == (10.0, 4.0, 7.0)


@given(st.integers(0, 2**64 - 1))
def test_varints_are_read_back(value: int) -> None:
    """Seven bits a byte, the lowest first."""
    data = varint(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data)) == value
    assert all(byte & 0x80 for byte in data[:-1]) and not data[-1] & 0x80
