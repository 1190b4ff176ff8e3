"""What holds of the kubelet's decisions whatever a pod asks for; the cases of its own code are played by
test_decisions.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emu.policy.effective import MEMORY, Resources
from emu.policy.golang import format_seconds, parse_seconds
from emu.policy.kubelet import eviction
from emu.policy.kubelet.actuation import Actuation, PodNow, actuate
from emu.policy.kubelet.cpu import cpu_weight, runtime_cpu_weight
from emu.policy.kubelet.ending import ending, pod_grace_s
from emu.policy.kubelet.memory import MemoryQos, memory_high, swap_max
from emu.policy.kubelet.pod import Container, Pod, stored
from emu.policy.kubelet.resizing import ResizedContainer, ResizedPod, Sizes, refusals
from emu.policy.kubelet.tabular import aligned
from emu.policy.kubelet.thresholds import ThresholdError, ThresholdSettings, thresholds
from emu.policy.kubelet.version import parse_version
from emu.policy.qos import oom_score_adj, qos_class
from emu.policy.quantity import parse_quantity

GIB = 2**30
amounts = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.integers(0, 8 * GIB))


@st.composite
def _containers(draw: st.DrawFn) -> Container:
    limits, requests = draw(amounts), draw(amounts)
    requests = {name: min(value, limits.get(name, value)) for name, value in requests.items()}
    return Container(draw(st.text("abc", min_size=1)), Resources(requests, limits), draw(st.booleans()))


pods = st.builds(
    Pod,
    st.lists(_containers(), min_size=1, max_size=3),
    st.lists(_containers(), max_size=2),
    priority=st.none() | st.integers(-5, 5),
).map(stored)


@given(pods)
def test_storing_a_pod_again_changes_nothing(pod: Pod) -> None:
    """The API server's defaults are filled in once."""
    assert stored(pod) == pod


@given(pods)
def test_the_class_bounds_the_score(pod: Pod) -> None:
    """-997, 3 to 999, 1000: no Burstable container is before or beside another class."""
    least, most = {"Guaranteed": (-997, -997), "Burstable": (3, 999), "BestEffort": (1000, 1000)}[qos_class(pod)]
    for container in pod.all_containers:
        assert least <= oom_score_adj(pod, container, 16 * GIB) <= most


@given(pods)
def test_a_pod_is_never_held_below_what_it_requests(pod: Pod) -> None:
    """The pod's memory.max, where it has one, is at least its request. That is so where no init container requests
    memory without a limit: the kubelet takes the limit of a sidecar before it for both.
    """
    assume(all(one.limit(MEMORY) or not one.request(MEMORY) for one in pod.init_containers))
    limit = pod.cgroup(best_effort=False).memory_max
    assert limit is None or limit >= pod.effective.requests.get(MEMORY, 0)


@given(st.integers(0, GIB), st.integers(0, GIB), st.sampled_from([(1, 25), (1, 28), (1, 36)]))
def test_memory_high_lies_between_request_and_limit(request: int, more: int, version: tuple[int, int]) -> None:
    """Above the request and not above the limit, in each version."""
    limit = request + more
    high = memory_high(request, limit, MemoryQos(throttling_factor=0.9, allocatable_bytes=2 * GIB), version)
    assert high is None or request < high <= max(limit, 2 * GIB if not limit else 0)


@given(st.lists(st.integers(1, GIB), min_size=1, max_size=4))
def test_all_swap_limits_together_fit_the_swap(requests: list[int]) -> None:
    """While the requests fit the memory."""
    pod = stored(Pod([Container(f"c{n}", Resources({"memory": one})) for n, one in enumerate(requests)]))
    given = [
        int(swap_max(pod, one, "LimitedSwap", node_memory_bytes=4 * GIB, node_swap_bytes=2 * GIB))
        for one in pod.containers
    ]
    assert sum(given) <= 2 * GIB


@given(st.integers(2, 262_144))
def test_a_weight_is_one_that_the_kernel_takes(shares: int) -> None:
    """Both conversions end at 1 and 10000."""
    assert 1 <= cpu_weight(shares) <= runtime_cpu_weight(shares) <= 10_000


