"""Every wire case against our queue-proxy, and the suite's own manners."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.conformance import conformance
from emu.conformance import strings
from emu.conformance.case import Known
from emu.conformance.cases import CASES
from emu.conformance.play import Result
from emu.conformance.strings import WireResult
from emu.conformance.suite import against_ours, against_target
from emu.conformance.tls_play import KNATIVE_FOLDER, pair, seeing
from emu.errors import EmuError
from tests.unit.daemon.daemon_wire import Daemon, FakeApp

TRIES = 4


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Result]]:
    """All cases, played once, each group of settings by a process of its own."""
    yield {result.name: result for result in against_ours(CASES, (), lambda _: None) if isinstance(result, Result)}


@pytest.fixture(scope="module")
def played_strings() -> dict[str, WireResult]:
    """All strings, likewise."""
    wires = [wire for sheet in strings.sheets() for wire in sheet.wires]
    results = against_ours((), wires, lambda _: None)
    return {result.name: result for result in results if isinstance(result, WireResult)}


def test_there_are_cases_enough_and_each_has_its_own_name() -> None:
    """At least 120."""
    assert len(CASES) >= 120
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_case(played: dict[str, Result], name: str) -> None:
    """What came out is what the case expects. One that does not is given more tries: a busy machine is late at times,
    a wrong answer comes always.
    """
    result = played[name]
    for _ in range(TRIES):
        if result.faults:
            (again,) = against_ours([result.case], (), lambda _: None)
            assert isinstance(again, Result)
            result = again
    assert result.faults == [], result.case.about


@pytest.mark.parametrize("topic", [sheet.topic for sheet in strings.sheets()])
def test_strings(played_strings: dict[str, WireResult], topic: str) -> None:
    """What became of each string is what the real one made of it, or what ours does on purpose. What differs is
    played again: a busy machine is late at times.
    """
    results = [result for result in played_strings.values() if result.wire.topic == topic]
    for _ in range(TRIES):
        if faulty := [result.wire for result in results if result.faults]:
            results = [one for one in against_ours((), faulty, lambda _: None) if isinstance(one, WireResult)]
    assert {result.name: result.faults for result in results if result.faults} == {}


def test_a_string_that_ours_takes_otherwise_says_why() -> None:
    """So does each case."""
    wires = [wire for sheet in strings.sheets() for wire in sheet.wires]
    assert len(wires) >= 800
    assert [wire.name for wire in wires if not wire.outcomes or bool(wire.ours) != bool(wire.why_ours)] == []
    assert {case.known for case in CASES} == set(Known)


def test_a_sheet_of_strings_is_read_as_it_is_written() -> None:
    """So that what another binary does can be recorded."""
    for sheet in strings.sheets():
        assert strings.parse(sheet.topic, strings.render(sheet)) == sheet


def test_a_target_is_played_what_it_can_be(shared: tuple[Daemon, FakeApp]) -> None:
    """Cases that need other settings are skipped; what differs is reported."""
    daemon, app = shared
    app.leave()
    skipped: list[str] = []
    some = [case for case in CASES if case.name in ("get", "revision-time", "chunks")]
    url = f"http://127.0.0.1:{daemon.port}"
    results = against_target(some, (), url, app.port, {}, lambda _: None, lambda case: skipped.append(case.name))
    assert [(result.name, result.faults) for result in results] == [("get", []), ("chunks", [])]
    assert skipped == ["revision-time"]


def test_a_program_alone_sees_the_certificates_that_are_mounted_for_it(tmp_path: Path) -> None:
    """Where Knative mounts them, which this machine's folder need not be free for, nor changed: another pair that is
    put in their place later is seen as well.
    """
    there = sorted(path.parent.rglob("*")) if (path := KNATIVE_FOLDER).parent.exists() else None
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nwhile read -r name; do cat {KNATIVE_FOLDER}/$name; done\n")
    program.chmod(0o755)
    with pair() as folder:
        try:
            words = seeing(str(program), folder)
        except EmuError as refused:
            pytest.skip(f"not without root, nor without user namespaces: {refused}")
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as seen:
            assert seen.stdin is not None and seen.stdout is not None
            seen.stdin.write("tls.crt\n")
            seen.stdin.flush()
            assert seen.stdout.readline() == "-----BEGIN CERTIFICATE-----\n"
            (folder / "new").write_text("put\n")
            (folder / "new").replace(folder / "tls.crt")
            assert seen.communicate("tls.crt\n")[0].endswith("put\n")
    assert there == (sorted(path.parent.rglob("*")) if path.parent.exists() else None)
    with pytest.raises(EmuError, match="could not be seen below /var/lib"):
        seeing("/var/lib/queue", tmp_path)


def test_the_list_names_settings() -> None:
    """What a target must be started with."""
    said = CliRunner().invoke(conformance, ["--list", "--only", "queue-full"]).output
    assert "\nCONTAINER_CONCURRENCY=1\n  queue-full " in said
