"""What crosses between processes arrives as it was sent."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.messages.requests import RequestDone, RequestSent, to_line
from emu.messages.work import Work
from emu.policy.loadplan import LoadPlan, Phase, RequestSpec

NATURALS = st.integers(0, 2**46)
TIMES = st.floats(0, 1e6, allow_nan=False)
NAMES = st.none() | st.from_regex(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,20}", fullmatch=True)
WORK = st.builds(
    Work,
    body=st.sampled_from(["read", "slow", "ignore"]),
    body_rate=NATURALS,
    read_file=NAMES,
    read_bytes=NATURALS,
    touch=NATURALS,
    write_file=NAMES,
    write_bytes=NATURALS,
    hold=NATURALS,
    child=st.booleans(),
    hold_for=st.none() | TIMES,
    unhealthy_for=st.none() | TIMES,
    cpu=TIMES,
    sleep=TIMES,
    answer=NATURALS,
    status=st.integers(200, 599),
    exit=st.none() | st.integers(0, 255),
)


@given(WORK)
def test_work_survives_the_query_string(work: Work) -> None:
    """The app does what the scenario asked, to the last value."""
    assert Work.from_query(work.to_query()) == work


def test_work_at_its_defaults_is_an_empty_query() -> None:
    """A plain request looks like one."""
    assert Work().to_query() == ""


@pytest.mark.parametrize(
    "query",
    ["nonsense=1", "hold=-1", "hold=x", "sleep=inf", "sleep=nan", "body=eat", "child=maybe", "hold=1.5", "exit="],
)
def test_wrong_work_is_a_value_error_in_one_line(query: str) -> None:
    """The app can answer 400 with it."""
    with pytest.raises(ValueError, match=query.split("=")[0]) as caught:
        Work.from_query(query)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_query_is_work_or_a_value_error(query: str) -> None:
    """A stranger's query string cannot bring the app down."""
    try:
        Work.from_query(query)
    except ValueError as error:
        assert str(error)


def test_a_load_plan_survives_json() -> None:
    """The load generator gets what the scenario said."""
    phases = (
        Phase("a", "steps", 0.0, 5.0, RequestSpec(headers={"X": "y"}, body_bytes=3), rates=(1.0, 2.0), count=4),
        Phase("b", "closed", 5.0, 1.0, RequestSpec(send_rate=10.0, timeout_s=2.0), clients=3, keep_alive=False),
    )
    plan = LoadPlan("10.0.0.2", 8012, phases, seed=7)
    assert LoadPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    "record",
    [
        RequestSent(1, "steady", 0.5, 0.6),
        RequestSent(1, "steady", 0.5, 0.6, pod="app-1", container="queue-proxy"),
        RequestDone(1, 0.9, None, None, "closed", 0),
        RequestDone(2, 1.0, 0.9, 200, None, 2),
    ],
)
def test_a_record_is_one_json_line(record: RequestSent | RequestDone) -> None:
    """Lines are appended whole and `e` distinguishes them."""
    line = to_line(record)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    read: dict[str, Any] = json.loads(line)
    assert type(record)(**read) == record
    assert set(read) == {entry.name for entry in fields(record)}
