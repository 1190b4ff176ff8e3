"""An init container's stand-in: it does one piece of work, then ends.

    python -m emu.daemon.app.task

EMU_WORK says what, as a request's query string would (`emu.messages.work.Work`): read a file, write a file, hold
memory, burn CPU, sleep, exit. Files are given by their paths. Memory is let go at the end, with the process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from emu.daemon import loop
from emu.daemon.app import work
from emu.daemon.app.memory import fill, reserve
from emu.messages import STARTED, WORK_VARIABLE
from emu.messages.work import Work


def main(environ: Mapping[str, str]) -> int:
    """Do it; the exit status."""
    signal.signal(signal.SIGTERM, _end)
    log = loop.Log("task")
    asked = Work.from_query(environ.get(WORK_VARIABLE) or "")
    log.event(STARTED, pid=os.getpid())
    try:
        _do(asked, log)
    except OSError as failed:
        log.event("failed", why=str(failed))
        return 1
    return asked.exit or 0


def _do(asked: Work, log: loop.Log) -> None:
    if asked.read_file is not None:
        log.event("read", file=asked.read_file, bytes=work.read_file(Path(asked.read_file)))
    if asked.write_file is not None:
        log.event("written", file=asked.write_file, bytes=work.write_file(Path(asked.write_file), asked.write_bytes))
    space = reserve(asked.hold) if asked.hold else None
    if space is not None:
        fill(space)
        log.event("holds", bytes=asked.hold)
    work.burn(asked.cpu)
    time.sleep(asked.sleep)


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(os.environ))
