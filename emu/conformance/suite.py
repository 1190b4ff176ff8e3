"""The whole suite: against our queue-proxy, started for each group of settings, or against any that runs already."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from subprocess import PIPE
from urllib.parse import urlsplit

from emu import command
from emu.conformance.case import Case
from emu.conformance.play import Player, Result, ScriptedApp
from emu.errors import EmuError

LOOPBACK = "127.0.0.1"
START_S = 20.0
AT_ONCE = 3
"""Groups of settings that are played at the same time: most of a case is waiting."""
BASE = {
    "CONTAINER_CONCURRENCY": "0",
    "QUEUE_SERVING_PORT": "0",
    "QUEUE_SERVING_TLS_PORT": "0",
    "REVISION_TIMEOUT_SECONDS": "300",
    "SERVING_LOGGING_CONFIG": "",
    "SERVING_LOGGING_LEVEL": "info",
    "SERVING_NAMESPACE": "default",
    "SERVING_CONFIGURATION": "app",
    "SERVING_REVISION": "app-00001",
    "SERVING_POD": "app-00001-deployment-0",
    "SERVING_POD_IP": LOOPBACK,
    "EMU_BIND": LOOPBACK,
    "EMU_ADMIN_PORT": "0",
    "EMU_STATS_PORT": "0",
    "EMU_METRICS_PORT": "0",
}
"""What our own is started with; a case's settings come on top."""
Tell = Callable[[Result], None]


def against_target(
    cases: Iterable[Case], url: str, app_port: int, given: Mapping[str, str], tell: Tell, skip: Callable[[Case], None]
) -> list[Result]:
    """Play what can be played against a proxy that runs already. Cases whose settings it was not started with are
    skipped. EmuError when the app's port is taken or the URL names no port.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise EmuError(f"cannot speak to {url!r}", "it is not an http:// URL", "give it as http://127.0.0.1:8012")
    chosen = []
    for case in cases:
        if case.settings.items() <= dict(given).items() and not (given.keys() - case.settings.keys()):
            chosen.append(case)
        else:
            skip(case)

    async def play() -> list[Result]:
        app = ScriptedApp(LOOPBACK, app_port)
        await _listen(app)
        try:
            return await _all(chosen, Player(parts.hostname or LOOPBACK, parts.port or 8012, app), tell)
        finally:
            await app.close()

    return asyncio.run(play())


def against_ours(cases: Iterable[Case], tell: Tell) -> list[Result]:
    """Play all against our own queue-proxy, a new process for each group of settings."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(json.dumps(case.settings, sort_keys=True), []).append(case)

    async def play_group(settings: str, group: list[Case], places: asyncio.Semaphore) -> list[Result]:
        async with places:
            app = ScriptedApp(LOOPBACK, 0)
            await _listen(app)
            proxy = _OwnProxy(app.port, json.loads(settings))
            try:
                port = await asyncio.to_thread(proxy.port)
                return await _all(group, Player(LOOPBACK, port, app), tell)
            finally:
                proxy.close()
                await app.close()

    async def play() -> list[Result]:
        places = asyncio.Semaphore(AT_ONCE)
        played = await asyncio.gather(*(play_group(*entry, places) for entry in groups.items()))
        return [result for group in played for result in group]

    return asyncio.run(play())


async def _listen(app: ScriptedApp) -> None:
    try:
        await app.listen()
    except OSError as taken:
        raise EmuError(
            f"cannot listen on the app's port {app.port}",
            f"{taken.strerror or taken}",
            "stop what listens there, or give the port that the proxy forwards to with --app-port",
        ) from taken


async def _all(cases: list[Case], player: Player, tell: Tell) -> list[Result]:
    results = []
    for case in cases:
        result = await player.play(case)
        tell(result)
        results.append(result)
    return results


class _OwnProxy:
    """Our queue-proxy in a process of its own."""

    def __init__(self, app_port: int, settings: Mapping[str, str]) -> None:
        env = {"PATH": os.environ.get("PATH", ""), **BASE, "USER_PORT": str(app_port), **settings}
        if "PYTHONPATH" in os.environ:
            env["PYTHONPATH"] = os.environ["PYTHONPATH"]
        self._process = command.spawn(
            [sys.executable, "-m", "emu.daemon.queue_proxy"], stdout=PIPE, stderr=PIPE, env=env
        )

    def port(self) -> int:
        """Where it listens; EmuError if it ended instead."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if told.get("event") == "listening":
                return int(told["port"])
        assert self._process.stderr is not None
        raise EmuError(
            "our queue-proxy did not start",
            self._process.stderr.read().decode(errors="replace").strip() or "it said nothing",
            "run it by hand: python -m emu.daemon.queue_proxy",
        )

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(START_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
