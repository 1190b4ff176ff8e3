"""`emu clean` where no engine answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups.mount import Mount
from emu import cleaning
from emu.containers import Engine
from emu.errors import EmuError
from emu.owner import owner
from emu.podcgroup import PodCgroup
from tests.fakes import FakePodCgroup


def test_without_an_engine_pods_are_found_wherever_one_may_have_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both of Docker's cgroup drivers; a living run's stay. What only an engine knows of is said to be unseen."""
    pods: dict[str, list[PodCgroup]] = {}
    for driver in ("cgroupfs", "systemd"):
        for name in ("dead", "living"):
            folder = tmp_path / driver / name
            folder.mkdir(parents=True)
            pods.setdefault(driver, []).append(FakePodCgroup(folder))

    def nobody(_: Engine) -> None:
        raise EmuError("cannot reach a Docker engine", "No such file or directory", "start one")

    monkeypatch.setattr(Engine, "connect", nobody)
    monkeypatch.setattr(cleaning, "where", lambda: "sandbox:uml")
    monkeypatch.setattr(cleaning, "find_cgroup2", lambda: Mount(tmp_path, frozenset({"memory"}), False))
    monkeypatch.setattr(cleaning, "existing_pods", lambda driver, _: pods[driver])
    monkeypatch.setattr(cleaning, "read_owner", lambda path: owner() if path.name == "living" else "1:0:gone")
    said: list[str] = []
    assert [removed.name for removed in cleaning.clean(said.append)] == [
        str(tmp_path / driver / "dead") for driver in ("cgroupfs", "systemd")
    ]
    assert len(said) == 1
    assert "no Docker engine answers" in said[0]
