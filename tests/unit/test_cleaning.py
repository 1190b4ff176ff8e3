"""What `emu clean` removes, and what it leaves alone."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cgroups.errors import CgroupBusy
from cgroups.mount import Mount
from emu.errors import EmuError, SeveralErrors
from emu.helpers import freezer
from emu.machine import swap, zram, zswap
from emu.machine.owner import owner
from emu.run import changed as changes
from emu.run import cleaning, registry
from emu.runtime.api import Labelled
from emu.runtime.docker import Engine
from emu.runtime.podcgroup import PodCgroup
from emu.runtime.process import leftovers, network
from tests.fakes import FakePodCgroup


@pytest.fixture(autouse=True)
def nobody_s_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test ends what is left of somebody else's runs on this machine."""
    monkeypatch.setattr(cleaning, "end_orphans", list)


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
    monkeypatch.setattr(cleaning, "existing_runs", lambda driver, _: pods[driver])
    monkeypatch.setattr(registry, "HOME", tmp_path / "registry")
    monkeypatch.setattr(cleaning, "read_owner", lambda path: owner() if path.name == "living" else "1:0:gone")
    said: list[str] = []
    assert [removed.name for removed in cleaning.clean(said.append)] == [
        str(tmp_path / driver / "dead") for driver in ("cgroupfs", "systemd")
    ]
    assert len(said) == 1
    assert "no Docker engine answers" in said[0]


class NoEngine:
    """An engine that has what a run made, and marked, just now."""

    def __init__(self, begin: Callable[[], object]) -> None:
        self.removed: list[str] = []
        self._begin = begin

    def connect(self) -> None:
        """It answers."""

    def labelled(self, _label: str) -> list[dict[str, str]]:
        """It has no container yet."""
        return []

    def labelled_volumes(self, _label: str) -> list[str]:
        """The volumes of two runs, one of which begins now."""
        self._begin()
        return ["emu-starting-1-data", "emu-dead-2-data"]

    def labelled_images(self, _label: str) -> list[dict[str, str]]:
        """None."""
        return []

    def remove_volume(self, name: str) -> None:
        """Note it."""
        self.removed.append(name)


def test_a_run_that_is_just_starting_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind: what it made, and did not mark yet, stays; the same of a run that was killed there goes. The run
    begins while `emu clean` looks for what there is.
    """
    runs = ("emu-starting-1", "emu-dead-2")
    monkeypatch.setattr(registry, "HOME", tmp_path / "registry")
    monkeypatch.setattr(freezer, "HOME", tmp_path / "freezer")
    monkeypatch.setattr(leftovers.roots, "HOME", tmp_path / "home")
    monkeypatch.setattr(cleaning, "where", lambda: "sandbox:uml")
    monkeypatch.setattr(cleaning, "find_cgroup2", lambda: Mount(tmp_path, frozenset({"memory"}), False))
    monkeypatch.setattr(cleaning, "read_owner", lambda _path: None)
    monkeypatch.setattr(cleaning.processes, "clean", partial(leftovers.clean, home=tmp_path / "home"))
    monkeypatch.setattr(network, "existing", lambda: [f"{run}.abc" for run in runs])
    gone: list[str] = []
    monkeypatch.setattr(network, "remove", gone.append)
    pods = [FakePodCgroup(tmp_path / "cgroups" / run) for run in runs]
    for folder in [pod.path for pod in pods] + [tmp_path / "freezer" / run for run in runs]:
        folder.mkdir(parents=True)
    for run in runs:
        (tmp_path / "home/runs" / run).mkdir(parents=True)  # its owner is not in it yet
    monkeypatch.setattr(
        cleaning, "run_cgroup", lambda _driver, _mount, run: FakePodCgroup(tmp_path / "cgroups" / run)
    )
    monkeypatch.setattr(cleaning, "existing_runs", lambda driver, _mount: pods if driver == "cgroupfs" else [])
    with ExitStack() as stack:
        engine = NoEngine(lambda: stack.enter_context(registry.registered(runs[0])))
        monkeypatch.setattr(cleaning, "Engine", lambda: engine)
        removed = list(cleaning.clean(lambda _words: None))
    assert {Path(thing.name).name for thing in removed} == {"emu-dead-2", "emu-dead-2.abc", "emu-dead-2-data"}
    assert {thing.kind for thing in removed} == {"volume", "freezer", "cgroup", "network", "folder"}
    assert (engine.removed, gone) == (["emu-dead-2-data"], ["emu-dead-2.abc"])


def test_the_registry_knows_the_living(tmp_path: Path) -> None:
    """A run is in it from before its first thing to after its last; one that was killed is not alive, and goes."""
    with registry.registered("emu-a-1", tmp_path / "runs"):
        (tmp_path / "runs" / "emu-b-2").symlink_to("1:0:gone")
        assert registry.living(tmp_path / "runs") == {"emu-a-1"}
        registry.forget_dead(tmp_path / "runs")
        assert [link.name for link in (tmp_path / "runs").iterdir()] == ["emu-a-1"]
    assert list((tmp_path / "runs").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(EmuError, match="cannot register"), registry.registered("emu-a-1", tmp_path / "file"):
        pass


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is done to the machine's swap; zswap is on."""
    done: list[object] = []
    monkeypatch.setattr(zswap, "is_on", lambda: True)
    monkeypatch.setattr(zswap, "switch", done.append)
    monkeypatch.setattr(swap, "back", lambda areas, area: done.append((areas, area)))
    monkeypatch.setattr(zram, "remove", done.append)
    return done


