"""queue-proxy: the container in front of the app, with Knative's environment variables, limits and manners.

    python -m emu.daemon.queue_proxy

The limit on concurrency, the timers and the probes follow knative/serving (pkg/queue, pkg/queue/sharedmain). Two
variables are ours, so that a run need not wait as long as a cluster does: EMU_DRAIN_QUIET_SECONDS and EMU_BIND.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from emu.daemon import runtime
from emu.daemon.metrics import Observation
from emu.daemon.probe import Prober
from emu.daemon.proxy import ProxiedExchange, Proxy
from emu.daemon.server import Server
from emu.daemon.upstream import MAX_IDLE_UNLIMITED, AppConnections
from emu.policy.breaker import Breaker
from emu.policy.timeouts import RequestTimeouts

REQUIRED = (
    "CONTAINER_CONCURRENCY",
    "QUEUE_SERVING_PORT",
    "QUEUE_SERVING_TLS_PORT",
    "USER_PORT",
    "REVISION_TIMEOUT_SECONDS",
    "SERVING_LOGGING_CONFIG",
    "SERVING_LOGGING_LEVEL",
    "SERVING_NAMESPACE",
    "SERVING_CONFIGURATION",
    "SERVING_REVISION",
    "SERVING_POD",
    "SERVING_POD_IP",
)
"""Absent, one of these ends the start (pkg/queue/sharedmain/main.go, struct config); empty text is accepted."""

DRAIN_QUIET_S = 30.0
"""After SIGTERM, this long without a user request before the port closes (drainSleepDuration)."""


class SettingsError(Exception):
    """A variable is missing or no number; the text is Knative's."""


@dataclass(frozen=True)
class Settings:
    """queue-proxy's environment. Seconds; `container_concurrency` 0 is no limit."""

    container_concurrency: int
    port: int
    user_port: int
    revision_timeout_s: float
    response_start_timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    readiness_probe: str = ""
    drain_quiet_s: float = DRAIN_QUIET_S
    bind: str = "0.0.0.0"  # noqa: S104  Knative's listens on every address of the pod

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """The settings; SettingsError in the words of Knative's envconfig."""
        for name in REQUIRED:
            if name not in environ:
                raise SettingsError(f"required key {name} missing value")

        def number(name: str, default: str = "0") -> int:
            text = environ.get(name, default) or default
            try:
                return int(text)
            except ValueError:
                raise SettingsError(
                    f"envconfig.Process: assigning {name}: converting {text!r} to type int: invalid syntax"
                ) from None

        return cls(
            container_concurrency=max(0, number("CONTAINER_CONCURRENCY")),
            port=number("QUEUE_SERVING_PORT"),
            user_port=number("USER_PORT"),
            revision_timeout_s=float(number("REVISION_TIMEOUT_SECONDS")),
            response_start_timeout_s=float(number("REVISION_RESPONSE_START_TIMEOUT_SECONDS")),
            idle_timeout_s=float(number("REVISION_IDLE_TIMEOUT_SECONDS")),
            readiness_probe=environ.get("SERVING_READINESS_PROBE", ""),
            drain_quiet_s=float(environ.get("EMU_DRAIN_QUIET_SECONDS") or DRAIN_QUIET_S),
            bind=environ.get("EMU_BIND") or cls.bind,
        )


async def serve(settings: Settings, log: runtime.Log) -> int:
    """Serve until SIGTERM and the drain after it; the exit status."""
    limit = settings.container_concurrency
    app = AppConnections("127.0.0.1", settings.user_port, limit or MAX_IDLE_UNLIMITED)
    breaker: Breaker[ProxiedExchange] = Breaker(limit)
    timeouts: RequestTimeouts[ProxiedExchange] = RequestTimeouts(
        settings.revision_timeout_s, settings.response_start_timeout_s, settings.idle_timeout_s
    )
    proxy = Proxy(app, breaker, timeouts, Prober(settings.readiness_probe, settings.user_port), log)
    server = Server(proxy.exchange)
    observation = Observation(proxy.observer, os.environ, settings.bind, log)
    await observation.open()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, _on_term, stop, log)
    loop.add_signal_handler(signal.SIGINT, _on_term, stop, log)
    port = await server.listen(settings.bind, settings.port, runtime.LISTEN_BACKLOG)
    # Port 8022 (admin: /wait-for-drain) opens here once it exists.
    log.event("listening", port=port, containerConcurrency=limit, userPort=settings.user_port)
    sweeper = loop.create_task(_sweep(app))
    await stop.wait()
    await _drain(proxy, settings.drain_quiet_s)
    log.event("stopping", inFlight=proxy.in_flight)
    await server.stop()
    sweeper.cancel()
    await observation.close()
    app.close()
    log.event("stopped")
    return 0


def _on_term(stop: asyncio.Event, log: runtime.Log) -> None:
    if stop.is_set():
        log.event("killed", why="a second signal")
        os._exit(1)
    stop.set()


async def _drain(proxy: Proxy, quiet_s: float) -> None:
    """Refuse probes, serve requests, until none came for `quiet_s`; each one that comes starts the wait again."""
    proxy.draining = True
    begun = time.monotonic()
    proxy.log.event("drain", quietSeconds=quiet_s, inFlight=proxy.in_flight)
    while (left := max(begun, proxy.last_request_at) + quiet_s - time.monotonic()) > 0:
        await asyncio.sleep(left)


async def _sweep(app: AppConnections) -> None:
    while True:
        await asyncio.sleep(30)
        app.sweep()


def main(environ: Mapping[str, str]) -> int:
    """Run queue-proxy with these variables; its exit status (1 when one is missing)."""
    log = runtime.Log("queue-proxy")
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as missing:
        print(missing, file=sys.stderr, flush=True)
        return 1
    log.event("start", pid=os.getpid())
    try:
        return runtime.run(lambda: serve(settings, log))
    except OSError as failed:
        print(f"queue-proxy cannot listen on port {settings.port}: {failed}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
