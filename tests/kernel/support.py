"""A process in a cgroup that does as it is asked, and waiting for a condition with a deadline."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from cgroups.group import Cgroup

DEADLINE_S = 120.0

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
        """The line that it says next; b"" when it has died, `None` when it says nothing in time."""
        assert self.process is not None and self.process.stdout
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], timeout_s)
            if not ready:
                return None
            part = os.read(self.process.stdout.fileno(), 1)
            if not part:
                break
            line += part
        return line

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
