"""The tests that need a kernel are played in parts, by marks: none is left out, none is played twice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LIST = """
import sys, pytest
class Lister:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            names = [mark.kwargs["name"] for mark in item.iter_markers("part")]
            print("ITEM", item.nodeid, *names, sep="\\t")
            if "engine" in item.fixturenames:
                print("ENGINE", item.nodeid, sep="\\t")
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Lister()]))
"""


def makefile_parts() -> set[str]:
    """The parts that the Makefile has a target for."""
    lists = dict(re.findall(r"^(PARTS|SCENARIOS) := (.*)$", (TOP / "Makefile").read_text("utf-8"), re.MULTILINE))
    return set(lists["PARTS"].replace("$(SCENARIOS)", lists["SCENARIOS"]).split())


@pytest.fixture(scope="module")
def listed() -> list[list[str]]:
    """What is said of each test of tests/kernel and tests/scenario."""
    ended = subprocess.run(
        [sys.executable, "-c", LIST, "tests/kernel", "tests/scenario"],
        cwd=TOP, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    return [line.split("\t") for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def parts_of(listed: list[list[str]]) -> dict[str, list[str]]:
    """Each of them with the parts that its marks name."""
    return {line[1]: line[2:] for line in listed if line[0] == "ITEM"}


def test_each_test_is_in_one_part(parts_of: dict[str, list[str]]) -> None:
    """And the Makefile has a target for it."""
    assert len(parts_of) > 200
    assert [test for test, parts in parts_of.items() if len(parts) != 1 or parts[0] not in makefile_parts()] == []


def test_a_part_s_files_speak_of_it(parts_of: dict[str, list[str]]) -> None:
    """The Makefile collects the files that do, and no others."""
    for name, part in {(test.partition("::")[0], part) for test, (part,) in parts_of.items()}:
        words = "part_of" if part.startswith("scenarios-") else f'name="{part}"'
        assert words in (TOP / name).read_text("utf-8"), name


def test_parts_without_an_engine_have_no_test_that_needs_one(
    listed: list[list[str]], parts_of: dict[str, list[str]]
) -> None:
    """In their sandboxes it would be skipped, and so be played nowhere."""
    (without,) = re.findall(r"^WITHOUT_DOCKER := (.*)$", (TOP / "Makefile").read_text("utf-8"), re.MULTILINE)
    needs = [line[1] for line in listed if line[0] == "ENGINE"]
    assert len(needs) > 30
    assert [test for test in needs if set(parts_of[test]) & set(without.split())] == []


def test_each_part_has_tests(parts_of: dict[str, list[str]]) -> None:
    """A target that would play nothing has gone."""
    assert makefile_parts() - {part for parts in parts_of.values() for part in parts} == set()


def test_make_test_plays_all_but_the_footprint() -> None:
    """test-footprint wants a quiet machine; everything else is part of `make test`."""
    printed = subprocess.run(
        ["make", "-n", "test"], cwd=TOP, capture_output=True, text=True, timeout=240, check=True
    ).stdout
    played = set(re.findall(r"part\(name=\"([\w-]+)\"\)", printed))
    assert played == makefile_parts() - {"footprint"}
