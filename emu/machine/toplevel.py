"""The top of every command: whatever reaches it becomes one message and one exit status, and never a traceback.

What was foreseen is an EmuError, or click's where the command line is wrong. The rest is one line that names a file
with the traceback: the machine's doing where the operating system refused something, a defect of emu otherwise.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from cgroups.errors import CgroupError
from emu import __version__
from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_READER_GONE, EmuError
from emu.machine import output
from emu.machine.paths import TRACEBACKS, own_cache_dir
from emu.policy.secrets import masked_argument

MOST_KEPT = 20
"""Tracebacks that are kept; the oldest goes first."""
_LONGEST = 300


def run(command: Callable[[], object]) -> int:
    """Call it, and print what went wrong; the exit status. What it returns counts if it is a number, and what it
    leaves with by `sys.exit`.
    """
    output.hold_descriptors()
    output.accept_any_text()
    if not os.environ.get("PATH"):  # programs that emu starts start others, and look nowhere without it
        os.environ["PATH"] = os.defpath
    status = _status(command)
    failed = output.flush()
    if failed is None:
        return status
    return EXIT_READER_GONE if failed.errno == errno.EPIPE else _unwritten(failed)


def _status(command: Callable[[], object]) -> int:
    try:
        returned = command()
        return returned if isinstance(returned, int) else EXIT_OK
    except SystemExit as leaving:
        return _code(leaving.code)
    except (KeyboardInterrupt, click.Abort):
        _say("emu: interrupted")
        return EXIT_INTERRUPTED
    except output.ReaderGone:
        output.discard()
        return EXIT_READER_GONE
    except click.ClickException as wrong:
        text = io.StringIO()
        wrong.show(text)
        _say(text.getvalue().removesuffix("\n"))
        return wrong.exit_code
    except EmuError as wrong:
        _say(f"emu: {wrong}")
        return wrong.exit_status
    except CgroupError as wrong:
        _say(f"emu: {wrong}")
        return EXIT_BAD_INPUT
    except Exception as unforeseen:
        if isinstance(unforeseen, OSError) and _is_of_stdout(unforeseen):
            return _unwritten(unforeseen)
        _say(described(unforeseen))
        return EXIT_BAD_INPUT


def _code(code: object) -> int:
    if code is None:
        return EXIT_OK
    if isinstance(code, int):
        return code
    _say(str(code))
    return 1


def _say(text: str) -> None:
    try:
        output.echo(text, err=True)
    except OSError:  # nothing reads it; the exit status says it all the same
        output.discard(stderr=True)


def _is_of_stdout(error: OSError) -> bool:
    """A write without a file's name that had no room or no reader: standard output is the only such stream."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF, errno.EDQUOT)


def _unwritten(error: OSError) -> int:
    output.discard()
    what, why = "standard output cannot be written", error.strerror or str(error)
    _say(f"emu: {EmuError(what, why, 'free space there, or redirect it elsewhere')}")
    return EXIT_BAD_INPUT


def described(error: BaseException) -> str:
    """The line for an error that was not foreseen; its traceback is kept in a file."""
    known = _known(error)
    if known is not None:
        return f"emu: {known}"
    words, where = _in_a_line(error), _traceback_of(error)
    if isinstance(error, OSError):
        return f"emu: {words}; check whether you have access to it, or report it with the {where}"
    if isinstance(error, MemoryError):
        return f"emu: out of memory; {where}"
    return f"emu: unexpected {words}: this is a bug in emu; please report it with the {where}"


def as_error(error: Exception, what: str) -> EmuError:
    """The same as an error for the record of `what` it ended (`the run cannot continue`)."""
    if isinstance(error, EmuError):
        return error
    if isinstance(error, CgroupError):
        return EmuError(error.what, error.why, error.fix)
    known = _known(error)
    if known is not None:
        return known
    words, where = _in_a_line(error), _traceback_of(error)
    if isinstance(error, OSError):
        return EmuError(what, words, f"check whether you have access to it, or report it with the {where}")
    if isinstance(error, MemoryError):
        return EmuError(what, f"emu is out of memory; {where}", "free some, or run it on a machine with more")
    return EmuError(what, f"unexpected {words}: this is a bug in emu", f"please report it with the {where}")


def _traceback_of(error: BaseException) -> str:
    kept = keep(error)
    return f"traceback in {kept}" if kept else f"at {_place(error)} (no file could be written for the traceback)"


def _known(error: BaseException) -> EmuError | None:
    """The error where it is known what it means, and no traceback helps."""
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        return EmuError("there is no current directory", "it was removed after this shell entered it", "cd /")
    return _limit(error)


def _limit(error: BaseException) -> EmuError | None:
    """What to do about a limit of this shell or user that was reached; None for another error."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EMFILE:
        most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return EmuError(
            "too many files are open", f"a process may have {most} open here (ulimit -n)", "ulimit -n 1024"
        )
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    # A write to a stream that does not block has the same number, and says how much of it was written.
    if no_thread or (number == errno.EAGAIN and not hasattr(error, "characters_written")):
        return EmuError(
            "no further process or thread can be started",
            "this user, or the machine, has as many as it may have (ulimit -u)",
            "end some of them, or allow more: ulimit -u 4096",
        )
    return None


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    said = " ".join(str(error).split())
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def keep(error: BaseException) -> Path | None:
    """Write its traceback to a file of its own; None where no folder takes one."""
    text = (
        f"emu {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {' '.join(map(masked_argument, sys.argv))}\n\n" + "".join(traceback.format_exception(error))
    )
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}-"
    for folder in (_own_folder, _any_folder):
        try:
            handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder())
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except (OSError, RuntimeError, EmuError):  # RuntimeError: there is no home directory
            continue
        return Path(path)
    return None


def _own_folder() -> Path:
    folder = own_cache_dir() / TRACEBACKS
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in sorted(folder.glob("*.txt"))[: -MOST_KEPT + 1]:
        old.unlink(missing_ok=True)
    return folder


def _any_folder() -> Path:
    return Path(tempfile.gettempdir())
