"""What the sandbox is made of, and what is said when it is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox import parts, xstate

FLAGS = "processor\t: 0\nflags\t\t: fpu sse avx512f {}\n"


def test_all_that_is_missing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names every missing program, and one line installs every package."""
    monkeypatch.setattr(parts, "which", lambda _program: None)
    with pytest.raises(EmuError) as caught:
        parts.find_parts()
    assert "linux.uml" in caught.value.why and "dockerd" in caught.value.why
    assert "apt-get install" in caught.value.fix
    assert "user-mode-linux" in caught.value.fix and "docker.io" in caught.value.fix


def test_docker_s_parts_are_asked_for_only_where_there_is_to_be_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox without one goes without its programs."""
    here = parts.which
    monkeypatch.setattr(parts, "which", lambda name: None if name in parts.FOR_DOCKER else here(name) or Path("/x"))
    monkeypatch.setattr(parts, "_first", lambda *candidates: Path(candidates[0]))
    assert parts.find_parts(docker=False).dockerd is None
    with pytest.raises(EmuError, match="dockerd"):
        parts.find_parts()


def test_programs_outside_an_ordinary_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """sbin is looked through too."""
    monkeypatch.setenv("PATH", "/nowhere")
    if not any(Path(place, "ldconfig").exists() for place in ("/sbin", "/usr/sbin")):
        pytest.skip("this machine has no ldconfig in sbin to look for")
    assert shutil.which("ldconfig") is None
    assert parts.which("ldconfig") is not None


@pytest.mark.parametrize(("flags", "needed"), [("amx_bf16 amx_tile amx_int8", True), ("avx2", False)])
def test_which_processors_need_the_library(flags: str, needed: bool) -> None:
    """Those with AMX, whose state is larger than older kernels have room for."""
    assert xstate.needed(FLAGS.format(flags)) is needed


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the library is needed and cannot be built, the error says how to get a compiler."""
    monkeypatch.setattr(xstate, "compiler", lambda: None)
    with pytest.raises(EmuError, match=r"apt-get install .*gcc"):
        xstate.library(tmp_path)


def test_the_library_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Built into the cache, found there the next time."""
    if xstate.compiler() is None:
        pytest.skip("there is no C compiler; install gcc")
    built = xstate.library(tmp_path)
    monkeypatch.setattr(xstate, "compiler", lambda: None)
    assert xstate.library(tmp_path) == built
    assert [path.name for path in tmp_path.iterdir()] == [built.name]