@given(st.integers(0, 2**62), st.sampled_from(["", "Ki", "Mi", "m", "k", "G"]))
def test_a_quantity_reads_as_it_is_written(number: int, suffix: str) -> None:
    """What is printed has the same value, up to what a quantity can hold."""
    quantity = parse_quantity(f"{number}{suffix}")
    assert parse_quantity(str(quantity)).nano == quantity.nano


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0.5", "500m"), ("1024Mi", "1Gi"), ("0.125Gi", "128Mi"), ("1000M", "1G"), ("1e3", "1e3"), ("0.00001", "10u"),
     ("1.5Ki", "1536"), ("0.5Ki", "512"), ("-5Mi", "-5Mi"), ("0", "0"), ("1.500", "1.500"), ("0.500", "500m"),
     ("100.1Ki", "102502400m"), ("1000", "1k"), ("1e0", "1e0"), ("1025Ki", "1025Ki")],
)  # fmt: skip
def test_a_quantity_is_written_in_its_shortest_form(text: str, wanted: str) -> None:
    """As Kubernetes writes it, which keeps some texts that could be shorter."""
    assert str(parse_quantity(text)) == wanted


@given(st.integers(0, 10**15))
def test_a_duration_reads_as_it_is_written(nano: int) -> None:
    """Go's durations, to the microsecond that a float keeps."""
    assert parse_seconds(format_seconds(nano / 1e9)) == pytest.approx(nano / 1e9, abs=1e-6)


def _active(name: str, request: int, use: int | None) -> eviction.Active:
    pod = stored(Pod([Container("a", Resources({"memory": request}))], name=name))
    return eviction.Active(pod, None if use is None else eviction.PodUse({"a": use}))


def test_a_look_at_old_statistics_evicts_nobody() -> None:
    """Two looks at the same statistics: the second remembers the pressure, and waits for newer ones."""
    settings = eviction.Settings(thresholds(ThresholdSettings({"memory.available": "100Mi"}, enforce=())))
    active = [_active("a", 0, GIB)]

    def observed(t: float) -> dict[str, eviction.Observation]:
        return {"memory.available": eviction.Observation(2**20, 4 * GIB, t)}

    first = eviction.look(eviction.State(), settings, observed(0), active, 0)
    assert [one.pod.name for one in first.evictions] == ["a"]
    again = eviction.look(first.state, settings, observed(0), active, 10)
    assert not again.evictions and again.state.conditions == ["MemoryPressure"]
    assert eviction.look(again.state, settings, observed(20), active, 20).evictions


def test_of_two_thresholds_met_at_once_the_later_one_is_acted_on() -> None:
    """Kubernetes keeps them in a map of Go, which it reads in this order seven times of eight."""
    said = ThresholdSettings({"memory.available": "200Mi"}, {"memory.available": "300Mi"}, {"memory.available": "0s"})
    settings = eviction.Settings(thresholds(said))
    seen = {"memory.available": eviction.Observation(100 * 2**20, 4 * GIB, 0)}
    (found,) = eviction.look(eviction.State(), settings, seen, [_active("a", 0, GIB)], 0).evictions
    assert found.message.startswith(
        "The node was low on resource: memory. Threshold quantity: 300Mi, available: 100Mi."
    )


def test_a_besteffort_pod_is_refused_under_pressure() -> None:
    """Others come in, and one that tolerates the taint does."""
    state = eviction.State(conditions=["MemoryPressure"])
    nothing, something = stored(Pod([Container("a")])), _active("b", 5, None).pod
    assert eviction.admits(state, nothing) == "The node had condition: [MemoryPressure]. "
    assert eviction.admits(state, something) == eviction.admits(state, nothing, tolerates_pressure=True) == ""


