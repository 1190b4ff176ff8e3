"""Every wire case against our queue-proxy, and the suite's own manners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from emu.cli_conformance import conformance
from emu.conformance.cases import CASES
from emu.conformance.play import Result
from emu.conformance.suite import against_ours, against_target
from tests.unit.daemon.daemon_wire import Daemon, FakeApp


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Result]]:
    """All cases, played once, each group of settings by a process of its own."""
    yield {result.case.name: result for result in against_ours(CASES, lambda _: None)}


def test_there_are_cases_enough_and_each_has_its_own_name() -> None:
    """At least 120."""
    assert len(CASES) >= 120
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_case(played: dict[str, Result], name: str) -> None:
    """What came out is what the case expects. One that is late is given two more tries: a busy machine is late at
    times, a wrong timer always.
    """
    result = played[name]
    for _ in range(2):
        if result.faults and result.case.within_s:
            (result,) = against_ours([result.case], lambda _: None)
    assert result.faults == [], result.case.about


def test_a_target_is_played_what_it_can_be(shared: tuple[Daemon, FakeApp]) -> None:
    """Cases that need other settings are skipped; what differs is told."""
    daemon, app = shared
    app.close()
    skipped: list[str] = []
    some = [case for case in CASES if case.name in ("get", "revision-time", "chunks")]
    results = against_target(
        some, f"http://127.0.0.1:{daemon.port}", app.port, {}, lambda _: None, lambda case: skipped.append(case.name)
    )
    assert [(result.case.name, result.faults) for result in results] == [("get", []), ("chunks", [])]
    assert skipped == ["revision-time"]


def test_the_list_names_settings() -> None:
    """What a target must be started with."""
    said = CliRunner().invoke(conformance, ["--list", "--only", "queue-full"]).output
    assert "queue-full" in said
    assert "CONTAINER_CONCURRENCY=1" in said
