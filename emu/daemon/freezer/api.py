"""The freezer daemon's wire protocol, container-freezer's (pkg/daemon/handler.go): an action in JSON, and a token.

    POST /  Token: <token>  {"action": "pause"}     200 done · 400 · 403 · 404 no such action · 500 it failed

As there, neither path nor method matters, apart from `GET /status` and `GET /metrics`, which are ours. Unlike there,
a failure is 500, with what went wrong in words.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from emu.daemon.http import http1
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.messages import FREEZER_TOKEN_HEADER
from emu.policy.metrics import CONTENT_TYPE

MOST_BODY_BYTES = 4096
JSON = b"Content-Type: application/json\r\n"
_TOKEN = FREEZER_TOKEN_HEADER.lower().encode()


class Actions(Protocol):
    """What carries out the requests, and reports the state."""

    async def handle(self, token: bytes, body: bytes) -> tuple[int, str]:
        """The status of an action, and words if it was not done."""

    def status(self) -> dict[str, Any]:
        """Every pod, and what the kernel says of its containers."""

    def metrics_text(self) -> bytes:
        """What Prometheus reads."""


class FreezerExchange(Exchange):
    """One request of the daemon's port."""

    __slots__ = ("_body", "_freezer", "_gone", "_task")

    def __init__(self, freezer: Actions, conn: ClientSide, head: http1.Head) -> None:
        super().__init__(conn, head)
        self._freezer = freezer
        self._body = b""
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """A page, or an action whose body must come first."""
        page = self.head.target.partition(b"?")[0] if self.head.method in (b"GET", b"HEAD") else b""
        if page == b"/status":
            self.answer(200, (json.dumps(self._freezer.status(), indent=2) + "\n").encode(), JSON)
        elif page == b"/metrics":
            self.answer(200, self._freezer.metrics_text(), b"Content-Type: %b\r\n" % CONTENT_TYPE)
        else:
            self.conn.take_body(self)

    def body(self, data: bytes) -> None:
        """Kept, up to more than any action is long."""
        if len(self._body) <= MOST_BODY_BYTES:
            self._body += data

    def body_end(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._act())

    async def _act(self) -> None:
        status, words = await self._freezer.handle(self.head.get(_TOKEN), self._body)
        self._task = None
        if not self._gone:
            self.answer(status, words.encode() + b"\n" if words else b"", http1.TEXT if words else b"")

    def abandoned(self) -> None:
        """The client is gone; what it asked for is done all the same, for half of it would be worse."""
        self._gone = True
