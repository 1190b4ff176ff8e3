"""What a test on a real kernel needs: a fresh cgroup of its own, and processes that do as they are told.

A test is skipped, with the reason, only where the host has no cgroup v2 memory controller; anything else that is
missing fails.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from cgroups.mount import Mount, find_cgroup2

DEADLINE_S = 30.0

HOLDER = """
import sys
held = []
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Child:
    """A process in a cgroup that runs one line of Python at a time, and says when it is done."""

    def __init__(self, cgroup: Cgroup) -> None:
        self.cgroup = cgroup
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.answer() == b"ready\n"
        self.cgroup.add(self.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None and self.process.stdin and self.process.stdout
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process.stdin.close()
        self.process.stdout.close()

    def start(self, line: str) -> None:
        """Begin a line of Python without waiting for its end."""
        assert self.process is not None and self.process.stdin
        os.write(self.process.stdin.fileno(), f"{line}\n".encode())

    def answer(self, timeout_s: float = DEADLINE_S) -> bytes | None:
        """What it says next; b"" when it has died, `None` when it says nothing in time."""
        assert self.process is not None and self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        return os.read(self.process.stdout.fileno(), 64) if ready else None

    def run(self, line: str) -> None:
        """Run a line of Python to its end."""
        self.start(line)
        assert self.answer() == b"done\n"

    def wait(self) -> int:
        """Its exit status once it has ended: -9 for SIGKILL."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)


def eventually(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; fail when it does not within the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not true within {deadline_s} s"
        select.select([], [], [], 0.005)


@pytest.fixture(scope="session")
def mount() -> Mount:
    """The host's cgroup2 mount, with the memory controller in it."""
    try:
        found = find_cgroup2()
        found.require("memory")
    except CgroupError as error:
        pytest.skip(
            f"this host has no cgroup v2 memory controller; `make test` runs this in the sandbox: {error.why}"
        )
    return found


@pytest.fixture
def top(mount: Mount) -> Iterator[Cgroup]:
    """A fresh cgroup below the root, which hands every controller of use on to its children."""
    wanted = [name for name in ("memory", "io", "cpu") if name in mount.controllers]
    Cgroup(mount.path).enable(*wanted)
    with Cgroup(mount.path / f"cgroups-test-{uuid.uuid4().hex[:8]}").create() as made:
        made.enable(*wanted)
        yield made


@pytest.fixture
def group(top: Cgroup) -> Cgroup:
    """A fresh cgroup to put processes in."""
    return (top / "pod").create()


@pytest.fixture
def disk() -> Path:
    """A directory on a real block device with room for some files: $EMU_TEST_DISK, or the first that is found."""
    named = os.environ.get("EMU_TEST_DISK")
    places = [named] if named else ["/var/lib/docker", "/var/tmp", "/"]
    for place in map(Path, places):
        if place.is_dir() and os.major(place.stat().st_dev) != 0 and os.access(place, os.W_OK):
            return place
    pytest.fail(f"no block device to write to among {', '.join(places)}: set EMU_TEST_DISK to a directory on one")
