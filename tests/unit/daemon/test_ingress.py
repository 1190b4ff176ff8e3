"""The ingress in the load generator: a revision is drawn for each request."""

from __future__ import annotations

from emu.daemon.load.connections import Connections, Place
from emu.daemon.load.ingress import Ingress
from emu.policy.loadplan import LoadPlan, Part, Split

SPLIT = Split("a.default.example.com", 80, (Part("a-1", "10.0.0.1", 1, 80), Part("a-2", "10.0.0.2", 2, 20)))
ALL_NEW = Split("a.default.example.com", 80, (Part("a-2", "10.0.0.2", 2, 100),))


def ingress(seed: int = 1) -> Ingress:
    """Two revisions, 80 to 20."""
    made: dict[tuple[str, int], Connections] = {}
    return Ingress(SPLIT, seed, lambda host, port: made.setdefault((host, port), Connections(host, port)))


def test_requests_are_drawn_by_their_parts() -> None:
    """Each goes to its revision's own place, and the record has the revision."""
    one = ingress()
    places = [one.choose() for _ in range(1000)]
    assert set(places) == {Place("10.0.0.1", 1, "", "a-1"), Place("10.0.0.2", 2, "", "a-2")}
    assert 730 < sum(place.revision == "a-1" for place in places) < 870


def test_the_same_seed_draws_the_same() -> None:
    """Another one draws others."""
    draws = [[one.choose().revision for _ in range(100)] for one in (ingress(), ingress(), ingress(2))]
    assert draws[0] == draws[1] != draws[2]


def test_after_a_rollout_all_go_to_the_new_revision() -> None:
    """Connections of requests under way are still given back to where they belong."""
    one = ingress()
    old = next(place for place in (one.choose() for _ in range(100)) if place.revision == "a-1")
    one.split(ALL_NEW)
    assert {one.choose().revision for _ in range(50)} == {"a-2"}
    assert one.of(old).choose().server == ("10.0.0.1", 1)


def test_pods_of_a_revision_are_chosen_while_no_activator_is_in_its_path() -> None:
    """As clients choose them without an ingress."""
    one = ingress()
    one.of(Place("", 0, "", "a-2")).lead_to([Place("10.1.0.9", 8012, "pod-9")])
    one.split(ALL_NEW)
    assert one.choose() == Place("10.1.0.9", 8012, "pod-9", "a-2")


def test_a_plan_has_the_splits_that_it_begins_with() -> None:
    """What is read again is the same."""
    plan = LoadPlan("a.default.example.com", 80, (), splits=(SPLIT, ALL_NEW))
    assert LoadPlan.from_json(plan.to_json()) == plan
