"""What a test on a real kernel needs: a fresh cgroup of its own, and processes that do as they are asked.

A test is skipped, with the reason, only where the host has no cgroup v2 memory controller; anything else that is
missing fails.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from cgroups.mount import Mount, find_cgroup2


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