def left(home: Path) -> list[str]:
    """What is on record."""
    return [path.name for path in home.glob("[!.]*")]


GONE = json.dumps({"owners": ["1:0:gone"], "before": {"areas": ["/dev/vdb"], "area": "/dev/zram0"}})
BACK = (["/dev/vdb"], "/dev/zram0")


def test_what_a_run_changed_of_its_machine_is_undone(tmp_path: Path, switched: list[object]) -> None:
    """By itself at its end, and by nobody else before."""
    with changes.changed(changes.ZSWAP, dict, home=tmp_path):
        assert list(changes.undo(tmp_path)) == []
        assert switched == []
    assert switched == [False]
    assert left(tmp_path) == []


def test_what_a_killed_run_changed_of_its_machine_is_undone(tmp_path: Path, switched: list[object]) -> None:
    """Once; what is no record of one is thrown away, and says nothing where it does not say how it was."""
    (tmp_path / changes.SWAP).write_text(GONE)
    (tmp_path / changes.ZSWAP).write_text("half a rec")
    assert list(changes.undo(tmp_path)) == [("swap", "swap is on /dev/vdb"), ("zswap", "off")]
    assert switched == [BACK, "zram0", False]
    (tmp_path / changes.SWAP).write_text("half a rec")
    assert list(changes.undo(tmp_path)) == []
    assert left(tmp_path) == []


