"""Bytes on a real block device, as io.stat counts them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from cgroups.group import Cgroup
from cgroups.io import IoMax
from cgroups.values import NO_LIMIT
from tests.kernel.support import Child

pytestmark = [pytest.mark.kernel, pytest.mark.part(name="kernel")]

WRITE = "import os; fd = os.open({path!r}, os.O_WRONLY); os.write(fd, bytes({size})); os.fsync(fd); os.close(fd)"


def device_of(path: Path) -> str:
    """The whole disk's number: what io.stat counts by, for a partition too."""
    number = path.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    if (entry / "partition").exists():
        return (entry.parent / "dev").read_text().strip()
    return f"{os.major(number)}:{os.minor(number)}"


def test_what_is_written_is_counted_for_its_device(group: Cgroup, disk: Path) -> None:
    """Bytes that a process of the cgroup wrote and synced; its page cache is the cgroup's too."""
    size = 4 << 20
    with tempfile.NamedTemporaryFile(dir=disk) as file, Child(group) as child:
        child.run(WRITE.format(path=file.name, size=size))
        reported = group.io.stat
        assert reported is not None
        device = reported[device_of(disk)]
        assert device.wbytes is not None and device.wbytes >= size
        assert device.wios is not None and device.wios >= 1
        stat = group.memory.stat
        assert stat is not None and stat.page_cache is not None and stat.page_cache >= size


def test_an_io_limit_reads_back(group: Cgroup, disk: Path) -> None:
    """One device's limits are set in one write, and taken away by NO_LIMIT."""
    device = device_of(disk)
    group.io.max = IoMax(device, wbps=1 << 20)
    assert group.io.max == {device: IoMax(device, wbps=1 << 20)}
    group.io.max = IoMax(device, wbps=NO_LIMIT)
    assert group.io.max == {}
