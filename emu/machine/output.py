"""The one door to the terminal. What is printed is text: no markup, and no control character of anybody else's.

Names, questions, paths, probes' output and the kernel's log all come from elsewhere. A terminal obeys escape
sequences in them, so that each control character is shown as what it is (`\\x1b`) instead of being sent.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPE_COLUMNS = 160
"""How wide tables are where no terminal gives a width: `emu show | less -S`, logs of CI."""
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or turning the direction of writing
    "\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with each control character written out; newlines and tabs stay."""
    return _UNPRINTABLE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def to_json(data: Any, *, indent: int | None = None) -> str:
    """JSON for a terminal or a pipe: readable, its control characters as JSON escapes, so that nothing is lost."""
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}",
        json.dumps(data, indent=indent, ensure_ascii=False),
    )


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text on standard output, or on standard error."""
    click.echo(printable(str(text)), err=err, nl=nl)


class ReaderGone(Exception):  # noqa: N818  it is not emu's error
    """Whoever read standard output went away (`emu show | head -1`)."""


@contextmanager
def to_a_reader() -> Iterator[None]:
    """For a command of click, which would end with 1 when its reader goes: that status means something else here."""
    try:
        yield
    except BrokenPipeError as gone:
        raise ReaderGone from gone


def console(*, stderr: bool = False, quiet: bool = False, soft_wrap: bool = False, lasting: bool = False) -> Console:
    """A console for tables and styles, whose texts are never markup. A `lasting` one falls silent when its
    stream cannot be written any more: what it reports on is worth more than the report.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class PlainConsole(Console):
        """Shows control characters instead of sending them."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text = segment.text if segment.control else printable(segment.text)
                yield segment if text == segment.text else Segment(text, segment.style)

        def on_broken_pipe(self) -> None:
            raise ReaderGone

        def _write_buffer(self) -> None:
            try:
                super()._write_buffer()
            except (ReaderGone, OSError):
                if not lasting:
                    raise
                del self._buffer[:]
                self.quiet = True
                discard(stderr=stderr)

    stream = sys.stderr if stderr else sys.stdout
    width = None if (stream is not None and stream.isatty()) or soft_wrap else PIPE_COLUMNS
    return PlainConsole(
        file=stream, quiet=quiet, soft_wrap=soft_wrap, width=width, markup=False, emoji=False, highlight=False
    )


def hold_descriptors() -> None:
    """Open what is closed of descriptors 0 to 2 on /dev/null: a file opened later would get its number, and what is
    printed would end there.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:  # only one below was closed, and is open now
                os.dup2(opened, fd)
                os.close(opened)


def accept_any_text() -> None:
    """Write out what a terminal's encoding has no sign for (`LC_ALL=en_US.ISO-8859-1`) instead of failing there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush() -> OSError | None:
    """Write out what is still buffered for standard output; the error where that failed. Left to the interpreter it
    would fail after the exit status was decided.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        discard()
        return error
    except ValueError:  # it was closed
        return None
    return None


def discard(*, stderr: bool = False) -> None:
    """Send whatever is printed from now on nowhere."""
    stream: IO[str] | None = sys.stderr if stderr else sys.stdout
    real = sys.__stderr__ if stderr else sys.__stdout__
    if stream is None or stream is not real:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2 if stderr else 1)
    finally:
        os.close(nowhere)
