"""The disk of a run, shared by weight while the run lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from emu.kubelet import ioweight
from emu.run.changed import IO_COST, changed
from emu.spec import ScenarioSpec


@contextmanager
def shared(
    spec: ScenarioSpec, disk: str | None, root: Path, run: Path, *, own_machine: bool, home: Path | None = None
) -> Iterator[None]:
    """While it lasts the disk is shared as the scenario asks for. EmuError where it cannot be: nothing has started.
    `root`: the root of the cgroups; `run`: the run's cgroup; `home`: of the record for `emu clean`.
    """
    if not ioweight.asked(spec):
        yield
        return
    ioweight.check(spec, disk, root, run, own_machine=own_machine)
    if not own_machine or disk is None:
        yield
        return

    def found() -> dict[str, object]:
        return {"root": str(root), **asdict(ioweight.found(root, disk))}

    with changed(IO_COST, found, home=home):
        ioweight.switch_on(root, disk, spec.node.io.cost)  # each run its own way
        yield
