"""When free memory is given back: once a great fall in connections and requests is over, and at the look after it."""

import pytest

from emu.policy.trimming import LEAST, STILL_GOING, Trimming

# (what it shows, the load at each look, the looks at which it was due)
LOOKS = [
    ("nothing came, nothing is due", [0, 0, 0], []),
    ("a burst that has gone", [5000, 5000, 0, 0, 0, 0], [3, 4]),
    ("not while they are still going", [5000, 4000, 2000, 600, 20, 0, 0, 0], [5, 6]),
    ("… nor while too many are left", [5000, 3000, 3000, 3000], []),
    ("half of them are enough", [5000, 2500, 2500, 2500, 2500], [2, 3]),
    ("few are not worth it", [LEAST - 1, 0, 0, 0], []),
    ("a slow fall counts too, at each half", list(range(1000, -1, -STILL_GOING)), [10, 11, 15, 16, 18, 19, 20]),
    ("each burst again", [1000, 0, 0, 1000, 0, 0], [2, 5]),
    ("a load that swings by less than half of it never is", [900, 500, 900, 500, 900], []),
]


@pytest.mark.parametrize(("loads", "due"), [row[1:] for row in LOOKS], ids=[row[0] for row in LOOKS])
def test_memory_is_given_back_after_a_fall(loads: list[int], due: list[int]) -> None:
    """Each line of the table."""
    trimming = Trimming()
    assert [at for at, load in enumerate(loads) if trimming.due(load)] == due


def test_the_rest_of_those_that_go_is_not_forgotten() -> None:
    """A busy machine may stop half-way: what was left then is worth a look of its own."""
    trimming = Trimming()
    assert [trimming.due(load) for load in (3000, 400, 400, 400, 400)] == [False, False, True, True, False]
    assert [trimming.due(load) for load in (0, 0, 0, 0)] == [False, True, True, False]
    assert [trimming.due(load) for load in (400, 400, 0, 0)] == [False] * 4


def test_a_burst_between_two_looks_is_not_missed() -> None:
    """It left as much behind as one that a look met."""
    trimming = Trimming()
    assert [trimming.due(0, most) for most in (0, 3000, 0, 0)] == [False, True, True, False]
    assert not trimming.due(0, LEAST - 1)
