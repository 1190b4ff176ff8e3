"""Both kernels that a guest can boot: the distribution's, and a fetched one where there is one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from emu.sandbox.uml import kernels
from emu.sandbox.uml.console import SandboxError
from emu.sandbox.uml.guest import Guest
from tests.sandbox.conftest import Kept, Shared, wait_until

MEMORY = 2**29


@pytest.mark.parametrize("choice", [kernels.DISTRIBUTION, kernels.FETCHED])
@pytest.mark.usefixtures("cache")
def test_a_guest_boots_it_and_ends_with_it(choice: str, tmp_path: Path) -> None:
    """The kernel asked for is the one that runs, with its modules and a file that is written through; and none of its
    processes outlives it.
    """
    fetched = kernels.fetched()
    if choice == kernels.FETCHED and fetched is None:
        pytest.skip("no kernel has been fetched: emu sandbox kernel --fetch")
    said: list[str] = []
    with (
        pytest.raises(SandboxError, match="the guest ended by itself"),
        Guest(memory_bytes=MEMORY, shares=[tmp_path], docker=False, kernel=choice, say=said.append) as guest,
    ):
        box, there = Shared(guest, said, tmp_path), Kept(guest.scratch or Path())
        release = box.sh("uname -r").out.decode().strip()
        assert guest.facts is not None and guest.facts.kernel == release
        assert release in ([fetched.release] if choice == kernels.FETCHED and fetched else _installed())
        assert box.sh(f"modprobe veth && lsmod | grep -q veth && echo written > {tmp_path}/x").status == 0
        assert (tmp_path / "x").read_text() == "written\n"
        os.kill(there.kernel, signal.SIGKILL)
        guest.run(["sleep", "300"], stdin=None)
    wait_until(there.gone, "the guest to be gone")


def _installed() -> list[str]:
    return [path.name for path in Path("/usr/lib/uml/modules").iterdir()]
