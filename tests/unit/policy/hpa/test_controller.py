"""A HorizontalPodAutoscaler from its creation on: when it scrapes and syncs, and what its sentences name."""

from __future__ import annotations

from emu.policy.autoscaling.timing import scaled
from emu.policy.hpa.controller import HpaController
from emu.policy.hpa.replicas import HpaPod
from emu.policy.hpa.spec import Behavior, HpaSpec, Metric, ScalingRules
from emu.policy.hpa.timing import HpaTiming, shortened
from emu.policy.hpa.usage import Point

REQUESTS = {"cpu": {"app": 100, "queue-proxy": 25}, "memory": {"app": None, "queue-proxy": None}}
MIB = 2**20


def pod(name: str = "a", started_s: float = 0.0, ready_s: float | None = 1.0) -> HpaPod:
    """Ready from some time on."""
    ready = "False" if ready_s is None else "True"
    return HpaPod(name, ready=ready, ready_changed_s=ready_s or started_s, started_s=started_s)


def points(at_s: float, cpu_s: float, memory_mib: int = 50) -> dict[str, Point]:
    """The app's; queue-proxy uses nothing."""
    return {
        "app": Point(0.0, at_s, int(cpu_s * 1e6), memory_mib * MIB),
        "queue-proxy": Point(0.0, at_s, 0, 10 * MIB),
    }


def controller(spec: HpaSpec, timing: HpaTiming | None = None, time_scale: float = 1.0) -> HpaController:
    """Created at 0."""
    return HpaController(spec, timing or HpaTiming(), REQUESTS, 0.0, time_scale)


def test_scrapes_and_syncs_have_their_own_times() -> None:
    """The first sync comes a whole period after the creation; ticks that were missed are dropped."""
    made = controller(HpaSpec(5))
    assert (made.next_scrape_s, made.next_sync_s) == (7.5, 15.0)
    made.scrape(7.6, {})
    made.sync(47.0, [pod()], 1)
    assert (made.next_scrape_s, made.next_sync_s) == (22.5, 60.0)


def test_a_burst_is_seen_once_two_scrapes_cover_it() -> None:
    """Until then there is nothing to decide by; the sentence then names the samples' age and their window."""
    made = controller(HpaSpec(5, metrics=(Metric("cpu", target=80),)))
    made.scrape(7.5, {"a": points(7.5, 0.0)})
    blind = made.sync(15.0, [pod()], 1)
    assert (blind.size.replicas, blind.size.how) == (1, "no metrics")
    made.scrape(22.5, {"a": points(22.5, 3.0)})
    seen = made.sync(30.0, [pod()], 1)
    assert (seen.deciding.value, seen.size.replicas) == (160, 2)  # 200m of 125m
    assert seen.why == (
        "cpu is 160 % of the requests, 80 % wanted: 2 = ceil(2 * 1 ready) (sampled 7.5 s before, a mean over 15.0 s)"
    )


def test_memory_counts_by_its_amount_where_a_container_has_no_request() -> None:
    """A share of the requests fails then in the controller's words, and nothing is done."""
    share = controller(HpaSpec(5, metrics=(Metric("memory", target=80),)))
    amount = controller(HpaSpec(5, metrics=(Metric("memory", type="AverageValue", target=20 * MIB * 1000),)))
    for one in (share, amount):
        one.scrape(7.5, {"a": points(7.5, 0.0)})
        one.scrape(22.5, {"a": points(22.5, 0.0)})
    assert "missing request for memory in container app of Pod a" in share.sync(30.0, [pod()], 1).why
    synced = amount.sync(30.0, [pod()], 1)
    assert (synced.deciding.value, synced.size.replicas) == (60 * MIB * 1000, 3)
    assert synced.why.endswith("(sampled 7.5 s before)")


def test_of_several_metrics_the_one_that_asks_for_most_decides() -> None:
    """All are kept, for the record."""
    metrics = (Metric("cpu", target=80), Metric("memory", type="AverageValue", target=20 * MIB * 1000))
    made = controller(HpaSpec(9, metrics=metrics))
    made.scrape(7.5, {"a": points(7.5, 0.0)})
    made.scrape(22.5, {"a": points(22.5, 0.75)})
    synced = made.sync(30.0, [pod()], 1)
    assert [one.proposal.replicas for one in synced.measured] == [1, 3]
    assert synced.deciding.metric.name == "memory" and synced.size.replicas == 3


def test_a_time_scale_divides_every_period_and_window() -> None:
    """The same figures, ten times as fast, lead to the same sizes."""
    rules = ScalingRules(window_s=60.0)
    spec = HpaSpec(5, metrics=(Metric("cpu", target=80),), behavior=Behavior(rules, rules))
    sizes = []
    for scale in (1.0, 10.0):
        made = controller(spec, scaled(HpaTiming(), scale), scale)
        current, found, used_s = 1, [], 0.0
        for tick in range(16):
            at_s = (7.5 + tick * 15) / scale
            used_s += (4.5 if tick < 8 else 0.0) / scale
            made.scrape(at_s, {"a": {"app": Point(-99.0, at_s, int(used_s * 1e6), MIB)}})
            current = made.sync((tick + 1) * 15 / scale, [pod(started_s=-999.0)], current).size.replicas
            found.append(current)
        sizes.append(found)
    assert sizes[0] == sizes[1]
    assert (max(sizes[0]), sizes[0][-1]) == (3, 1)
    short = shortened(HpaSpec(5, behavior=Behavior()), 5.0).behavior
    assert short is not None and short.up is not None
    assert [policy.period_s for policy in short.up.policies] == [3.0, 3.0]
