"""The text of files that a user names. Safe for any name and any bytes: what is wrong is one EmuError."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.files.regular import read_regular

STDIN = "-"
"""Standard input, where the name of a file is asked for."""
MOST_BYTES = 256 * 1024
_PIPES = ("/dev/fd/", "/dev/stdin")


def read_text(path: Path, what: str = "scenario") -> str:
    """The text of a file that a user names (`-` is standard input); `what` it should hold, for errors. EmuError when
    it cannot be read, is no regular file, is too large, or is not UTF-8.
    """
    source = source_name(path)
    try:
        read_from = Path("/dev/stdin") if str(path) == STDIN else path
        raw = read_regular(read_from, MOST_BYTES, pipes=str(read_from).startswith(_PIPES))
    except OSError as error:
        raise _unread(path, what, error) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise EmuError(
            f"{source}:{line}:{column}: not UTF-8 text",
            f"byte 0x{raw[error.start]:02x} is invalid; it has another encoding, or is not text",
            "save it as UTF-8, or name another file",
        ) from None


def source_name(path: Path) -> str:
    """How errors call a file."""
    return "standard input" if str(path) == STDIN else str(path)


def read_once(paths: Sequence[Path]) -> None:
    """EmuError where standard input is named twice: nothing would be left the second time."""
    if [str(path) for path in paths].count(STDIN) > 1:
        raise EmuError(f"{source_name(Path(STDIN))}: named twice", "it can be read once", f"write `{STDIN}` once")


def _unread(path: Path, what: str, error: OSError) -> EmuError:
    name = source_name(path) if len(str(path)) < 300 else f"{str(path)[:300]}…"
    listed = "`emu scenarios` lists the built-in ones"
    if error.errno == errno.EFBIG:
        why = f"it has more than {MOST_BYTES // 1024} KiB; a long {what} has a few"
        return EmuError(f"{name}: too large for a {what}", why, "is it the right file?")
    if str(path) == STDIN:
        why, fix = "it is neither a pipe nor a file", f"pipe a {what} into it, or redirect it: < FILE"
        return EmuError(f"cannot read the {what} on standard input", why, fix)
    why, fix = error.strerror or str(error), f"name a file with a {what} in it"
    if isinstance(error, FileNotFoundError):
        why, fix = "there is no such file", f"{listed}; a file is named by its path" if what == "scenario" else fix
    elif isinstance(error, IsADirectoryError):
        why, fix = "it is a directory", "name a file in it"
        if what == "scenario":
            fix = f"{fix}, or a built-in scenario ({listed})"
            if (path / "scenario.yaml").is_file():
                fix = f"to run a recorded scenario again: emu run {path}/scenario.yaml"
    elif isinstance(error, PermissionError):
        fix = f"make it readable to user {os.geteuid()}"
    return EmuError(f"cannot read the {what} {name!r}", why, fix)
