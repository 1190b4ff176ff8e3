"""A disk with files and swap: what of its bytes was which, by the pages that the kernel counts."""

from __future__ import annotations

from emu.record.events import Owner
from emu.study.model.machine import Device, Machine
from emu.study.model.timeline import Column, IoColumns, Timeline
from emu.study.swap_files import is_unsplit, part_of, split, whole

PAGE = 4096
DISK = "98:0"


def line(reads: Column, writes: Column, **columns: Column) -> Timeline:
    """A cgroup through three samples."""
    return Timeline(Owner("a", "app", 0), [0.0, 1.0, 2.0], io={DISK: IoColumns(reads, writes)}, **columns)


def machine() -> Machine:
    """One whose files and swap are on one disk."""
    return Machine(devices={DISK: Device(DISK, "ubda", "files and swap")})


def test_bytes_of_swap_are_distinguished_from_those_of_files() -> None:
    """By pswpin and pswpout. Whichever counter was read first, the files' part never shrinks, and both are right in
    the end; together they stay the disk's, which io.max bounds.
    """
    node = machine()
    one = line(
        [0, 3 * PAGE, 10 * PAGE], [0, PAGE, 2 * PAGE], swap=[0, PAGE, 0], swapped_in=[0, 1, 9], swapped_out=[0, 2, 1]
    )
    split(node.devices, [one], PAGE)
    assert one.io[DISK] == IoColumns([0, PAGE, PAGE], [0, 0, PAGE])
    assert one.io[part_of(DISK)] == IoColumns([0, 2 * PAGE, 9 * PAGE], [0, PAGE, PAGE])
    assert whole(one, DISK, "read_bytes") == [0, 3 * PAGE, 10 * PAGE]
    assert not is_unsplit(node.devices, one)
    assert (node.swaps_to, [key for key, device in node.devices.items() if device.is_swap]) == (
        "disk",
        [part_of(DISK)],
    )


def test_without_the_kernel_s_count_only_who_never_swapped_has_known_parts() -> None:
    """Kernels before that count: of a cgroup with pages in swap nothing is made up."""
    node = machine()
    quiet, swapped = (line([0, PAGE, None], [0, 0, None], swap=swap) for swap in ([0, 0, 0], [0, PAGE, 0]))
    split(node.devices, [quiet, swapped], PAGE)
    assert quiet.io[DISK].read_bytes == [0, PAGE, None]
    assert quiet.io[part_of(DISK)].read_bytes == [0, 0, None]
    assert (is_unsplit(node.devices, quiet), is_unsplit(node.devices, swapped)) == (False, True)
    assert whole(swapped, DISK, "read_bytes") == [0, PAGE, None]


def test_disks_of_their_own_stay_as_they_are() -> None:
    """Nothing is split where swap has a device to itself."""
    devices = {DISK: Device(DISK, "ubda", "process"), "98:16": Device("98:16", "ubdb", "swap")}
    one = line([0, PAGE, PAGE], [0, 0, 0], swap=[0, PAGE, 0])
    split(devices, [one], PAGE)
    assert (list(devices), list(one.io)) == ([DISK, "98:16"], [DISK])
