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
        self._waiting: set[_AdminExchange] = set()
        self._over = False
        """The drain that ends the process is."""

    def exchange(self, conn: ClientSide, head: http1.Head) -> Exchange:
        """An exchange for a request that was read."""
        return _AdminExchange(self, conn, head)

    def wait(self, hook: _AdminExchange) -> None:
        """A hook waits for the drain. It joins the one that is on; and whichever is on in a second is called off
        then, if the process got no SIGTERM, also where the hook has given up.
        """
        self.draining.hook(time.monotonic())
        self._waiting.add(hook)
        asyncio.get_running_loop().call_later(HOOK_WAIT_S, self._call_off)
        if self._over:
            self._answer()

    def give_up(self, hook: _AdminExchange) -> None:
        """A hook waits no more."""
        self._waiting.discard(hook)

    def drained(self) -> None:
        """The drain is over."""
        self._over = True
        self._answer()

    def _call_off(self) -> None:
        if self.draining.hook_waited():
            self._answer()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for hook in waiting:
            hook.answer(200, b"", b"")


class _AdminExchange(Exchange):
    __slots__ = ("_admin",)

    def __init__(self, admin: Admin, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(conn, head)
        self._admin = admin

    def begin(self) -> None:
        """Wait for the drain, or say that there is nothing here."""
        if self.head.target.partition(b"?")[0] == PATH:
            self._admin.wait(self)
        else:
            self.answer(404, b"404 page not found\n", http1.ERROR_TEXT)

    def abandoned(self) -> None:
        self._admin.give_up(self)
