"""What a run swaps to: zswap, zram or a file. Made where the machine is the run's own, and demanded where it is
somebody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from cgroups.mount import find_cgroup2
from emu.errors import EmuError
from emu.machine import swap, zram, zswap
from emu.run.changed import SWAP, ZSWAP, Before, changed, kept, undo
from emu.run.machine import where
from emu.runtime.process import roots
from emu.spec import ScenarioSpec

_KEYS = "memory.zswapMax and memory.zswapWriteback"


@contextmanager
def swapping(spec: ScenarioSpec) -> Iterator[bool]:
    """While it lasts the machine swaps as the scenario asks for; whether pages may go to zswap. EmuError."""
    if where() != "host":
        for _ in undo():  # what a run that was killed has changed and left behind
            pass
    with swap_for(spec), zswap_for(spec) as on:
        yield on


def swap_for(spec: ScenarioSpec) -> AbstractContextManager[None]:
    """While it lasts the machine swaps to what the scenario asks for. EmuError where it does not."""
    wanted = spec.node.swap_device
    if wanted == "disk":
        if (theirs := kept(SWAP)) is not None:
            raise _other_swap(wanted, theirs)
        return nullcontext()
    if where() != "host":
        return _in_place_of_disks(wanted)
    others = [area for area, _ in swap.areas() if _kind(area) != wanted]
    if others or not swap.areas():
        raise EmuError(
            f"node.swapDevice: this machine does not swap to {_NAMES[wanted]} alone",
            f"it swaps to {', '.join(others) or 'nothing'}, and emu changes no setting of a whole host",
            "run it in the sandbox (--on sandbox), or remove `node.swapDevice`",
        )
    return nullcontext()


_NAMES = {"disk": "a disk", "zram": "zram", "file": "a file"}


def _kind(area: str) -> str:
    if zram.is_zram(area):
        return "zram"
    return "file" if Path(area).is_file() else "disk"


@contextmanager
def _in_place_of_disks(wanted: str) -> Iterator[None]:
    """Swap to zram or a file, as large as what this machine swaps to now, and to that again afterwards. Runs that
    overlap share it. EmuError.
    """
    with changed(SWAP, lambda: _exchange(wanted), _swap_to) as before:
        if _kind(str(before["area"])) != wanted:
            raise _other_swap(wanted, before)
        yield


def _other_swap(wanted: str, others: Before) -> EmuError:
    return EmuError(
        f"node.swapDevice: this machine cannot swap to {_NAMES[wanted]} now",
        f"another run has it swap to {others['area']}",
        "wait for its end, or run each in a sandbox of its own: --on sandbox",
    )


def _exchange(wanted: str) -> Before:
    """What is swapped to now, and what will be."""
    area = f"/dev/{zram.unused()}" if wanted == "zram" else str(roots.HOME / "swapfile")
    return {"areas": [area for area, _ in swap.areas()], "area": area}


def _swap_to(before: Before) -> None:
    areas, area = swap.areas(), str(before["area"])
    size = sum(size for _, size in areas)
    if zram.is_zram(area):
        zram.make(Path(area).name, size)
    else:
        swap.make_file(Path(area), size)
    swap.swap_to(area, [one for one, _ in areas])


@contextmanager
def zswap_for(spec: ScenarioSpec) -> Iterator[bool]:
    """Whether pages may go to zswap while the run lasts. EmuError where the scenario asks for it and there is none.

    A sandbox or virtual machine is the run's own: it is switched there, and back for the next variant. On a host it
    stays as it is; then it must be on.
    """
    asked = [one for pod in spec.each_pod.values() for one in pod.containers.values() if one.memory.compresses]
    if not asked:
        yield zswap.is_on()
        return
    if not zswap.is_offered():
        raise EmuError(
            f"{_KEYS} need a kernel with zswap",
            "this one has none (CONFIG_ZSWAP is not set)",
            "run it in the sandbox (--on sandbox) or in the virtual machine (--on vm), or remove them",
        )
    if any(one.memory.zswap_writeback is not None for one in asked) and not any(
        find_cgroup2().path.glob("*/memory.zswap.writeback")
    ):
        raise EmuError(
            "memory.zswapWriteback cannot be set",
            "this kernel has no memory.zswap.writeback (it is there from Linux 6.8 on)",
            "remove it, or boot a newer kernel: --on sandbox after `emu sandbox kernel --fetch`",
        )
    on = zswap.is_on()
    if on and where() == "host":
        yield True
        return
    if where() == "host":
        raise EmuError(
            f"{_KEYS} have no effect: zswap is off on this machine",
            f"{zswap.PARAMETERS}/enabled is N, and emu changes no setting of a whole host",
            f"turn it on (echo Y | sudo tee {zswap.PARAMETERS}/enabled), run it in the sandbox (--on sandbox), "
            "or remove them",
        )
    with changed(ZSWAP, lambda: {"on": zswap.is_on()}, _zswap_on):
        yield True


def _zswap_on(_before: Before) -> None:
    try:
        zswap.switch(True)
    except OSError as error:
        what = f"zswap cannot be turned on: {error.strerror or error}"
        raise EmuError(what, f"{zswap.PARAMETERS}/enabled could not be written", "run it as root") from error
