"""Swap that is compressed: what a scenario may ask for, what is refused, and what the report makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.daemon.app.memory import fill, reserve
from emu.errors import EmuError
from emu.machine import zswap
from emu.machine.disks import swap_areas
from emu.run import swapping
from emu.scenario.capacity import lacking
from emu.scenario.reading import read_scenario
from emu.spec import MIB, ScenarioSpec

GIB = 1024 * MIB


def asking(memory: str, more: str = "") -> ScenarioSpec:
    """A scenario whose app has these memory controls."""
    return read_scenario(f"name: a\nquestion: b\npod: {{app: {{memory: {memory}}}}}\n{more}", "f.yaml")


def parameters(folder: Path, **texts: str) -> Path:
    """A folder as /sys/module/zswap/parameters."""
    for name, text in texts.items():
        (folder / name).write_text(f"{text}\n")
    return folder


def test_its_settings_are_known_while_it_is_on(tmp_path: Path) -> None:
    """Off, and absent, there are none."""
    there = parameters(tmp_path, enabled="N", compressor="lzo", max_pool_percent="20")
    assert (zswap.is_offered(there), zswap.is_on(there), zswap.settings(there)) == (True, False, {})
    zswap.switch(True, there)
    assert (zswap.is_on(there), zswap.settings(there)) == (True, {"compressor": "lzo", "max_pool_percent": "20"})
    absent = tmp_path / "absent"
    assert (zswap.is_offered(absent), zswap.is_on(absent), zswap.settings(absent)) == (False, False, {})


def test_a_host_s_zswap_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is off, or absent, a run that asks for it is refused, with what to do; one that does not, is not."""
    monkeypatch.delenv("EMU_SANDBOX", raising=False)
    spec = asking("{swapMax: max, zswapMax: max}")
    monkeypatch.setattr(swapping.zswap, "is_on", lambda: False)
    for offered, why in ((False, "CONFIG_ZSWAP"), (True, "no setting of a whole host")):
        monkeypatch.setattr(swapping.zswap, "is_offered", lambda offered=offered: offered)
        with pytest.raises(EmuError) as refused, swapping.zswap_for(spec):
            pass
        assert why in refused.value.why and "--on sandbox" in refused.value.fix
        with swapping.zswap_for(asking("{swapMax: max, zswapMax: 0}")) as on:
            assert on is False


def test_without_swap_there_is_nothing_to_compress() -> None:
    """zswapMax of a container that may not swap is refused before the start."""
    said = [one.what for one in lacking({"a": asking("{zswapMax: max}")}, "host", 4 * GIB, GIB)]
    assert said == ["a: memory.zswapMax has no effect on app, which may not swap"]
    assert not [*lacking({"a": asking("{swapMax: 1Mi, zswapMax: max}")}, "host", 4 * GIB, GIB)]


def test_a_host_has_to_swap_to_zram_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """To nothing else, or the run is refused."""
    monkeypatch.delenv("EMU_SANDBOX", raising=False)
    spec = asking("{swapMax: max}", "node: {swapDevice: zram}\n")
    monkeypatch.setattr(swapping.swap, "areas", lambda: [("/dev/zram0", GIB), ("/dev/sda2", GIB)])
    with pytest.raises(EmuError, match="swaps to /dev/sda2"):
        swapping.swap_for(spec)
    monkeypatch.setattr(swapping.swap, "areas", lambda: [("/dev/zram0", GIB)])
    with swapping.swap_for(spec):
        pass


def test_what_is_swapped_to_is_read_from_the_kernel_s_table() -> None:
    """Sizes are in KiB there; an empty table has its head alone."""
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    row = "/dev/zram0                              partition\t262140\t\t0\t\t-1\n"
    assert swap_areas(head) == []
    assert swap_areas(head + row) == [("/dev/zram0", 262140 * 1024)]


@pytest.mark.parametrize("zeros", [0.0, 0.75, 1.0])
def test_so_much_of_each_page_is_zero(zeros: float) -> None:
    """The rest is random, in each page: none is like another."""
    space = reserve(2 * MIB)
    fill(space, zeros=zeros)
    pages = [space[at : at + 4096] for at in range(0, 64 * 4096, 4096)]
    kept = round(4096 * (1 - zeros))
    assert all(page[kept:] == bytes(4096 - kept) for page in pages)
    assert len({page[:kept] for page in pages}) == (64 if kept else 1)
    assert not kept or all(page[:kept].count(0) < 100 for page in pages)
