"""Memory that the kernel holds for a process: names of files, stacks of threads, page tables, sockets, pipes.

It is charged to the container as its heap is, and is neither anonymous memory nor page cache.
"""

from __future__ import annotations

import _thread
import contextlib
import mmap
import os
import resource
import socket
from pathlib import Path

from emu.messages.work import Work

NAME_BYTES = 200
"""Of each name that is looked up: a long one is kept beside its dentry."""
PTE_SPAN_BYTES = 2 << 20
"""What a page of page tables maps, on x86-64 and, with pages of 4 KiB, on arm64."""
SOCKET_BUFFER_BYTES = 128 << 10
_PIPE_BLOCK = b"p" * mmap.PAGESIZE
_SOCKET_BLOCK = b"s" * (64 << 10)
_THREAD_STACK_BYTES = 64 << 10


class KernelMemory:
    """The kernel memory that a request asked for, until `close`; that gives back what a failed `take` got, too."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stop = _thread.allocate_lock()
        self._stop.acquire()
        self._undo = contextlib.ExitStack()
        self._undo.callback(self._stop.release)

    def take(self, folder: Path) -> None:
        """Take all of it, in the order of `Work`'s fields; names are looked up in `folder`. OSError where there are
        no more threads, descriptors or addresses.
        """
        if self._work.pipes or self._work.sockets:
            _raise_the_limit_of_descriptors()
        self._look_up(folder)
        self._start_threads()
        self._map()
        self._fill_sockets()
        self._fill_pipes()

    def close(self) -> None:
        """Give it back. Names stay as long as the kernel has room for them."""
        self._undo.close()

    def _look_up(self, folder: Path) -> None:
        """The kernel remembers that there is no such file: a negative dentry for each name."""
        for number in range(self._work.dentries):
            with contextlib.suppress(FileNotFoundError):
                os.stat(f"{folder}/{number:0{NAME_BYTES}d}")  # noqa: PTH116  a Path for each name takes as long again

    def _start_threads(self) -> None:
        if not self._work.threads:
            return
        before = _thread.stack_size(_THREAD_STACK_BYTES)
        try:
            for _ in range(self._work.threads):
                _thread.start_new_thread(self._wait, ())
        except RuntimeError as error:
            raise OSError(str(error)) from None
        finally:
            _thread.stack_size(before)

    def _wait(self) -> None:
        with self._stop:
            pass

    def _map(self) -> None:
        """Read one byte in each span: all map the one page of zeros, so that page tables are all that it takes."""
        span = self._work.page_tables // mmap.PAGESIZE * PTE_SPAN_BYTES
        if not span:
            return
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        space = self._undo.enter_context(mmap.mmap(-1, span, flags=flags, prot=mmap.PROT_READ))
        with contextlib.suppress(OSError):  # a kernel without huge pages knows no such advice
            space.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, span, PTE_SPAN_BYTES):
            space[at]

    def _fill_sockets(self) -> None:
        """TCP connections to itself whose receiver never reads."""
        if not self._work.sockets:
            return
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            for _ in range(self._work.sockets):
                client = self._undo.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
                client.connect(listener.getsockname())
                self._undo.enter_context(listener.accept()[0])
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        client.send(_SOCKET_BLOCK)

    def _fill_pipes(self) -> None:
        """Each to the last byte: 64 KiB, unless the user has more than /proc/sys/fs/pipe-user-pages-soft."""
        for _ in range(self._work.pipes):
            ends = os.pipe()
            for end in ends:
                self._undo.callback(os.close, end)
            os.set_blocking(ends[1], False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(ends[1], _PIPE_BLOCK)


def _raise_the_limit_of_descriptors() -> None:
    """As far as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
