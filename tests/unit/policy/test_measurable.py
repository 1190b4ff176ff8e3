"""Which metrics of a HorizontalPodAutoscaler never have a value."""

from __future__ import annotations

from emu.policy.hpa.measurable import stuck, unmeasurable
from emu.policy.hpa.spec import HpaSpec, Metric

CPU, MEMORY = Metric("cpu", target=80), Metric("memory", target=80)
AMOUNT = Metric("cpu", type="AverageValue", target=500)
OF_WEB = Metric("cpu", "ContainerResource", target=80, container="web")
QUERY = Metric("rps", "External", "AverageValue", 1000)


def words(spec: HpaSpec, requested: dict[str, set[str]]) -> list[str]:
    """What is said of each metric that has no value."""
    return [one.words for one in unmeasurable(spec, requested)]


def test_a_share_needs_a_request_of_each_container() -> None:
    """The words end at the first that has none, and an amount needs none; without metrics it is cpu at 80 %."""
    both = {"app": {"cpu"}, "log": set[str]()}
    assert words(HpaSpec(3, metrics=(CPU,)), both) == ["missing request for cpu in container log"]
    assert words(HpaSpec(3), {"app": {"memory"}}) == ["missing request for cpu in container app"]
    assert words(HpaSpec(3, metrics=(AMOUNT, QUERY)), both) == []
    assert words(HpaSpec(3, metrics=(CPU,)), {"app": {"cpu"}}) == []


def test_a_container_has_to_be_there() -> None:
    """And only its own request counts."""
    (found,) = unmeasurable(HpaSpec(3, metrics=(OF_WEB,)), {"app": set()})
    assert (found.reason, found.absent) == ("FailedGetContainerResourceMetric", True)
    assert words(HpaSpec(3, metrics=(OF_WEB,)), {"web": {"cpu"}, "log": set()}) == []


def test_one_is_stuck_if_no_metric_has_a_value_and_it_could_scale() -> None:
    """With one metric that has, it scales up; with one number of pods there is nothing to scale."""
    bare = {"app": set[str]()}
    assert stuck(HpaSpec(3, metrics=(CPU, MEMORY)), bare) is not None
    assert stuck(HpaSpec(3, metrics=(CPU, QUERY)), bare) is None
    assert stuck(HpaSpec(3, 3, metrics=(CPU,)), bare) is None


def test_what_the_pod_itself_requests_stands_for_its_containers() -> None:
    """For a share of the whole pod, and for each resource that the pod or any of its containers requests."""
    spec, bare = HpaSpec(3, metrics=(CPU,)), {"app": {"memory"}, "log": set[str]()}
    assert stuck(spec, bare, {"cpu"}) is None
    assert stuck(HpaSpec(3, metrics=(MEMORY,)), bare, {"cpu"}) is None
    assert stuck(spec, bare, {"memory"}) is not None
    assert stuck(HpaSpec(3, metrics=(OF_WEB,)), {"web": set()}, {"cpu"}) is not None
