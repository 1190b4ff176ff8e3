"""Which pods go first where there are to be fewer."""

from __future__ import annotations

from emu.policy.replicas import Replica, victims

OLD, YOUNG = Replica("old", 1.0, 2.0), Replica("young", 5.0, 6.0)


def test_what_is_not_ready_goes_first() -> None:
    """Whatever its age."""
    assert victims([Replica("starting", 0.0), OLD, YOUNG], 2) == ["starting", "young"]


def test_what_has_no_node_goes_before_that() -> None:
    """It costs nothing to remove."""
    pending = Replica("pending", 0.0, scheduled=False)
    assert victims([Replica("starting", 9.0), OLD, pending], 2) == ["pending", "starting"]


def test_of_ready_pods_the_one_that_became_so_last_goes_first() -> None:
    """Though it is older; then the one that was restarted, then the youngest."""
    assert victims([OLD._replace(ready_since=9.0), YOUNG], 1) == ["old"]
    assert victims([OLD._replace(ready_since=6.0, restarts=1), YOUNG], 1) == ["old"]
    assert victims([OLD._replace(ready_since=6.0), YOUNG], 1) == ["young"]


def test_no_more_go_than_there_are() -> None:
    """And none where none is to."""
    assert victims([OLD, YOUNG], 5) == ["young", "old"]
    assert victims([OLD, YOUNG], 0) == victims([OLD], -1) == []
