"""A service's route: when traffic moves, and what becomes of revisions that get none."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.policy.loadplan import Part, Split
from emu.policy.routing import Share, Traffic, whole
from emu.record.events import EventLog, TrafficSplit, read_events
from emu.serving.route import Route
from emu.spec import PodSpec, RevisionPlan, ServicePlan

OLD, NEW = "a-00001", "a-00002"
SPLIT = (Share(OLD, 90), Share(NEW, 10, "next"))


class Fake:
    """A revision that is ready when the test says so."""

    def __init__(self, port: int) -> None:
        self.entrance = ("127.0.0.1", port)
        self.begun = self.was_ready = False
        self.routed = True

    def start(self) -> None:
        """Made."""
        self.begun = True

    def reach(self, routed: bool) -> None:
        """Noted."""
        self.routed = routed


class Played:
    """A route between two revisions."""

    def __init__(
        self, folder: Path, traffic: Traffic, rollout_duration_s: float = 0.0, time_scale: float = 1
    ) -> None:
        self.path = folder / "events.jsonl"
        self.said: list[str] = []
        self.old, self.new = Fake(1), Fake(2)
        plans = tuple(RevisionPlan("a", name, name, PodSpec()) for name in (OLD, NEW))
        revisions = {OLD: self.old, NEW: self.new}
        self.log = EventLog(self.path)
        self.route = Route(
            ServicePlan("a", plans, traffic, rollout_duration_s),
            revisions,  # type: ignore[arg-type]
            self.log,
            self.said.append,
            time_scale,
        )
        self.route.start()

    @property
    def parts(self) -> dict[str, int]:
        """How requests are split now."""
        return {part.revision: part.weight for part in self.route.splits(())[0].parts}

    @property
    def events(self) -> list[TrafficSplit]:
        """What is on record."""
        self.log.close()
        return [event for event in read_events(self.path) if isinstance(event, TrafficSplit)]


@pytest.fixture
def played(tmp_path: Path) -> Played:
    """All requests go to the first revision, which is ready."""
    made = Played(tmp_path, whole(OLD))
    made.old.was_ready = True
    return made


def test_a_revision_without_traffic_is_not_made(played: Played) -> None:
    """A rollout makes it."""
    assert (played.old.begun, played.new.begun, played.parts) == (True, False, {OLD: 100})
    played.route.roll_out(whole(NEW))
    assert played.new.begun


def test_traffic_moves_when_the_new_revision_is_ready(played: Played) -> None:
    """Until then the old one gets all of it, and both are reachable; then none leads to the old one."""
    played.route.roll_out(whole(NEW))
    played.route.turn()
    assert (played.parts, played.old.routed, played.new.routed) == ({OLD: 100}, True, True)
    played.new.was_ready = True
    played.route.turn()
    assert (played.parts, played.old.routed, played.new.routed) == ({NEW: 100}, False, True)
    events = played.events
    assert [(one.reached, one.waits_for) for one in events] == [(True, []), (False, [NEW]), (True, [])]
    assert "as soon as a-00002 is ready" in played.said[0]


def test_a_rollback_waits_for_nothing(played: Played) -> None:
    """The old revision was ready once, whether it has pods or not."""
    played.new.was_ready = True
    played.route.roll_out(whole(NEW))
    played.route.roll_out(whole(OLD))
    assert (played.parts, played.old.routed, played.new.routed) == ({OLD: 100}, True, False)


def test_a_rollout_that_is_taken_back_early_leaves_traffic_as_it_was(played: Played) -> None:
    """The new revision, which never became ready, is unreachable then."""
    played.route.roll_out(whole(NEW))
    played.route.roll_out(whole(OLD))
    played.route.turn()
    assert (played.parts, played.new.routed) == ({OLD: 100}, False)


def test_a_revision_with_a_tag_alone_is_reachable(tmp_path: Path) -> None:
    """Its Host leads to it, and to no other."""
    played = Played(tmp_path, (Share(OLD, 100), Share(NEW, 0, "next")))
    assert played.new.begun and played.parts == {OLD: 100}
    _, tagged = played.route.splits(("next",))
    assert tagged == Split("next-a.default.example.com", 80, (Part(NEW, "127.0.0.1", 2, 100),))


def test_both_revisions_of_a_split_are_made_at_once(tmp_path: Path) -> None:
    """Each gets its part from the first request on."""
    played = Played(tmp_path, SPLIT)
    assert played.old.begun and played.new.begun and played.parts == {OLD: 90, NEW: 10}


def test_a_new_latest_revision_gets_its_traffic_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are reachable meanwhile; each step is on record with where it leads and why. A rollback is at once."""
    clock = [1000.0]
    monkeypatch.setattr("emu.serving.route.now", lambda: clock[0])
    played = Played(tmp_path, whole(OLD, latest=True), rollout_duration_s=4, time_scale=2)
    played.old.was_ready = played.new.was_ready = True
    played.route.roll_out(whole(NEW, latest=True))
    assert (played.parts, played.old.routed) == ({OLD: 99, NEW: 1}, True)
    seen = []
    for _ in range(20):
        clock[0] += 0.1
        played.route.turn()
        seen.append(played.parts.get(NEW))
    assert seen == [1, 1, 1, 1, 1, 34, 34, 34, 34, 34, 67, 67, 67, 67, 67, *[100] * 5]
    assert not played.old.routed
    played.route.roll_out(whole(OLD, latest=True))
    assert played.parts == {OLD: 100}
    steps = [(one.traffic[-1][1], one.toward, one.why) for one in played.events if one.why]
    assert [(percent, bool(toward)) for percent, toward, _ in steps] == [
        (1, True),
        (34, True),
        (67, True),
        (100, False),
    ]
    assert steps[1][2] == "a-00002 gets 33 % more every 0.5 s"
