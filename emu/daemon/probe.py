"""Whether the app is ready, asked when a probe asks us (Knative's pkg/queue/readiness/probe.go).

`periodSeconds` absent or 0 is the aggressive mode: a try each 50 ms, 100 ms long at most, for up to 10 s.
Otherwise one try of `timeoutSeconds`. Probes that come meanwhile share the run. Nothing is remembered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

RETRY_S = 0.05
TRY_LIMIT_S = 0.1
AGGRESSIVE_LIMIT_S = 10.0


class Prober:
    """Runs the readiness probes that Knative passes as JSON (one, or a list); none is always ready."""

    def __init__(self, probe_json: str, default_port: int) -> None:
        parsed = json.loads(probe_json) if probe_json.strip() else []
        self._probes: list[dict[str, Any]] = parsed if isinstance(parsed, list) else [parsed]
        self._default_port = default_port
        self._askers: list[Callable[[bool], None]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, answer: Callable[[bool], None]) -> None:
        """Tell `answer` whether the app is ready, as soon as that is known."""
        if not self._probes:
            answer(True)
            return
        self._askers.append(answer)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        ready = False
        try:
            ready = all(await asyncio.gather(*(self._probe(probe) for probe in self._probes)))
        finally:
            askers, self._askers, self._task = self._askers, [], None
            for answer in askers:
                answer(ready)

    async def _probe(self, probe: dict[str, Any]) -> bool:
        if probe.get("periodSeconds"):
            return await self._try(probe, float(probe.get("timeoutSeconds") or 1))
        until = time.monotonic() + AGGRESSIVE_LIMIT_S
        needed = int(probe.get("successThreshold") or 1)
        passed = 0
        while True:
            begun = time.monotonic()
            passed = passed + 1 if await self._try(probe, TRY_LIMIT_S) else 0
            if passed >= needed:
                return True
            now = time.monotonic()
            if now >= until:
                return False
            await asyncio.sleep(max(0.0, RETRY_S - (now - begun)))

    async def _try(self, probe: dict[str, Any], limit_s: float) -> bool:
        try:
            return await asyncio.wait_for(self._once(probe), limit_s)
        except (TimeoutError, OSError, ValueError, EOFError):
            return False

    async def _once(self, probe: dict[str, Any]) -> bool:
        action = probe.get("httpGet") or probe.get("tcpSocket") or {}
        host = action.get("host") or "127.0.0.1"
        reader, writer = await asyncio.open_connection(host, int(action.get("port") or self._default_port))
        try:
            if "httpGet" not in probe:
                return True
            path = action.get("path") or "/"
            extra = "".join(f"{header['name']}: {header['value']}\r\n" for header in action.get("httpHeaders") or ())
            named = "" if "host:" in extra.lower() else f"Host: {host}\r\n"
            asked = f"GET {path} HTTP/1.1\r\n{named}User-Agent: kube-probe//\r\n{extra}Connection: close\r\n\r\n"
            writer.write(asked.encode())
            words = (await reader.readline()).split()
            return len(words) > 1 and 200 <= int(words[1]) < 400
        finally:
            writer.close()
