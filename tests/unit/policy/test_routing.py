"""How requests are split among revisions."""

from __future__ import annotations

from random import Random

import pytest

from emu.policy.routing import Share, draw, in_words, not_ready, revisions_of, weights, whole

SPLIT = (Share("a-1", 80), Share("a-2", 20, "next"), Share("a-3", 0, "dark"))


def test_a_tag_s_host_leads_to_its_revision_alone() -> None:
    """The service's own leads to all that get a part of it."""
    assert weights(SPLIT) == {"a-1": 80, "a-2": 20}
    assert weights(SPLIT, "dark") == {"a-3": 100}
    assert weights(SPLIT, "gone") == {}


def test_parts_of_one_revision_add_up() -> None:
    """As where a revision has a tag for a part of what it gets."""
    assert weights((Share("a-1", 40), Share("a-1", 60, "all"))) == {"a-1": 100}


def test_traffic_waits_for_each_revision_that_it_leads_to() -> None:
    """By a tag alone too."""
    assert revisions_of(SPLIT) == {"a-1", "a-2", "a-3"}
    assert not_ready(SPLIT, ["a-1"]) == ["a-2", "a-3"]
    assert not_ready(whole("a-1"), ["a-1", "a-9"]) == []


def test_each_number_belongs_to_one_revision() -> None:
    """In the order of the parts."""
    found = [draw({"a": 1, "b": 2}, lambda most, number=number: number) for number in range(3)]  # type: ignore[misc]
    assert found == ["a", "b", "b"]
    with pytest.raises(ValueError, match="nothing"):
        draw({}, lambda _: 0)


def test_the_same_seed_draws_the_same_revisions() -> None:
    """A run can be made again."""
    draws = [[draw({"a": 80, "b": 20}, Random("1/it").randrange) for _ in range(1)] for _ in range(2)]
    assert draws[0] == draws[1]
    dice = Random("1/it").randrange
    many = [draw({"a": 80, "b": 20}, dice) for _ in range(2000)]
    assert 0.75 < many.count("a") / 2000 < 0.85


def test_traffic_in_words() -> None:
    """As the screen and the report have it."""
    assert in_words(SPLIT[:2]) == "80 % to a-1, 20 % to a-2 (tag next)"
