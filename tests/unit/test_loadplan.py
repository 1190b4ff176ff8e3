"""A scenario's load as the load generator takes it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from emu.messages.work import Work
from emu.policy.loadplan import LoadPlan, Until
from emu.scenario.load_plan import load_plan
from emu.spec import LoadModel


def load(*phases: dict[str, object], **more: object) -> LoadModel:
    """A load model from what YAML would hold."""
    return LoadModel.model_validate({"phases": list(phases), **more})


def test_phases_follow_each_other_unless_they_say_when() -> None:
    """A phase begins when the one before it ends; `start` sets it."""
    plan = load_plan(
        load(
            {"name": "a", "type": "constant", "rate": 1, "duration": "5s"},
            {"name": "b", "type": "burst", "size": 3, "duration": "2s"},
            {"name": "c", "type": "closed", "clients": 2, "duration": "1s", "start": "1s"},
        ),
        "10.0.0.1",
        8012,
    )
    assert [(phase.name, phase.start_s) for phase in plan.phases] == [("a", 0), ("b", 5), ("c", 1)]


def test_work_travels_in_the_query() -> None:
    """`do` becomes the query string that the app reads back to the same work."""
    plan = load_plan(
        load(
            {
                "name": "a",
                "type": "constant",
                "rate": 1,
                "duration": "5s",
                "request": {"do": {"hold": "64Mi", "holdFor": "forever", "sleep": "2s"}},
            }
        ),
        "h",
        1,
    )
    query = plan.phases[0].request.path.removeprefix("/?")
    assert Work.from_query(query) == Work(hold=64 * 2**20, hold_for=None, sleep=2.0)


def test_a_body_makes_it_a_post() -> None:
    """GET without a body, POST with one, unless the scenario names the method."""
    phase = {"name": "a", "type": "constant", "rate": 1, "duration": "5s"}
    methods = [
        load_plan(load({**phase, "request": request}), "h", 1).phases[0].request.method
        for request in ({}, {"body": "1Ki"}, {"body": "1Ki", "method": "PUT"})
    ]
    assert methods == ["GET", "POST", "PUT"]


def test_a_phase_may_wait_for_answers() -> None:
    """`afterAnswers` travels to the load generator, which begins the phase when those before have ended."""
    first = {"name": "a", "type": "constant", "rate": 1, "count": 1, "duration": "5s"}
    plan = load_plan(load(first, {**first, "name": "b", "afterAnswers": True}), "h", 1)
    assert [phase.after_answers for phase in plan.phases] == [False, True]


PHASE: dict[str, object] = {"type": "constant", "rate": 1, "duration": "5s"}


def test_what_follows_an_event_cannot_be_timed() -> None:
    """A phase after one with `until`, or after one that waits for answers, begins when that ends; one with `start`
    begins then, and what follows it is timed again.
    """
    phases = [
        {"name": "a", **PHASE},
        {"name": "b", **PHASE, "until": {"oomKills": 1, "container": "app"}},
        {"name": "c", **PHASE},
        {"name": "d", **PHASE},
        {"name": "e", **PHASE, "start": "60s"},
        {"name": "f", **PHASE, "afterAnswers": True},
        {"name": "g", **PHASE},
    ]
    plan = load_plan(load(*phases), "h", 1)
    assert [phase.follows for phase in plan.phases] == [False, False, True, True, False, False, True]
    assert plan.phases[1].until == Until(oom_kills=1, container="app")
    assert LoadPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("until", "error"),
    [
        ({}, "it has no condition"),
        ({"container": "app"}, "it has no condition"),
        ({"answered": 1, "container": "app"}, "no condition here counts per container"),
        ({"ready": "two"}, "ready"),
        ({"inFlight": 0}, "inFlight"),
    ],
)
def test_a_phase_waits_for_something_that_can_come(until: dict[str, object], error: str) -> None:
    """Else it would always take all of its time."""
    with pytest.raises(ValidationError, match=error):
        load({"name": "a", **PHASE, "until": until})


def test_a_pause_has_no_shape() -> None:
    """It sends nothing, so a rate belongs elsewhere."""
    assert load({"name": "a", "type": "pause", "duration": "1s"}).phases[0].type == "pause"
    with pytest.raises(ValidationError, match="no `rate`"):
        load({"name": "a", "type": "pause", "duration": "1s", "rate": 1})
