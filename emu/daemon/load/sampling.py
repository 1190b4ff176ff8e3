"""The load generator asks the recorder for samples: the other end of `emu.record.asked`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from emu.messages import SAMPLE_NUMBER_BYTES
from emu.policy.sampling import sample_wait_s


class Sampling:
    """Has a sample taken, and waits until it has been. No I/O in the constructor."""

    def __init__(self, descriptor: int | None, missed: Callable[[str, float], None]) -> None:
        """`descriptor`: of the socket; None where nothing records. `missed` is called with the name of a phase before
        which no sample came, and how long that was waited for.
        """
        self._descriptor = descriptor
        self._missed = missed
        self._socket: socket.socket | None = None
        self._heard = asyncio.Event()
        self._asked = 0
        self._taken = 0

    def open(self) -> None:
        """Listen for answers, in the loop that runs."""
        if self._descriptor is not None:
            self._socket = socket.socket(fileno=self._descriptor)
            self._socket.setblocking(False)
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    async def take(self, phase: str) -> None:
        """Return when a sample has been taken; this phase has read nothing before."""
        self._hear()  # what came too late for the phase that waited for it
        wait_s = sample_wait_s(self._asked - self._taken)
        self._asked += 1
        number = self._asked
        if self._socket is None or not self._ask(number):
            return
        try:
            async with asyncio.timeout(wait_s):
                while self._socket is not None and self._taken < number:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            self._missed(phase, wait_s)

    def close(self) -> None:
        """Ask no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._heard.set()

    def _ask(self, number: int) -> bool:
        assert self._socket is not None
        try:
            self._socket.send(b"%d" % number)
        except BlockingIOError:  # it has not read those before
            return True
        except OSError:
            self.close()  # the recorder has ended, as the run knows
            return False
        return True

    def _hear(self) -> None:
        if self._socket is None:
            return
        try:
            while answer := self._socket.recv(SAMPLE_NUMBER_BYTES):
                self._taken = max(self._taken, int(answer))
        except BlockingIOError:
            self._heard.set()
            return
        except OSError:
            pass
        self.close()  # the recorder has ended, as the run knows
