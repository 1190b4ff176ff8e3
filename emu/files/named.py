"""The text of files that a user names. Safe for any name and any bytes: what is wrong is one EmuError."""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path

from emu.errors import EmuError
from emu.files.regular import read_regular

STDIN = "-"
"""Standard input, where the name of a file is asked for."""
MOST_BYTES = 256 * 1024
_PIPES = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def read_text(path: Path, what: str = "scenario") -> str:
    """The text of a file that a user names (`-` is standard input); `what` it should hold, for errors. EmuError when
    it cannot be read, is no regular file, is too large, or is not UTF-8.
    """
    source = source_name(path)
    try:
        raw = _read_stdin() if str(path) == STDIN else read_regular(path, MOST_BYTES, pipes=_is_pipe_s_name(path))
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
    """EmuError where a pipe is named twice, under two names too: nothing would be left the second time."""
    seen: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            facts = os.fstat(0) if str(path) == STDIN else path.stat()
        except (OSError, ValueError):  # whoever reads it says why
            continue
        if stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode) and str(path) != STDIN):
            continue
        name, pipe = source_name(path), (facts.st_dev, facts.st_ino)
        if pipe in seen:
            again = "named twice" if seen[pipe] == name else f"the same as {seen[pipe]}"
            raise EmuError(f"{name}: {again}", "it can be read once", "name it once")
        seen[pipe] = name


def _is_pipe_s_name(path: Path) -> bool:
    return str(path).startswith(_PIPES)


def _read_stdin() -> bytes:
    """What is left of it. By its descriptor: a socket has no name that can be opened, and another user's pipe may not
    be. OSError for what has no end, or nobody to end it: a terminal, a device.
    """
    mode = os.fstat(0).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise OSError(errno.EINVAL, "it is neither a pipe nor a file")
    raw = bytearray()
    poller = select.poll()
    poller.register(0, select.POLLIN)
    while len(raw) <= MOST_BYTES:
        try:
            part = os.read(0, MOST_BYTES + 1 - len(raw))
        except BlockingIOError:  # whoever has it too may have made it so
            poller.poll()
            continue
        if not part:
            return bytes(raw)
        raw += part
    raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes")


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
