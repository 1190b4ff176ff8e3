"""Port 8022: what the app's preStop hook asks, and nothing else (pkg/queue/sharedmain/handlers.go, adminHandler)."""

from __future__ import annotations

import asyncio
import time

from emu.daemon.http import http1
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.policy.draining import HOOK_WAIT_S, Draining

PATH = b"/wait-for-drain"


class Admin:
    """What the admin port's requests share."""

    def __init__(self, draining: Draining) -> None:
        self.draining = draining
        self.drained = asyncio.Event()
        """The drain that ends the process is over."""

    def exchange(self, conn: ClientSide, head: http1.Head) -> Exchange:
        """An exchange for a request that was read."""
        return _AdminExchange(self, conn, head)


class _AdminExchange(Exchange):
    __slots__ = ("_admin", "_task")

    def __init__(self, admin: Admin, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(conn, head)
        self._admin = admin
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Wait for the drain, or say that there is nothing here."""
        if self.head.target.partition(b"?")[0] == PATH:
            self._task = asyncio.get_running_loop().create_task(self._wait())
        else:
            self.answer(404, b"404 page not found\n", http1.ERROR_TEXT)

    async def _wait(self) -> None:
        draining = self._admin.draining
        draining.hook(time.monotonic())
        await asyncio.sleep(HOOK_WAIT_S)
        if not draining.hook_waited():
            await self._admin.drained.wait()
        self._task = None
        self.answer(200, b"", b"")

    def abandoned(self) -> None:
        """The hook gave up; a drain that it began continues as far as it may."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._admin.draining.hook_waited()
