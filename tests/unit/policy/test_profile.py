"""How heavy a queue-proxy of another make would be: between the points measured, over time, and beside our own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.files.profiles import load_profile
from emu.policy.footprint import Footprint, GiveBack, Heap, Profile, ProfileError, each

KNATIVE = load_profile("knative-1.23")
KERNEL_EACH = 5450
"""Kernel memory of a request, which comes by itself (measured under cgroup v2, Linux 6.1)."""
KERNEL_IDLE = 500_000
"""Kernel memory of the process without requests, from the rule N = (memory.max - 3.9e6) / 60 000."""
MIB = 1 << 20

MEASURED_KIB = [(0, 3400), (100, 9600), (1000, 57_800), (5000, 271_400), (9900, 522_800)]
"""Requests held, and the anonymous memory of the process."""


@pytest.mark.parametrize(("count", "kib"), MEASURED_KIB)
def test_the_profile_gives_what_was_measured(count: int, kib: int) -> None:
    """GETs held by the real one, within 3 %."""
    assert KNATIVE.anon_bytes(count, 0, 0) == pytest.approx(kib * 1024, rel=0.03)


@pytest.mark.parametrize(("limit", "least", "most"), [(32 * MIB, 484, 486), (64 * MIB, 1053, 1055)])
def test_it_reaches_a_limit_where_the_real_one_was_killed(limit: int, least: int, most: int) -> None:
    """Anonymous memory and what the kernel adds meet memory.max within 2 % of the requests that were in flight."""
    count = 0
    while KNATIVE.anon_bytes(count, 0, 0) + KERNEL_IDLE + count * KERNEL_EACH < limit:
        count += 1
    assert 0.98 * least <= count <= 1.02 * most


def test_a_request_with_a_body_costs_more_and_a_waiting_one_less() -> None:
    """63 to 69 kB with a body from 1,000 on; 42 kB for one that waits (8 MB: ten inside, a hundred waiting)."""
    for count in (1000, 2000, 5000, 9900):
        per = (KNATIVE.anon_bytes(0, count, 0) - KNATIVE.idle_anon_bytes) / count
        assert 63_000 <= per <= 69_000
    assert KNATIVE.anon_bytes(10, 0, 100) == pytest.approx(8.0e6, rel=0.05)


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_more_requests_never_need_less(one: int, other: int) -> None:
    """Whatever the points, the sum grows with the count."""
    few, many = sorted((one, other))
    assert KNATIVE.anon_bytes(few, 0, 0) <= KNATIVE.anon_bytes(many, 0, 0)


def test_between_points_the_sum_is_on_a_line() -> None:
    """… and beyond the last and before the first each request costs what it costs there."""
    points = ((10, 100.0), (20, 80.0))
    assert [each(points, count) * count for count in (5, 10, 15, 20, 40)] == [500, 1000, 1300, 1600, 3200]


# (what it shows, [(second, bytes in use, allocated since)], bytes held at the last of them)
HEAP = [
    ("what is in use is held at once", [(0, 100, 0)], 100),
    ("what ended is kept", [(0, 100, 0), (1, 0, 0)], 100),
    ("… and used again without growing", [(0, 100, 0), (1, 20, 0), (2, 100, 0)], 100),
    ("a forced collection lets it go, bit by bit", [(0, 100, 0), (120, 10, 0), (125, 10, 0)], 50),
    ("… down to a little above what is in use", [(0, 100, 0), (120, 10, 0), (500, 10, 0)], 11),
    ("allocating as much as was live collects sooner", [(0, 100, 0), (5, 10, 100), (6, 10, 0)], 90),
    ("allocating less than the least does not", [(0, 100, 0), (5, 10, 30), (6, 10, 0)], 100),
]


@pytest.mark.parametrize(("steps", "held"), [row[1:] for row in HEAP], ids=[row[0] for row in HEAP])
def test_a_heap_gives_back_late(steps: list[tuple[float, float, float]], held: float) -> None:
    """Each line of the table, with a collection after 40 bytes at the least, and 10 bytes a second returned."""
    heap = Heap(GiveBack(growth=2, least_bytes=40, forced_s=120, keeps=1.1, bytes_per_s=10), 0.0)
    found = 0.0
    for now, in_use, allocated in steps:
        heap.allocate(allocated)
        found = heap.hold(in_use, now)
    assert found == pytest.approx(held)


def test_clients_that_hang_up_cost_more_for_a_while() -> None:
    """The burst of cancellations is above what the requests needed, until the next collection."""
    footprint = Footprint(KNATIVE, 0.0)
    for _ in range(400):
        footprint.arrived(False)
    before = footprint.missing(0, 0, 0.1)
    for _ in range(40):
        footprint.left(False, hung_up=True)
    for _ in range(40):
        footprint.arrived(False)
    assert footprint.missing(0, 0, 0.2) == before + 40 * KNATIVE.hang_up_bytes
    for _ in range(400):
        footprint.left(False, hung_up=True)
    footprint.missing(0, 0, 1000.0)
    assert footprint.missing(0, 0, 2000.0) < 0.3 * before


def test_our_own_memory_counts_towards_the_sum_and_is_never_taken_away() -> None:
    """What is added is the rest; where we need more than the real one, nothing is added."""
    footprint = Footprint(KNATIVE, 0.0)
    assert footprint.missing(0, 12_000_000, 0.0) == 0
    for _ in range(484):
        footprint.arrived(False)
    whole = KNATIVE.anon_bytes(484, 0, 0)
    assert footprint.missing(0, 0, 1.0) == whole
    assert footprint.missing(0, 14_000_000, 1.0) == whole - 14_000_000


def test_who_waits_is_counted_as_waiting() -> None:
    """Of a hundred and ten inside, a hundred wait."""
    footprint = Footprint(KNATIVE, 0.0)
    for _ in range(110):
        footprint.arrived(False)
    assert footprint.missing(100, 0, 1.0) == KNATIVE.anon_bytes(10, 0, 100)
    bodied = Footprint(KNATIVE, 0.0)
    for _ in range(110):
        bodied.arrived(True)
    assert bodied.missing(100, 0, 1.0) == KNATIVE.anon_bytes(0, 10, 100)


def test_a_profile_survives_json() -> None:
    """It crosses into the container as JSON, whose keys are text."""
    assert Profile.from_data(json.loads(json.dumps(KNATIVE.to_data()))) == KNATIVE


WRONG = {
    "needs 'waitingBytes'": {"waitingBytes": None},
    "idleAnonBytes of a footprint profile is -1": {"idleAnonBytes": -1},
    "has no 'colour'": {"colour": "red"},
    "requestBytes of a footprint profile must map": {"requestBytes": {}},
    "giveBack of a footprint profile may have": {"giveBack": {"soon": 1}},
    "giveBack.growth of a footprint profile is 'x'": {"giveBack": {"growth": "x"}},
}


@pytest.mark.parametrize("words", WRONG)
def test_a_profile_that_is_wrong_is_refused_by_its_key(words: str) -> None:
    """Missing, negative, unknown, empty."""
    data = {**KNATIVE.to_data(), **WRONG[words]}
    data = {key: value for key, value in data.items() if value is not None}
    with pytest.raises(ProfileError, match=words):
        Profile.from_data(data)
