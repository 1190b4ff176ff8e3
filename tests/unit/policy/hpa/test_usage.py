"""What metrics-server makes of a pod's cgroup figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emu.policy.hpa.usage import Point, Points, sample, scraped, usage, working_set

MIB = 2**20


def point(at_s: float, cpu_usec: int, mib: int = 100, started_s: float = 0.0) -> Point:
    """A container at a scrape."""
    return Point(started_s, at_s, cpu_usec, mib * MIB)


def test_cpu_is_between_the_last_two_scrapes() -> None:
    """Rounded up to whole millicores; memory is that of the last scrape; both with its time and the window."""
    known = scraped(Points(), {"app": point(20, 1_000_000)})
    assert sample(known, "cpu") is None
    known = scraped(known, {"app": point(35, 4_000_001, 120)})
    cpu, memory = sample(known, "cpu"), sample(known, "memory")
    assert cpu is not None and (cpu.value, cpu.at_s, cpu.window_s) == (201, 35, 15)
    assert memory is not None and memory.value == 120 * MIB * 1000


def test_a_pod_is_served_when_all_its_containers_are() -> None:
    """A container without two points keeps the whole pod from having a sample; one that is gone does not."""
    known = scraped(scraped(Points(), {"app": point(20, 0)}), {"app": point(35, 0), "queue-proxy": point(35, 0, 20)})
    assert usage(known) is None
    known = scraped(known, {"app": point(50, 3_000_000), "queue-proxy": point(50, 750_000, 20)})
    both, one = sample(known, "cpu"), sample(known, "cpu", "app")
    assert both is not None and both.value == 250
    assert one is not None and one.value == 200
    assert set(usage(scraped(known, {"app": point(65, 3_000_000)})) or ()) == {"app"}


def test_a_new_container_is_served_after_ten_seconds() -> None:
    """From its start on, if it is younger than the resolution; else it waits for a second scrape."""
    young = sample(scraped(Points(), {"app": point(12, 6_000_000)}), "cpu")
    assert young is not None and (young.value, young.window_s) == (500, 12)
    assert sample(scraped(Points(), {"app": point(9, 1)}), "cpu") is None
    assert sample(scraped(Points(), {"app": point(15, 1)}), "cpu") is None


def test_a_restart_starts_from_zero() -> None:
    """Points of two lives are not compared."""
    known = scraped(scraped(Points(), {"app": point(20, 5_000_000)}), {"app": point(35, 9_000_000)})
    again = scraped(known, {"app": point(50, 10, started_s=45.0)})
    assert usage(again) is None
    later = sample(scraped(again, {"app": point(65, 1_500_010, started_s=45.0)}), "cpu")
    assert later is not None and later.value == 100


def test_the_same_point_twice_keeps_the_one_before() -> None:
    """The kubelet may answer with figures that it already gave."""
    known = scraped(scraped(Points(), {"app": point(20, 0)}), {"app": point(35, 3_000_000)})
    same = sample(scraped(known, {"app": point(35, 3_000_000)}), "cpu")
    assert same is not None and (same.value, same.window_s) == (200, 15)


def test_working_set_leaves_out_cold_page_cache() -> None:
    """memory.current less inactive_file, and never below nothing."""
    assert working_set(300, 100) == 200
    assert working_set(100, 300) == 0


@given(st.lists(st.tuples(st.floats(1, 60), st.integers(0, 60_000_000)), min_size=2, max_size=10))
def test_usage_is_never_negative(steps: list[tuple[float, int]]) -> None:
    """Counters that only rise give a sample of 0 or more, over a window above 0."""
    known, at_s, cpu = Points(), 100.0, 0
    for gap_s, used in steps:
        at_s, cpu = at_s + gap_s, cpu + used
        known = scraped(known, {"app": point(at_s, cpu)})
    made = sample(known, "cpu")
    assert made is not None and made.value >= 0 and made.window_s > 0
