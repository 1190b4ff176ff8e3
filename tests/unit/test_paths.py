"""The cache is trusted only where it is surely ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emu.cli.main import main
from emu.errors import EmuError
from emu.machine import paths
from emu.sandbox.uml import leftovers


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is said to be; not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(paths.IN_SANDBOX, raising=False)
    return tmp_path / "cache" / "emu"


def test_it_is_made_for_its_owner_alone(cache: Path) -> None:
    """Mode 0700, whatever the umask."""
    assert paths.own_cache_dir() == cache
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_relative_name_of_the_cache_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each folder in which emu is called would have a cache of its own; a relative home is where it leads to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    for home in (str(tmp_path / "home"), "home"):
        monkeypatch.setenv("HOME", home)
        assert paths.cache_dir() == tmp_path / "home/.cache/emu"


@pytest.mark.parametrize("words", [["clean"], ["images"], ["run", "app-oom"], ["sandbox", "kernel"], ["doctor"]])
@pytest.mark.usefixtures("own_cache_alone")
def test_a_user_without_a_home_gets_one_error(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HOME is not set and the list of users does not know the user, as in a container with a uid of its own."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv(paths.IN_SANDBOX, raising=False)
    monkeypatch.setattr(Path, "home", classmethod(_no_home))
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert left.value.code == 2 or words == ["doctor"]
    assert "set XDG_CACHE_HOME" in said or words == ["doctor"]


def _no_home(_cls: type[Path]) -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_one_that_others_may_write_is_refused(cache: Path, mode: int) -> None:
    """By every command that would trust what lies in it; the error says how to go on."""
    cache.mkdir(parents=True)
    cache.chmod(mode)
    with pytest.raises(EmuError, match=f"mode {mode:04o}") as caught:
        paths.own_cache_dir()
    assert f"chmod go-w {cache}" in caught.value.fix
    with pytest.raises(EmuError):
        leftovers.sweep()
    with pytest.raises(SystemExit) as left:
        main(["sandbox", "reset"])
    assert left.value.code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_one_of_somebody_else_is_refused(cache: Path) -> None:
    """Also for root, who could use it: what its owner writes there would be done as root."""
    cache.mkdir(parents=True)
    os.chown(cache, 65533, 65533)
    with pytest.raises(EmuError, match="belongs to uid 65533"):
        paths.own_cache_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_note_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    """A scratch directory that another user owns, or may write to, names no process to end and is left alone."""
    for name, change in (("g1", lambda path: os.chown(path, 65533, 65533)), ("g2", lambda path: path.chmod(0o777))):
        scratch = tmp_path / name
        scratch.mkdir()
        me = leftovers.mark(os.getpid())
        leftovers.GuestState(str(scratch), leftovers.Mark(1, 1), me, leftovers.boot_id()).save()
        change(scratch)
    assert leftovers.sweep(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 2
