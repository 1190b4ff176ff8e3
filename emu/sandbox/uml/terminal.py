"""The host's end of a command's streams: which are terminals, their size, and keystrokes passed on as typed."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH)


def is_terminal(fd: int | None) -> bool:
    """Whether a stream is a terminal (None is not)."""
    return fd is not None and os.isatty(fd)


def size(*fds: int | None) -> tuple[int, int]:
    """Rows and columns of the first stream that is a terminal; 24 and 80 if none is."""
    for fd in fds:
        if fd is not None and os.isatty(fd):
            with suppress(OSError):
                columns, rows = os.get_terminal_size(fd)
                if rows and columns:
                    return rows, columns
    return 24, 80


@contextmanager
def passing_keys(stdin: int | None, *, keep_interrupt: bool) -> Iterator[bool]:
    """While in here the terminal passes every key on unchanged; yields whether standard input may be read.

    `keep_interrupt`: Ctrl-C still makes a SIGINT here, so that a guest that no longer answers can be left.
    A background job must not touch its terminal (it would be stopped), so it gets no input.
    """
    if stdin is None:
        yield False
        return
    if not os.isatty(stdin):
        yield True
        return
    try:
        foreground = os.tcgetpgrp(stdin) == os.getpgrp()
    except OSError:
        foreground = False
    if not foreground:
        yield False
        return
    before = termios.tcgetattr(stdin)
    try:
        tty.setraw(stdin, termios.TCSADRAIN)
        if keep_interrupt:
            attributes = termios.tcgetattr(stdin)
            attributes[3] |= termios.ISIG
            attributes[6][termios.VQUIT] = b"\0"
            attributes[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(stdin, termios.TCSADRAIN, attributes)
        yield True
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


@contextmanager
def interrupting_signals() -> Iterator[None]:
    """While in here SIGTERM and SIGHUP do what Ctrl-C does: raise KeyboardInterrupt, once, so that nothing half made
    stays. Outside the main thread they are as before.
    """
    before: dict[signal.Signals, Any] = {}

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        with suppress(ValueError):  # not the main thread
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                    before[number] = signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def caught_signals() -> Iterator[int]:
    """While in here, signals for the command are bytes (their numbers) on the yielded descriptor, not handlers run.

    Outside the main thread nothing is caught, and nothing ever arrives.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)

    def note(number: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(write_end, bytes([number]))

    before: dict[signal.Signals, Any] = {}
    try:
        with suppress(ValueError):  # not the main thread
            for number in _FORWARDED:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:  # nohup
                    continue
                before[number] = signal.signal(number, note)
        yield read_end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)
