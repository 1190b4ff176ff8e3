"""What is half made when its maker is killed: found by its name, and removed by nobody else."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from emu.machine.unfinished import left_in, unfinished
from emu.run import cleaning
from emu.runtime import images

KILLED = """
import os, signal, sys
from pathlib import Path
from emu.machine.unfinished import unfinished
with unfinished(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in(place: Path) -> Path:
    """The folder that a maker left there."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", KILLED, str(place)], check=False)
    (left,) = left_in(place)
    return left


def test_only_a_dead_makers_folder_is_left(tmp_path: Path) -> None:
    """One in which something is made just now is no leftover, and goes by itself, also where it was renamed."""
    with unfinished(tmp_path) as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert left_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    with unfinished(tmp_path) as folder:
        folder.rename(tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert (killed_in(tmp_path) / "half").exists()
    assert left_in(tmp_path / "nowhere") == []


def test_two_first_runs_at_once_make_the_images_base_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second waits, and finds what the first made: it made its own, and removed the first one's
    while that was in use.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[str] = []
    second: list[threading.Thread] = []
    waits = threading.Event()

    def say(text: str) -> None:
        if text.startswith("waiting"):
            waits.set()

    def make(_suite: str, target: Path) -> None:
        made.append(target.parent.name)
        target.touch()
        if not second:
            second.append(threading.Thread(target=images.prepare, args=(say,)))
            second[0].start()
            assert waits.wait(120)

    monkeypatch.setattr(images, "_make_rootfs", make)
    monkeypatch.setattr(images, "_fetch_packages", lambda _python, target: target.mkdir())
    monkeypatch.setattr(images, "_python_version", lambda _: "3.11")
    artifacts = images.prepare()
    second[0].join(60)
    assert len(made) == 1
    assert artifacts.rootfs.is_file() and not second[0].is_alive()


@pytest.mark.usefixtures("own_cache_alone")
def test_clean_removes_what_was_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are hundreds of megabytes, and nobody would look for them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cleaning, "where", lambda: "host")
    left = killed_in(tmp_path / "emu" / "images")
    with unfinished(tmp_path / "emu" / "images") as living:
        removed = list(cleaning.clean(lambda _: None))
        assert living.is_dir()
    assert [one.name for one in removed if one.kind == "unfinished"] == [str(left)]
    assert not left.exists()
