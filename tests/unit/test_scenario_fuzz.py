"""No bytes and no `--set` give a traceback: a scenario is read, or there is an EmuError."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.errors import EmuError
from emu.scenario.keys import all_paths
from emu.scenario.reading import builtin_scenarios, load_scenario, read_scenario, resolve
from emu.spec import ScenarioSpec

TEXTS = [builtin.path.read_text(encoding="utf-8") for builtin in builtin_scenarios()]
PATHS = [re.sub(r"\[\]", ".0", path) for path, _ in all_paths()]
SIGNS = "\t\n :-?[]{},&*!|>'\"%@`#<~.0123456789eExo+_aMiksmhnulltrfy\\\0\u2028\ud7ff\ufeff\x85"
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["64Mi", "max", "forever", "10s", "500m", "-1", "1e400", "9" * 400 + "Gi", "constant", "Always"]),
)
KEYS = st.one_of(st.sampled_from(sorted({part for path in PATHS for part in path.split(".")})), st.text(max_size=8))
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(KEYS, below, max_size=5)),
    max_leaves=20,
)
SETTINGS = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_error(text: str, *overrides: str) -> ScenarioSpec | None:
    """The scenario; None where there was a proper error. Whatever else is raised fails the test."""
    try:
        return read_scenario(text, "f.yaml", overrides)
    except EmuError as error:
        assert error.what
        assert error.why
        assert error.fix
        str(error).encode()
        return None


@SETTINGS
@given(st.binary(max_size=400))
def test_any_bytes(tmp_path: Path, raw: bytes) -> None:
    """A file of any bytes is read or refused."""
    path = tmp_path / "f.yaml"
    path.write_bytes(raw)
    try:
        load_scenario(str(path))
    except EmuError as error:
        assert error.fix


@SETTINGS
@given(st.text(alphabet=SIGNS, max_size=80))
def test_any_yaml_signs(text: str) -> None:
    """So is any mixture of the signs that mean something to YAML."""
    read_or_error(text)


@SETTINGS
@given(st.sampled_from(TEXTS), st.data())
def test_any_damage_to_a_good_file(text: str, data: st.DataObject) -> None:
    """So is a good file with a piece taken out, doubled or replaced by signs."""
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 60)))
    piece = data.draw(st.one_of(st.just(""), st.just(text[begin:end] * 2), st.text(alphabet=SIGNS, max_size=12)))
    read_or_error(text[:begin] + piece + text[end:])


@SETTINGS
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree(tree: dict[str, Any]) -> None:
    """So is any tree of keys and values, known and unknown, as flow YAML."""
    read_or_error("name: a\nquestion: b\n" + "".join(f"{flow(key)}: {flow(value)}\n" for key, value in tree.items()))


@SETTINGS
@given(st.sampled_from(TEXTS), st.sampled_from(PATHS), TREES)
def test_any_value_at_any_key(text: str, path: str, value: Any) -> None:
    """So is any value given to any key by `--set`; and what is accepted survives being resolved and read again."""
    spec = read_or_error(text, f"{path}={flow(value)}")
    if spec is not None:
        assert read_scenario(resolve(spec), "again.yaml") == spec


@SETTINGS
@given(st.sampled_from(TEXTS), st.text(alphabet=string.printable, max_size=40))
def test_any_set(text: str, override: str) -> None:
    """So is any text for `--set`."""
    read_or_error(text, override)


def flow(value: Any) -> str:
    """A value as one line of YAML, by hand, so that nothing is tidied up on the way."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(below) for below in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9.-]+", value):
        return "'" + value.replace("'", "''") + "'"
    return str(value)
