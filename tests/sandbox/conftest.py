"""Guests that really boot. A module's tests share one where they can: a boot takes seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from emu.machine.proc import start_time
from emu.sandbox.uml import kernels, parts
from emu.sandbox.uml.guest import Guest
from emu.sandbox.uml.keeper import KERNEL, session_members
from emu.sandbox.uml.leftovers import Mark

DEADLINE_S = 300.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, saying how to get them, where the sandbox's parts are not installed."""
    missing = parts.missing_parts()
    if missing:
        reason = f"not installed: {', '.join(missing)}; run: {parts.install_line(sorted(set(missing.values())))}"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


def wait_until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"still waiting after {DEADLINE_S:.0f} s for {what}"
        time.sleep(0.05)


class Kept:
    """The processes and the directory of a guest that runs now. Where pids are few, theirs are soon somebody else's:
    each is known by its start too.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._keeper = Mark(**json.loads((scratch / "state.json").read_text())["keeper"])
        self._kernel = Mark(**json.loads((scratch / KERNEL).read_text()))
        self.keeper, self.kernel = self._keeper.pid, self._kernel.pid

    def session(self) -> list[int]:
        """The kernel and all that it started, as far as they live."""
        if start_time(self.kernel) not in (None, self._kernel.started):
            return []  # a session keeps its number as long as a member lives
        return session_members(self.kernel)

    def processes(self) -> list[int]:
        """Every process of the guest that is left."""
        return [*([self.keeper] if self._keeper.alive() else []), *self.session()]

    def signal(self, number: signal.Signals) -> None:
        """Send all of the kernel's a signal, the kernel first, which starts and ends the others."""
        for pid in sorted(self.session(), key=lambda pid: pid != self.kernel):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def gone(self) -> bool:
        """Whether it has left neither a process nor its scratch directory."""
        return not self.processes() and not self.scratch.exists()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Image disks of the tests' own, so that the user's are neither used nor filled; the fetched kernel."""
    fetched = kernels.fetched()
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        if fetched is not None:
            (place / "emu" / "kernel").mkdir(parents=True, mode=0o700)
            (place / "emu" / "kernel" / fetched.version).symlink_to(fetched.folder)
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield place / "emu"


class Ended:
    """What a command in a guest came to."""

    def __init__(self, status: int, out: bytes, err: bytes) -> None:
        self.status, self.out, self.err = status, out, err


class Shared:
    """A booted guest, what it said while booting, and a directory that it shares."""

    def __init__(self, guest: Guest, said: list[str], directory: Path) -> None:
        self.guest, self.said, self.directory = guest, said, directory

    def run(self, *argv: str, stdin: int | None = None) -> Ended:
        """Run a command with its output in files, so that it is exactly what arrived."""
        out, err = self.directory / "out.host", self.directory / "err.host"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            status = self.guest.run(argv, stdin=stdin, stdout=out_file.fileno(), stderr=err_file.fileno())
        return Ended(status, out.read_bytes(), err.read_bytes())

    def sh(self, script: str, stdin: int | None = None) -> Ended:
        """Run a line of shell."""
        return self.run("sh", "-c", script, stdin=stdin)
