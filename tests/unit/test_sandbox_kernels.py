"""Which kernel a guest boots, and how a fetched one is made to run beside this machine's C library."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.errors import EmuError
from emu.sandbox.uml import fetching, kernels, parts
from emu.sandbox.uml.kernels import AUTO, DISTRIBUTION, FETCHED, Kernel
from emu.sandbox.uml.launch import Descriptors
from emu.sandbox.uml.locks import locked

TRUE = Path(shutil.which("true") or "/bin/true")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without kernels, and nothing chosen by the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(kernels.CHOICE, raising=False)
    monkeypatch.delenv("EMU_SANDBOX", raising=False)
    return tmp_path / "cache"


def there(version: str, release: str | None) -> Kernel:
    """A fetched kernel; `release`: what has booted, if it has."""
    kernel = Kernel(kernels.folder() / version)
    kernel.modules.mkdir(parents=True)
    kernel.libc.mkdir()
    kernel.program.touch()
    if release is not None:
        kernel.booted(release)
    return kernel


@pytest.mark.parametrize("wanted", [AUTO, DISTRIBUTION])
def test_without_a_fetched_one_the_distribution_s_boots(wanted: str) -> None:
    """Nothing has to be fetched for a run."""
    assert kernels.choose(wanted) is None


def test_a_fetched_one_that_is_asked_for_and_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the command, and is the same by whatever it was asked for."""
    with pytest.raises(EmuError, match="emu sandbox kernel --fetch"):
        kernels.choose(FETCHED)
    monkeypatch.setenv(kernels.CHOICE, FETCHED)
    with pytest.raises(EmuError, match="emu sandbox kernel --fetch"):
        kernels.choose()


def test_auto_is_the_newest_that_has_booted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its version's numbers. One that has not booted is passed over, and the environment can say otherwise."""
    there("7.9um1", "7.9.3")
    newest = there("7.10um1", "7.10.1")
    there("7.11um1", None)
    assert kernels.choose() == newest and newest.release == "7.10.1"
    assert kernels.choose(DISTRIBUTION) is None
    monkeypatch.setenv(kernels.CHOICE, DISTRIBUTION)
    assert kernels.choose() is None and kernels.choose(FETCHED) == newest


def test_a_choice_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with what there is."""
    monkeypatch.setenv(kernels.CHOICE, "newest")
    with pytest.raises(EmuError) as caught:
        kernels.choose()
    assert "EMU_SANDBOX_KERNEL=newest" in caught.value.what
    assert all(choice in caught.value.fix for choice in kernels.CHOICES)


def test_older_ones_are_removed_and_all() -> None:
    """What was fetched can be dropped again."""
    old, new = there("7.9um1", "7.9.3"), there("7.10um1", "7.10.1")
    assert kernels.remove(keep=new) == [old.folder] and kernels.fetched() == new
    assert kernels.remove() == [new.folder] and kernels.fetched() is None and kernels.remove() == []


def test_a_guest_s_parts_are_the_fetched_kernel_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program, modules and C library; the rest is the machine's."""
    monkeypatch.setattr(parts, "which", lambda name: Path("/bin", name))
    monkeypatch.setattr(parts, "_first", lambda *candidates: Path(candidates[0]))
    kernel = there("7.10um1", "7.10.1")
    found = parts.find_parts(kernel=kernel)
    assert (found.kernel, found.modules, found.libc) == (kernel.program, kernel.modules, kernel.libc)
    distribution = parts.find_parts()
    assert distribution.kernel == Path("/bin/linux.uml") and distribution.libc is None
    assert found.dockerd == distribution.dockerd


def test_the_command_says_which_boots() -> None:
    """Before, with one, and after it is removed."""
    said = CliRunner().invoke(main, ["sandbox", "kernel"]).output
    assert re.search(r"fetched: none", said) and "boots the distribution one" in said
    there("7.10um1", "7.10.1")
    said = CliRunner().invoke(main, ["sandbox", "kernel", "--fetch", "--if-none"]).output
    assert "Linux 7.10.1" in said and "boots the fetched one" in said
    assert "removed" in CliRunner().invoke(main, ["sandbox", "kernel", "--remove"]).output
    assert "no fetched kernel" in CliRunner().invoke(main, ["sandbox", "kernel", "--remove"]).output


def test_a_machine_without_apt_fetches_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says why, and that the distribution's works; nothing is left in the cache."""
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(main, ["sandbox", "kernel", "--fetch"])
    assert done.exit_code == 2 and "apt-get" in done.stderr and "the distribution's kernel works" in done.stderr
    assert not list(kernels.folder().glob("*"))


def test_a_mirror_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """apt's own words are in the error, and the unfinished folder is gone."""
    if fetching.obstacle() is not None:
        pytest.skip(f"this machine cannot fetch: {fetching.obstacle()}")
    monkeypatch.setattr(fetching, "_mirror", lambda: "http://127.0.0.1:9/debian")
    said: list[str] = []
    with pytest.raises(EmuError, match=re.escape("127.0.0.1:9")):
        fetching.fetch(said.append)
    assert said and [path.name for path in kernels.folder().iterdir()] == [".lock"]


def test_what_a_killed_fetch_leaves_is_found() -> None:
    """But not while another one is under way, which is then refused."""
    assert fetching.unfinished() == []
    left = kernels.folder() / ".unfinished-x"
    left.mkdir(parents=True)
    assert fetching.unfinished() == [left]
    lock = locked(kernels.folder() / ".lock")
    assert lock is not None
    with Descriptors(lock):
        assert fetching.unfinished() == []
        if fetching.obstacle() is None:
            with pytest.raises(EmuError, match="another emu fetches one now"):
                fetching.fetch(print)


def test_a_program_runs_with_a_loader_beside_it(tmp_path: Path) -> None:
    """A relative name in its header is looked for where it is started; elsewhere it cannot start."""
    program = TRUE.read_bytes()
    own = re.search(rb"(/lib64/ld-[^\0]+)\0", program)
    assert own is not None
    beside = tmp_path / "true"
    beside.write_bytes(fetching.with_loader(program, "./libc/ld.so"))
    beside.chmod(0o755)
    with pytest.raises(FileNotFoundError):
        subprocess.run([str(beside)], cwd=tmp_path, check=True)
    (tmp_path / "libc").mkdir()
    (tmp_path / "libc/ld.so").symlink_to(own[1].decode())
    subprocess.run([str(beside)], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("program", "loader", "why"),
    [
        (b"#!/bin/sh\n", "./ld.so", "no ELF program"),
        (TRUE.read_bytes(), "/a/name/that/is/longer/than/its/own", "no room"),
    ],
)
def test_what_cannot_be_given_another_loader(program: bytes, loader: str, why: str) -> None:
    """It is refused, not written half."""
    with pytest.raises(ValueError, match=why):
        fetching.with_loader(program, loader)
