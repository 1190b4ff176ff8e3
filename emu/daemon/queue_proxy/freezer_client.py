"""How queue-proxy asks the freezer daemon: one connection, kept, over TCP or a unix socket (Knative Serving 1.9,
pkg/queue/concurrency_state.go).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from emu.daemon.http.reply import read_head
from emu.messages import FREEZER_TOKEN_HEADER

CALL_LIMIT_S = 15.0
"""The daemon itself gives up on the kernel sooner."""
MOST_WORDS = 65536


class FreezerError(Exception):
    """It was not done. `certain`: nor half of it, for the daemon said so, or never heard of it."""

    def __init__(self, why: str, *, certain: bool) -> None:
        super().__init__(why)
        self.certain = certain


class FreezerClient:
    """The daemon at an endpoint: `http://HOST:PORT`, or `unix:PATH`. `token` is a file, read again for each call."""

    def __init__(self, endpoint: str, token: Path) -> None:
        self._endpoint = endpoint
        self._token = token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def act(self, action: str) -> None:
        """Have it done, and return once the daemon says that it is. FreezerError."""
        token = self._read_token()
        body = json.dumps({"action": action}).encode()
        asked = (
            f"POST / HTTP/1.1\r\nHost: freezer\r\n{FREEZER_TOKEN_HEADER}: {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                status, words = await self._ask(asked)
        except TimeoutError as late:
            self.close()
            raise FreezerError(f"the freezer has not answered for {CALL_LIMIT_S:g} s", certain=False) from late
        except asyncio.CancelledError:
            self.close()
            raise
        if status != 200:
            raise FreezerError(f"the freezer says {status}: {words}", certain=True)

    def _read_token(self) -> str:
        try:
            with open(self._token, "rb", buffering=0) as file:  # noqa: PTH123  half as dear, and a request waits
                return file.read().decode("ascii").strip()
        except (OSError, ValueError) as error:
            raise FreezerError(f"the token {self._token} cannot be read: {error}", certain=True) from error

    async def _ask(self, asked: bytes) -> tuple[int, str]:
        kept = self._writer is not None
        try:
            return await self._try(asked)
        except FreezerError as error:
            self.close()
            if not kept or error.certain:
                raise
        try:
            return await self._try(asked)  # the daemon was restarted; asking twice does no harm
        except FreezerError as error:
            self.close()
            raise FreezerError(str(error), certain=False) from error

    async def _try(self, asked: bytes) -> tuple[int, str]:
        reader, writer = await self._connection()
        try:
            writer.write(asked)
            head = await read_head(reader)
            length = int(head.fields.get("content-length", "0"))
            words = (await reader.readexactly(min(length, MOST_WORDS))).decode("utf-8", "replace").strip()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise FreezerError(f"the freezer's answer was lost: {error}", certain=False) from error
        if head.fields.get("connection", "").lower() == "close" or length > MOST_WORDS:
            self.close()
        return head.status, words

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            try:
                self._reader, self._writer = await self._connect()
            except (OSError, ValueError) as error:
                raise FreezerError(
                    f"the freezer at {self._endpoint} cannot be reached: {error}", certain=True
                ) from error
        return self._reader, self._writer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._endpoint.startswith("unix:"):
            return await asyncio.open_unix_connection(self._endpoint.removeprefix("unix:"))
        host, _, port = self._endpoint.removeprefix("http://").partition("/")[0].rpartition(":")
        return await asyncio.open_connection(host, int(port))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
