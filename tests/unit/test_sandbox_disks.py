"""When a disk of the guest's is given up."""

from __future__ import annotations

from emu.sandbox.uml.inside.disks import PATIENCE, DiskWatch


def stat(done: int, in_flight: int) -> dict[str, str]:
    """A disk's file in sysfs."""
    return {"ubda": f"{done} 1 226 41 0 6 10336 60 {in_flight} 30 102 0 0 0 0 0 0"}


def test_a_disk_that_does_nothing_of_what_it_was_asked() -> None:
    """It is said once, by the disk's name, and only after many looks in a row."""
    watch = DiskWatch()
    said = [watch.look(stat(5, 2)) for _ in range(2 * PATIENCE)]
    assert [text for text in said if text] == [f"its disk ubda has completed no request for {PATIENCE} s"]
    assert said.index(next(filter(None, said))) == PATIENCE - 1


def test_a_disk_that_is_slow_or_idle() -> None:
    """One request done, or none asked for, and the patience begins again."""
    watch = DiskWatch()
    for look in range(5 * PATIENCE):
        assert watch.look(stat(look // (PATIENCE - 1), 2)) == ""
    for _ in range(5 * PATIENCE):
        assert watch.look(stat(9, 0)) == ""
