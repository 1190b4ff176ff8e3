"""The one door to subprocess: lists of words, never a shell; a failure names the command and its last words."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.machine.orphans import marked

_LONGEST_SHOWN = 60
_TAIL_LINES = 15


def run(
    argv: Sequence[str],
    *,
    what: str,
    fix: str,
    timeout_s: float | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    umask: int = -1,
) -> str:
    """Run a command to its end and return what it printed on standard output.

    `what` and `fix` head the error if it fails: EmuError when the program is absent, exits non-zero
    or has not ended after `timeout_s` seconds (then it is killed).
    """
    try:
        done = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            input=stdin if stdin is not None else "",
            check=False,
            umask=umask,
        )
    except FileNotFoundError as absent:
        raise EmuError(what, f"there is no program {argv[0]!r} on PATH", fix) from absent
    except OSError as error:
        raise EmuError(what, f"{argv[0]!r} cannot be started: {error.strerror or error}", fix) from error
    except subprocess.TimeoutExpired as late:
        raise EmuError(what, f"{_shown(argv)} did not finish within {timeout_s} s", fix) from late
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_TAIL_LINES:])
        raise EmuError(what, f"{_shown(argv)} ended with status {done.returncode}: {said or 'no output'}", fix)
    return done.stdout


def _shown(argv: Sequence[str]) -> str:
    """A command in an error: of a long one its beginning, so that what it said is not lost behind it."""
    words = " ".join(argv)
    return repr(words) if len(words) <= _LONGEST_SHOWN else f"{words[:_LONGEST_SHOWN]!r}…"


def spawn(
    argv: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    start_new_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a long-lived child. In a session of its own by default, so that Ctrl-C reaches only its parent,
    which then stops it in order. The caller ends and reaps it; `emu clean` does, should it outlive the caller
    (orphans.py). EmuError where its words are too long for the kernel.
    """
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            env=marked(os.environ if env is None else env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=start_new_session,
        )
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise too_long(argv[0]) from error


def too_long(program: str) -> EmuError:
    """The error of a program whose words the kernel refuses."""
    why = "its arguments and variables are too long: each may have 128 KiB in Linux, and all together about 2 MiB"
    fix = "shorten them, or give it long values as files: a volume of a ConfigMap or Secret"
    return EmuError(f"cannot start {program}", why, fix)
