"""What the sandbox is made of, and what is said when it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.uml import parts, preload

COMPILERS = [path for path in map(parts.which, ("gcc", "clang", "tcc")) if path]
"""Those of this machine: the library is built by any."""
TRACE = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(36, 1)  # the traced process becomes a child of this one
reader, writer = os.pipe()
if not (tracer := os.fork()):
    if not (traced := os.fork()):
        libc.ptrace(0, 0, None, None)
        os.kill(os.getpid(), 19)
        time.sleep(10)
        os._exit(0)
    os.waitpid(traced, 2)
    assert libc.ptrace(0x4200, traced, None, ctypes.c_void_p(1)) == 0
    assert libc.ptrace(7, traced, None, None) == 0
    os.write(writer, str(traced).encode())
    os._exit(0)
os.waitpid(tracer, 0)
print(os.waitstatus_to_exitcode(os.waitpid(int(os.read(reader, 16)), 0)[1]))
"""
"""A process that traces another, lets it go on, and ends first."""
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


@pytest.mark.parametrize(("flags", "there"), [("amx_bf16 amx_tile amx_int8", True), ("avx2", False)])
def test_which_processors_have_amx(flags: str, there: bool) -> None:
    """Their state is larger than older kernels have room for."""
    assert preload.has_amx(FLAGS.format(flags)) is there


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the preloaded library cannot be built, the error says how to get a compiler."""
    compilers = ("cc", "gcc", "clang", "tcc")
    monkeypatch.setattr(parts, "which", lambda name: None if name in compilers else Path("/bin", name))
    with pytest.raises(EmuError, match=r"apt-get install .*tcc"):
        parts.find_parts(docker=False)


@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("cc", COMPILERS)
def test_the_library_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cc: Path, amx: bool) -> None:
    """Built into the cache by any compiler, without a warning; found there the next time."""
    monkeypatch.setattr(preload, "has_amx", lambda: amx)
    built = preload.library(tmp_path, cc)
    assert preload.library(tmp_path, Path("/nowhere")) == built
    assert [path.name for path in tmp_path.iterdir()] == [built.name]
    monkeypatch.setattr(preload, "has_amx", lambda: not amx)
    assert preload.library(tmp_path, cc) != built


@pytest.mark.parametrize("cc", COMPILERS)
def test_a_process_dies_with_the_one_that_traces_it(tmp_path: Path, cc: Path) -> None:
    """Whatever options are asked for: the library adds that of dying with the tracer."""
    traced = subprocess.run(
        [sys.executable, "-c", TRACE],
        env={**os.environ, "LD_PRELOAD": str(preload.library(tmp_path, cc))},
        stdout=subprocess.PIPE,
        timeout=240,
        check=True,
    )
    assert int(traced.stdout) == -9  # and not 0: it was asked to go on, and to end by itself