@given(st.lists(st.tuples(st.integers(0, GIB), st.none() | st.integers(0, GIB)), max_size=6))
def test_who_is_above_its_request_goes_before_who_is_not(sizes: list[tuple[int, int | None]]) -> None:
    """And before both goes a pod of which nothing is known."""
    active = [_active(str(number), request, use) for number, (request, use) in enumerate(sizes)]
    kinds = [
        0 if one.use is None else 1 if one.use.working_set > one.pod.evictable_request else 2
        for one in eviction.rank(active)
    ]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ThresholdSettings({"memory.free": "1Gi"}), "unsupported eviction signal memory.free"),
        (ThresholdSettings({"memory.available": "101%"}), "must be <= 100%: 101%"),
        (ThresholdSettings({"memory.available": "-1%"}), "must be >= 0%: -1%"),
        (ThresholdSettings({"memory.available": "0"}), "memory.available must be positive: 0"),
        (ThresholdSettings(soft={"memory.available": "1Gi"}), "grace period must be specified"),
        (ThresholdSettings(min_reclaim={"memory.available": "0%"}), "must be positive: 0%"),
        (ThresholdSettings({"memory.available": " 5%"}), 'strconv.ParseFloat: parsing " 5": invalid syntax'),
        (ThresholdSettings({"memory.available": "1e39%"}), "value out of range"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(settings: ThresholdSettings, words: str) -> None:
    """In the kubelet's words."""
    with pytest.raises(ThresholdError, match=words):
        thresholds(settings)


@given(st.integers(0, 300), st.none() | st.floats(0, 600))
def test_a_process_always_has_two_seconds(grace_s: int, hook_s: float | None) -> None:
    """Between SIGTERM and SIGKILL, however long the hook took; and never more than its grace period beyond that."""
    found = ending(pod_grace_s(grace_s), hook_s)
    assert 2 <= found.term_to_kill_s <= max(2, grace_s)


def test_columns_are_as_wide_as_their_neighbours() -> None:
    """A line without a cell in a column ends the column."""
    assert aligned(["a:\tb", "long:\tc", "end", "x:\ty"]) == ["a:     b", "long:  c", "end", "x:  y"]


def test_a_version_is_read() -> None:
    """With or without v and patch."""
    assert parse_version("v1.34.9") == parse_version("1.34") == (1, 34)
    with pytest.raises(ValueError, match="not a Kubernetes version"):
        parse_version("1")


def _resize(
    new: Resources, old: Resources, usage: int, restart_for: frozenset[str] = frozenset()
) -> Actuation | None:
    """Of a pod of one container, whose cgroup has what its old size makes it have."""
    before, after = stored(Pod([Container("a", old)])), stored(Pod([Container("a", new)]))
    has = before.cgroup(best_effort=False)
    return actuate(
        after,
        before,
        PodNow(has.memory_max, has.cpu_quota_usec or -1, has.cpu_shares),
        pod_usage=usage,
        usage={"a": usage},
        restart_for={"a": restart_for},
        node_memory_bytes=16 * GIB,
    )


@given(st.integers(1, GIB), st.integers(1, GIB))
def test_a_resize_never_sets_a_container_above_its_pod(old: int, new: int) -> None:
    """The pod's limit grows first and shrinks last."""
    done = _resize(Resources({}, {"memory": new}), Resources({}, {"memory": old}), 0)
    if new == old:
        assert done is None
        return
    assert done is not None and not done.message
    first, last = done.writes
    assert ("pod" in first) == (new > old) and ("pod" in last) == (new < old)
    assert first["memory_max"] == last["memory_max"] == new


@pytest.mark.parametrize(
    ("requests", "limits", "words"),
    [
        ({}, {"nvidia.com/gpu": "1500m"}, 'limits[nvidia.com/gpu]: Invalid value: "1500m": must be an integer'),
        ({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": "2"}, "must be equal to nvidia.com/gpu limit of 2"),
        ({"nvidia.com/gpu": "1"}, {}, "Limit must be set for non overcommitable resources"),
        ({}, {"hugepages-2Mi": "2Mi"}, "Forbidden: HugePages require cpu or memory"),
    ],
)
def test_what_is_not_shared_is_asked_for_whole(requests: dict[str, str], limits: dict[str, str], words: str) -> None:
    """A device's request is its limit; hugepages are not asked for alone."""
    read = [{name: parse_quantity(text) for name, text in amounts.items()} for amounts in (requests, limits)]
    pod = ResizedPod("BestEffort", [ResizedContainer("a", Sizes(*read))])
    assert any(words in refusal for refusal in refusals(pod, pod))


def test_an_empty_size_of_the_pod_takes_each_side_away() -> None:
    """No size at all is another refusal."""
    own = Sizes({"cpu": parse_quantity("1")}, {})
    pod = ResizedPod("Burstable", [ResizedContainer("a", Sizes({}, {}))], sizes=own)
    gone = "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"
    assert refusals(replace(pod, sizes=Sizes({}, {})), pod) == [gone]
    assert refusals(replace(pod, sizes=None), pod) == [
        "spec.resources: Forbidden: pod-level resources cannot be removed"
    ]


def test_a_limit_does_not_shrink_below_what_is_used() -> None:
    """Nothing is written then, of CPU neither; a restart does not get round it at the pod's level."""
    small, large = Resources({}, {"memory": 100, "cpu": 5}), Resources({}, {"memory": 200, "cpu": 9})
    refused = _resize(small, large, 100)
    assert refused is not None and not refused.writes
    assert refused.message.startswith("cannot decrease memory limits: [attempting to set pod memory limit (100)")
    assert _resize(small, large, 99) == _resize(small, large, 0)
    restarted = _resize(small, large, 100, frozenset({"memory"}))
    assert restarted is not None and restarted.restarts == ["a"] and not restarted.writes
