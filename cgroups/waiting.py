"""Wait for cgroup.events to say something, woken by the kernel, with a deadline."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from pathlib import Path

from cgroups import parse
from cgroups.events import OpenFile
from cgroups.values import CgroupEvents


def wait_for_events(cgroup: Path, wanted: Callable[[CgroupEvents], bool], deadline_s: float) -> bool:
    """Whether cgroup.events of this cgroup said what is wanted within the deadline. Raises `CgroupGone`.

    The file is read before each poll(2): a change that came first is seen at once, a later one wakes the poll.
    """
    end = time.monotonic() + deadline_s
    poller = select.poll()
    with OpenFile(cgroup / "cgroup.events") as events:
        poller.register(events.fileno(), select.POLLPRI)
        while not wanted(parse.parse_cgroup_events(events.read())):
            left_s = end - time.monotonic()
            if left_s <= 0:
                return False
            poller.poll(left_s * 1000)
    return True
