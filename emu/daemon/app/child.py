"""A child process that holds memory for a request, so that an OOM kill has someone else to hit than the app."""

from __future__ import annotations

import asyncio
import os
import sys

from emu.daemon.app.holder import FILLED
from emu.daemon.signals import name_of

REAP_POLL_S = 0.005


class ChildError(Exception):
    """The child ended before it was let go; the text says how."""


class Child:
    """A child process that fills `size` bytes and keeps them until `release`."""

    def __init__(self, size: int, zeros: float = 0.0) -> None:
        self._size, self._zeros = size, zeros
        self._pid = 0
        self._stop_fd = -1
        self._said_fd = -1
        self._life: asyncio.Task[None] | None = None
        self.fate = ""
        """How it ended; empty while it lives."""

    async def start(self) -> None:
        """Start it and return once all its memory is filled; ChildError if it ends before."""
        stop_read, self._stop_fd = os.pipe()
        self._said_fd, said_write = os.pipe()
        argv = [sys.executable, "-m", "emu.daemon.app.holder", f"{self._size}", f"{self._zeros}"]
        files = [(os.POSIX_SPAWN_DUP2, stop_read, 0), (os.POSIX_SPAWN_DUP2, said_write, 1)]
        try:
            self._pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=files)
        finally:
            os.close(stop_read)
            os.close(said_write)
        filled = await self._hear() == FILLED
        self._life = asyncio.get_running_loop().create_task(self._reap_at_end())
        if not filled:
            await self._life
            raise ChildError(self.fate)

    async def outlive(self, seconds: float) -> None:
        """Wait; ChildError if the child ends before the time is over."""
        assert self._life is not None
        done, _ = await asyncio.wait({self._life}, timeout=seconds)
        if done:
            raise ChildError(self.fate)

    def release(self) -> None:
        """Let it end."""
        if self._stop_fd >= 0:
            os.close(self._stop_fd)
            self._stop_fd = -1

    async def _reap_at_end(self) -> None:
        while await self._hear():
            pass
        os.close(self._said_fd)
        while not self.fate:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.fate = _fate(status)
            else:  # its files are closed, so that it ends at any moment
                await asyncio.sleep(REAP_POLL_S)

    async def _hear(self) -> bytes:
        """The next byte that it says; nothing when it has ended."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[bytes] = loop.create_future()

        def read() -> None:
            if not heard.done():
                heard.set_result(os.read(self._said_fd, 1))

        loop.add_reader(self._said_fd, read)
        try:
            return await heard
        finally:
            loop.remove_reader(self._said_fd)


def _fate(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"child killed by {name_of(os.WTERMSIG(status))}"
    return f"child exited with {os.waitstatus_to_exitcode(status)}"
