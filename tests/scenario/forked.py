"""`emu`, in a copy of this process: what it imports, a quarter of a small run's processor time, is there already."""

from __future__ import annotations

import atexit
import gc
import os
import pkgutil
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import NoReturn, TextIO

from tests.scenario.support import ENVIRONMENT, Ended

_ROOMS = ("cli", "helpers", "kubelet", "record", "report", "run", "runtime", "scenario", "serving", "study")
"""Of emu: what a run imports is in them, or is imported by them."""


@cache
def _imported() -> None:
    for room in _ROOMS:
        for module in pkgutil.walk_packages(import_module(f"emu.{room}").__path__, f"emu.{room}."):
            import_module(module.name)
    gc.collect()
    gc.freeze()  # the copies do not touch what is there


def emu(words: Sequence[str], timeout_s: float) -> Ended:
    """What the command came to. One that takes longer is killed, with all that it started, by AssertionError."""
    _imported()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            _become(words, out, err)
        fd = os.pidfd_open(pid)
        try:
            ended, _, _ = select.select([fd], [], [], timeout_s)
            if not ended:
                os.killpg(pid, signal.SIGKILL)
        finally:
            os.close(fd)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        out.seek(0)
        err.seek(0)
        said = Ended(status, out.read(), err.read())
    assert ended, f"emu {' '.join(words)} took longer than {timeout_s:.0f} s: {said}"
    return said


def _become(words: Sequence[str], out: TextIO, err: TextIO) -> NoReturn:
    """Do as `python -m emu` does, and end as it does: nothing of what pytest would do at its end is done."""
    status = 1
    try:
        os.setsid()
        atexit._clear()
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.stdin, sys.stdout, sys.stderr = (
            open(fd, mode, closefd=False, encoding="utf-8")  # noqa: SIM115
            for fd, mode in enumerate("rww")
        )
        sys.argv = ["emu", *words]
        os.environ.clear()
        os.environ.update(ENVIRONMENT)
        sys.modules["emu.cli.main"].main(args=list(words), prog_name="emu")
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else leaving.code is not None
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
