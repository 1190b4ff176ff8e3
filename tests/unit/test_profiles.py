"""A footprint profile in a file of the user's: read within bounds, or refused with one error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.files import profiles
from emu.machine.paths import profiles_dir
from emu.scenario.reading import read_scenario

SCENARIO = "name: a\nquestion: b\npod: {queueProxy: {footprint: %s}}\n"


def test_the_profiles_that_come_with_it_are_right() -> None:
    """Read by name and by path they are the same."""
    for name in profiles.names():
        assert profiles.load_profile(name) == profiles.load_profile(str(profiles_dir() / f"{name}.yaml"))


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/urandom", "./pipe.yaml", "./folder.yaml", "./none.yaml", "./" + "a" * 5000]
)
def test_what_is_no_regular_file_is_refused_at_once(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without an end takes no memory, and a pipe without a writer is not waited for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    Path("folder.yaml").mkdir()
    with pytest.raises(EmuError, match="footprint profile"):
        read_scenario(SCENARIO % path, "s.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: b: c",
        "[" * 50_000,
        "a: &a [*a]",
        "? {a: b}\n: c",
        "a: !!python/object:os.system x",
        "a: 1\na: 2",
        "- 1",
        "name: x\nsource: y\nidleAnonBytes: many",
        "x" * 300_000,
        '"\\uD800"',
        "\tname: x",
    ],
)  # fmt: skip
def test_odd_yaml_is_one_error(text: str, tmp_path: Path) -> None:
    """Nesting, aliases, tags and keys that are no names are as they are in a scenario."""
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(EmuError) as caught:
        read_scenario(SCENARIO % path, "s.yaml")
    assert "p.yaml" in caught.value.what
    assert caught.value.fix


def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    """With their place."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(EmuError, match=r"p\.yaml:1:7: not UTF-8"):
        profiles.read_profile(path)