def test_of_runs_that_overlap_the_last_one_undoes_what_the_first_one_found(
    tmp_path: Path, switched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever ends first; one that was killed meanwhile is no longer waited for."""
    before, later = {"areas": ["/dev/vdb"], "area": "/dev/zram0"}, {"areas": ["/dev/zram0"], "area": "/dev/zram1"}
    alive, made = {"first", "second"}, list[str]()
    monkeypatch.setattr(changes, "lives", alive.__contains__)

    def begun(name: str, found: dict[str, object]) -> AbstractContextManager[changes.Before]:
        monkeypatch.setattr(changes, "owner", lambda: name)
        entered = changes.changed(changes.SWAP, lambda: found, lambda _: made.append(name), home=tmp_path)
        assert entered.__enter__() == before
        return entered

    for dies in (False, True):
        alive |= {"first"}
        first, second = begun("first", before), begun("second", later)
        assert (made, changes.kept(changes.SWAP, tmp_path)) == (["first"], before)
        if dies:
            alive.discard("first")
        else:
            first.__exit__(None, None, None)
        assert switched == []
        second.__exit__(None, None, None)
        assert (switched, left(tmp_path)) == ([BACK, "zram0"], [])
        switched.clear()
        made.clear()


def test_what_cannot_be_undone_stays_on_record(
    tmp_path: Path, switched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`emu clean` says why, undoes all else, and can be asked again: swap in use needs memory to come back to."""

    def fails(areas: list[str], area: str) -> None:
        raise EmuError("cannot swap to zram", f"swapoff {area}: Cannot allocate memory", "")

    back = swap.back
    monkeypatch.setattr(swap, "back", fails)
    with (
        pytest.raises(EmuError),
        changes.changed(changes.SWAP, lambda: {"areas": [], "area": "/dev/zram1"}, home=tmp_path),
    ):
        pass
    assert (tmp_path / changes.SWAP).exists()
    (tmp_path / changes.SWAP).write_text(GONE)
    (tmp_path / changes.ZSWAP).write_text(GONE)
    with pytest.raises(EmuError, match="swap: what a run that was killed has changed cannot be undone") as wrong:
        list(changes.undo(tmp_path))
    assert left(tmp_path) == [changes.SWAP]
    assert switched.pop() is False
    assert "Cannot allocate memory" in wrong.value.why
    monkeypatch.setattr(swap, "back", back)
    assert list(changes.undo(tmp_path)) == [("swap", "swap is on /dev/vdb")]
    assert switched == [BACK, "zram0"]


def test_a_run_that_follows_a_killed_one_begins_from_what_that_one_found(
    tmp_path: Path, switched: list[object]
) -> None:
    """Also where `emu clean` did not come in between: nobody knows how far the killed one got."""
    (tmp_path / changes.SWAP).write_text(GONE)
    mine = {"areas": ["/dev/vdb"], "area": "/dev/zram1"}
    with changes.changed(changes.SWAP, lambda: mine, switched.append, home=tmp_path) as before:
        assert (before, switched) == (mine, [BACK, "zram0", mine])


def test_a_change_that_fails_is_undone_and_raised(tmp_path: Path, switched: list[object]) -> None:
    """It may have been made in part. What is raised is why, also where undoing fails."""

    def fails(_before: changes.Before) -> None:
        raise EmuError("no room", "no space left on device", "free some")

    with (
        pytest.raises(EmuError, match="no room"),
        changes.changed(changes.SWAP, lambda: {"areas": ["/dev/vdb"], "area": "/dev/zram0"}, fails, home=tmp_path),
    ):
        pass
    assert (switched, left(tmp_path)) == ([BACK, "zram0"], [])


def test_nobody_looks_while_a_setting_is_changed(
    tmp_path: Path, switched: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that begins waits until it is done, as `emu clean` does, and does not count on half of it."""
    monkeypatch.setattr(changes, "owner", lambda: threading.current_thread().name)
    monkeypatch.setattr(changes, "lives", lambda _: True)
    before = {"areas": ["/dev/vdb"], "area": "/dev/zram0"}
    looked: list[object] = []

    def look() -> None:
        looked.extend(changes.undo(tmp_path))
        with changes.changed(changes.SWAP, dict, switched.append, home=tmp_path) as found:
            looked.append(found)

    other = threading.Thread(target=look)

    def make(_before: changes.Before) -> None:
        other.start()
        deadline = time.monotonic() + 120
        while not _waits_for_a_lock() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not looked

    with changes.changed(changes.SWAP, lambda: before, make, home=tmp_path):
        other.join(120)
        assert (looked, switched) == ([before], [])
    assert switched == [BACK, "zram0"]


def _waits_for_a_lock() -> bool:
    waiting = re.compile(rf"-> FLOCK\s+ADVISORY\s+WRITE {os.getpid()} ")
    return waiting.search(Path("/proc/locks").read_text()) is not None


class Stubborn(NoEngine):
    """An engine with two containers, of which it cannot remove the first."""

    def labelled(self, label: str) -> list[Any]:
        """Of two dead runs."""
        return [Labelled(name, name, {label: name}, "exited") for name in ("stuck", "loose")]

    def labelled_volumes(self, _label: str) -> list[str]:
        """None."""
        return []

    def remove(self, container: str) -> None:
        """Note it, or refuse."""
        if container == "stuck":
            raise EmuError("cannot remove a container", "it is stuck", "kill it")
        self.removed.append(container)


class Busy(FakePodCgroup):
    """A cgroup with a process that the kernel does not let go."""

    def remove(self) -> None:
        """Refuse."""
        raise CgroupBusy("cannot remove it", "a process in it is in the kernel", "see what it waits for")


def test_what_cannot_be_removed_holds_nothing_else_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind the rest goes, and at the end each of the errors is reported. A cache that is somebody else's does
    not keep containers and cgroups from being looked for.
    """
    stub = Stubborn(lambda: None)
    pods = [kind(tmp_path / "cgroups" / name) for kind, name in ((Busy, "busy"), (FakePodCgroup, "idle"))]
    for pod in pods:
        pod.path.mkdir(parents=True)

    def foreign() -> Iterator[cleaning.Removed]:
        raise EmuError("the cache is refused", "it belongs to uid 1", "set XDG_CACHE_HOME")
        yield

    def unreadable() -> Iterator[cleaning.Removed]:
        raise PermissionError(errno.EACCES, "Permission denied", "/var/lib/emu")
        yield

    monkeypatch.setattr(cleaning, "where", lambda: "host")
    monkeypatch.setattr(cleaning, "_virtual_machines", lambda: iter(()))
    monkeypatch.setattr(cleaning, "_guests", foreign)
    monkeypatch.setattr(cleaning, "_unfinished", foreign)
    monkeypatch.setattr(cleaning, "_freezers", lambda _alive: unreadable())
    monkeypatch.setattr(cleaning, "_alive", set)
    monkeypatch.setattr(cleaning, "Engine", lambda: stub)
    monkeypatch.setattr(cleaning, "find_cgroup2", lambda: Mount(tmp_path, frozenset({"memory"}), False))
    monkeypatch.setattr(cleaning, "read_owner", lambda _path: None)
    monkeypatch.setattr(cleaning, "existing_runs", lambda driver, _mount: pods if driver == "cgroupfs" else [])
    monkeypatch.setattr(cleaning.processes, "clean", lambda _alive: iter(()))
    monkeypatch.setattr(registry, "HOME", tmp_path / "registry")
    monkeypatch.setattr(cleaning, "undo", lambda: iter([("zswap", "off")]))
    removed: list[str] = []
    with pytest.raises(SeveralErrors) as several:
        for thing in cleaning.clean(lambda _words: None):
            removed.append(Path(thing.name).name)
    assert (stub.removed, removed) == (["loose"], ["loose", "idle", "zswap: off"])
    assert [error.what for error in several.value.errors] == [
        "the cache is refused",
        "cannot remove a container",
        "cannot clean up /var/lib/emu",
        "cannot remove it",
    ]
