"""The whole suite: against our queue-proxy, started for each group of settings, or against any that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from subprocess import DEVNULL, PIPE
from urllib.parse import urlsplit

from emu.conformance import tls_play
from emu.conformance.case import APP_PORT, CERTS, OVER_TLS, Case
from emu.conformance.play import GONE_S, Player, Result, ScriptedApp
from emu.conformance.strings import Wire, WireApp, WireResult, play_all
from emu.conformance.tls_play import TlsPort
from emu.errors import EmuError
from emu.machine import command
from emu.messages import LISTENING

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
"""How emu's own is started; a case's settings come on top."""
RELOAD_S = 10.0
"""By when emu's own uses a certificate that was replaced, in the cases that have it look often."""
PROXY_PORT, TLS_PORT, APP_PORT_GIVEN = 8012, 8112, 8080
PLAYED = Result | WireResult
Done = Callable[[PLAYED], None]


def groups(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Cases by the settings that they need (JSON)."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(json.dumps(case.settings, sort_keys=True), []).append(case)
    return found


def against_target(
    cases: Iterable[Case],
    wires: Sequence[Wire],
    url: str,
    app_port: int,
    given: Mapping[str, str],
    done: Done,
    skip: Callable[[Case], None],
    tls_port: int | None = None,
) -> list[PLAYED]:
    """Play what can be played against a proxy that runs already. Cases whose settings it was not started with are
    skipped, and strings where it has any; so are those over TLS without its port for that, and those in which its
    certificate is replaced. EmuError when the app's port is taken or the URL names no port.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise EmuError(f"cannot connect to {url!r}", "it is not an http:// URL", "give it as http://127.0.0.1:8012")
    host, port = parts.hostname, parts.port or PROXY_PORT
    chosen = []
    for case in cases:
        needed = _with_app(case.settings, app_port)
        if case.over_tls and (tls_port is None or case.renew is not None):
            skip(case)
            continue
        if case.over_tls:
            needed = {name: value for name, value in needed.items() if name not in OVER_TLS}
        if needed.items() <= dict(given).items() and not (given.keys() - needed.keys()):
            chosen.append(case)
        else:
            skip(case)

    async def play() -> list[PLAYED]:
        tls = None if tls_port is None else TlsPort(tls_port)
        played = await _cases(chosen, host, port, app_port, done, tls)
        return [*played, *(await _strings(wires if not given else (), host, port, app_port, True, done))]

    return asyncio.run(play())


def against_program(cases: Iterable[Case], wires: Sequence[Wire], program: str, done: Done) -> list[PLAYED]:
    """Play all against another queue-proxy: it is started for each group of settings, one after the other, for its
    ports are Knative's.
    """

    async def play() -> list[PLAYED]:
        results: list[PLAYED] = []
        for settings, group in {"{}": [], **groups(cases)}.items():
            known = _with_app(json.loads(settings), APP_PORT_GIVEN)
            with contextlib.ExitStack() as stack:
                started, tls = [program], None
                if any(case.over_tls for case in group):
                    folder = stack.enter_context(tls_play.pair())
                    started, tls = tls_play.seeing(program, folder), TlsPort(TLS_PORT, folder)
                proxy = await asyncio.to_thread(_Program, started, known)
                stack.callback(proxy.close)
                results += await _cases(group, LOOPBACK, PROXY_PORT, APP_PORT_GIVEN, done, tls)
                if settings == "{}":
                    results += await _strings(wires, LOOPBACK, PROXY_PORT, APP_PORT_GIVEN, True, done)
        return results

    return asyncio.run(play())


def against_ours(cases: Iterable[Case], wires: Sequence[Wire], done: Done) -> list[PLAYED]:
    """Play all against emu's own queue-proxy, a new process for each group of settings and each file of strings."""

    async def play_group(settings: str, group: Sequence[Case], wires: Sequence[Wire]) -> list[PLAYED]:
        async with places:
            app = ScriptedApp(LOOPBACK, 0) if group else WireApp(LOOPBACK, 0)
            await app.listen()  # before the proxy starts: a port that is only chosen may be some connection's by then
            needed, folder = _with_app(json.loads(settings), app.port), None
            with contextlib.ExitStack() as stack:
                if CERTS in needed.values():
                    folder = stack.enter_context(tls_play.pair())
                    needed = {name: value.replace(CERTS, str(folder)) for name, value in needed.items()}
                proxy = _OwnProxy(app.port, needed)
                try:
                    port, tls_port = await asyncio.to_thread(proxy.ports)
                    if isinstance(app, ScriptedApp):
                        tls = TlsPort(tls_port, folder, RELOAD_S)
                        return list(await _all(group, Player(LOOPBACK, port, app, tls), done))
                    return list(await play_all(LOOPBACK, port, app, wires, False, done))
                finally:
                    proxy.close()
                    await app.close()

    async def play() -> list[PLAYED]:
        parts = [play_group(settings, group, ()) for settings, group in groups(cases).items()]
        topics = dict.fromkeys(wire.topic for wire in wires)
        parts += [play_group("{}", (), [wire for wire in wires if wire.topic == topic]) for topic in topics]
        return [result for part in await asyncio.gather(*parts) for result in part]

    places = asyncio.Semaphore(AT_ONCE)
    return asyncio.run(play())


def _with_app(settings: Mapping[str, str], app_port: int) -> dict[str, str]:
    return {name: value.replace(APP_PORT, str(app_port)) for name, value in settings.items()}


async def _cases(
    cases: Sequence[Case], host: str, port: int, app_port: int, done: Done, tls: TlsPort | None = None
) -> list[PLAYED]:
    if not cases:
        return []
    app = ScriptedApp(LOOPBACK, app_port)
    await _listen(app)
    try:
        return list(await _all(cases, Player(host, port, app, tls), done))
    finally:
        await app.close()
        await asyncio.sleep(GONE_S)


async def _strings(
    wires: Sequence[Wire], host: str, port: int, app_port: int, strict: bool, done: Done
) -> list[PLAYED]:
    if not wires:
        return []
    app = WireApp(LOOPBACK, app_port)
    await _listen(app)
    try:
        return list(await play_all(host, port, app, wires, strict, done))
    finally:
        await app.close()


async def _listen(app: ScriptedApp | WireApp) -> None:
    try:
        await app.listen()
    except OSError as taken:
        raise EmuError(
            f"cannot listen on the app's port {app.port}",
            f"{taken.strerror or taken}",
            "stop what listens there, or give the port that the proxy forwards to with --app-port",
        ) from taken


async def _all(cases: Sequence[Case], player: Player, done: Done) -> list[Result]:
    results = []
    for case in cases:
        result = await player.play(case)
        done(result)
        results.append(result)
    return results


class _Program:
    """Another queue-proxy, on Knative's ports. EmuError if it ends or does not listen."""

    def __init__(self, started: Sequence[str], settings: Mapping[str, str]) -> None:
        ports = {"QUEUE_SERVING_PORT": str(PROXY_PORT), "QUEUE_SERVING_TLS_PORT": str(TLS_PORT)}
        env = {"PATH": os.environ.get("PATH", ""), **BASE, **ports, "USER_PORT": str(APP_PORT_GIVEN)}
        self._process = command.spawn(started, stdout=DEVNULL, stderr=DEVNULL, env={**env, **settings})
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((LOOPBACK, PROXY_PORT), timeout=1).close()
                return
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                shown = " ".join(f"{name}={value}" for name, value in settings.items()) or "no settings of its own"
                raise EmuError(
                    f"{started[-1]} does not listen on port {PROXY_PORT}",
                    f"it was started with {shown}",
                    "start it by hand with the variables that emu conformance --list shows",
                )
            time.sleep(0.05)

    def close(self) -> None:
        """Kill the queue-proxy; it has nothing left to answer."""
        self._process.kill()
        self._process.wait(START_S)


class _OwnProxy:
    """Our queue-proxy in a process of its own."""

    def __init__(self, app_port: int, settings: Mapping[str, str]) -> None:
        env = {"PATH": os.environ.get("PATH", ""), **BASE, "USER_PORT": str(app_port), **settings}
        if "PYTHONPATH" in os.environ:
            env["PYTHONPATH"] = os.environ["PYTHONPATH"]
        self._process = command.spawn(
            [sys.executable, "-m", "emu.daemon.queue_proxy"], stdout=PIPE, stderr=PIPE, env=env
        )

    def ports(self) -> tuple[int, int]:
        """Where it listens, and where over TLS (0 for nowhere); EmuError if it ended instead."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event.get("event") == LISTENING:
                return int(event["port"]), int(event.get("tlsPort", 0))
        assert self._process.stderr is not None
        raise EmuError(
            "emu's queue-proxy did not start",
            self._process.stderr.read().decode(errors="replace").strip() or "it printed nothing",
            "run it by hand: python -m emu.daemon.queue_proxy",
        )

    def close(self) -> None:
        """Kill the queue-proxy; it has nothing left to answer."""
        self._process.kill()
        self._process.wait(START_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
