"""Whether the app is ready, asked when a probe asks us (Knative's pkg/queue/readiness and pkg/queue/health).

`periodSeconds` absent or 0 is the aggressive mode: a try each 50 ms, 100 ms long at most, for up to 10 s.
Otherwise one try of `timeoutSeconds`. Probes that come meanwhile share the run. Nothing but the count of
consecutive successes is remembered.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from emu.daemon.http.reply import connected
from emu.daemon.http.upstream import go_words
from emu.daemon.queue_proxy.probe_spec import ProbeError, ProbeFailedError, Readiness, decode
from emu.daemon.within import in_time

RETRY_S = 0.05
TRY_LIMIT_S = 0.1
AGGRESSIVE_LIMIT_S = 10.0

__all__ = ["ProbeError", "Prober"]


def _to_stderr(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


class Prober:
    """Runs the readiness probes that Knative passes as JSON (one, or a list); none is always ready."""

    def __init__(
        self,
        probe_json: str,
        *,
        http2_first: bool = False,
        several: bool = False,
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        self._probes = [_Probe(probe, http2_first, say) for probe in decode(probe_json, several)]
        self._say = say
        self._askers: list[Callable[[bool], None]] = []
        self._task: asyncio.Task[None] | None = None

    def ask(self, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether the app is ready, as soon as that is known."""
        if not self._probes:
            answer(True)
            return
        self._askers.append(answer)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        ready = False
        try:
            ready = all(await asyncio.gather(*(self._passes(probe) for probe in self._probes)))
        finally:
            askers, self._askers, self._task = self._askers, [], None
            for answer in askers:
                answer(ready)

    async def _passes(self, probe: _Probe) -> bool:
        try:
            await probe.run()
        except ProbeFailedError as failed:
            self._say(str(failed))
            return False
        return True


class _Probe:
    """One container's probe."""

    def __init__(self, probe: Readiness, http2_first: bool, say: Callable[[str], None]) -> None:
        self._probe = probe
        self._http2_first = http2_first
        self._say = say
        self._passed = 0

    async def run(self) -> None:
        """ProbeFailedError where the app is not ready."""
        probe = self._probe
        if probe.kind == "exec":
            raise ProbeFailedError("exec probe not supported")
        if not probe.kind:
            raise ProbeFailedError("no probe found")
        if probe.period_s:
            await self._once(float(probe.timeout_s))
            return
        await self._aggressive()

    async def _aggressive(self) -> None:
        until = time.monotonic() + AGGRESSIVE_LIMIT_S
        failed, last = 0, ""
        while True:
            begun = time.monotonic()
            try:
                await self._once(TRY_LIMIT_S)
                self._passed += 1
                if self._passed >= self._probe.success_threshold:
                    return
            except ProbeFailedError as why:
                self._passed = 0
                failed, last = failed + 1, str(why)
            now = time.monotonic()
            wait = max(0.0, RETRY_S - (now - begun))
            if now + wait >= until:
                await asyncio.sleep(until - now)
                break
            await asyncio.sleep(wait)
        if failed:
            self._say(f"aggressive probe error (failed {failed} times): {last}")
        raise ProbeFailedError("context deadline exceeded")

    async def _once(self, limit_s: float) -> None:
        """One try; 0 is no limit. ProbeFailedError."""
        probe = self._probe
        if probe.kind == "tcpSocket":
            await _connect(probe, limit_s)
        elif probe.kind == "grpc":
            from emu.daemon.queue_proxy.probe_h2 import ask_grpc

            await ask_grpc(probe, limit_s)
        else:
            await self._http(limit_s)

    async def _http(self, limit_s: float) -> None:
        # As below: most pods are asked whether they listen, and their start is not to pay for the import.
        from emu.daemon.queue_proxy.probe_http import ask_http1, get, headers_of, url_of

        ask, url = ask_http1, url_of(self._probe)
        if self._http2_first:
            from emu.daemon.queue_proxy.probe_h2 import ask_http2

            try:
                speaks = _is_ready(await get(ask_http2, url, [], limit_s))
            except ProbeFailedError:
                speaks = False
            if not speaks:
                await self._without_http2(url, limit_s)
                return
            ask = ask_http2  # what was found out is asked again, now with the probe's own headers
        status = await get(ask, url, headers_of(self._probe), limit_s, whole=True)
        if not _is_ready(status):
            raise ProbeFailedError(_not_ready(status))

    async def _without_http2(self, url: str, limit_s: float) -> None:
        """HTTP/1 was asked as well to find that out, and is not asked again (health, detectHTTPProtocolVersion)."""
        from emu.daemon.queue_proxy.probe_http import ask_http1, get

        try:
            status = await get(ask_http1, url, [], limit_s)
            if not _is_ready(status):
                raise ProbeFailedError(_not_ready(status))
        except ProbeFailedError as why:
            raise ProbeFailedError(f"failed to run HTTP protocol probe with error: {why}") from None


def _is_ready(status: int) -> bool:
    return 200 <= status < 400


def _not_ready(status: int) -> str:
    return f"HTTP probe did not respond Ready, got status code: {status}"


async def _connect(probe: Readiness, limit_s: float) -> None:
    where = f"{probe.host}:{probe.port}"
    if not probe.port.isdigit() or int(probe.port) > 65535:
        raise ProbeFailedError(f"dial tcp: address {probe.port}: invalid port")
    try:
        until = asyncio.get_running_loop().time() + limit_s if limit_s else None
        await in_time(until, _opened(probe.host or "127.0.0.1", int(probe.port)))
    except TimeoutError:
        raise ProbeFailedError(f"dial tcp {where}: i/o timeout") from None
    except OSError as failed:
        raise ProbeFailedError(f"dial tcp {where}: {go_words(failed)}") from None


async def _opened(host: str, port: int) -> None:
    async with connected(host, port):
        pass
