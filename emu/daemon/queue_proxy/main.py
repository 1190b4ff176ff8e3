"""queue-proxy: the container in front of the app, with Knative's environment variables, limits and manners.

    python -m emu.daemon.queue_proxy

The limit on concurrency, the timers, the probes and the drain follow knative/serving (pkg/queue,
pkg/queue/sharedmain); `settings.py` has its variables.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from emu.daemon import loop as runtime
from emu.daemon.http import http1
from emu.daemon.http.server import Server
from emu.daemon.http.upstream import MAX_IDLE_UNLIMITED, AppConnections
from emu.daemon.queue_proxy import heap
from emu.daemon.queue_proxy.admin import Admin
from emu.daemon.queue_proxy.admission import Admission
from emu.daemon.queue_proxy.h1_proxy import Http1Exchange
from emu.daemon.queue_proxy.known_exchange import KnownRequests
from emu.daemon.queue_proxy.metrics import Observation
from emu.daemon.queue_proxy.probe import ProbeError, Prober
from emu.daemon.queue_proxy.proxy import FINAL_STATUS_LOST, TWO_FRAMINGS, Proxy
from emu.daemon.queue_proxy.settings import REQUIRED, Settings, SettingsError
from emu.messages import DRAINS, FREEZER_ENDPOINT_VARIABLE, LISTENING, QUEUE_PROXY, STARTED
from emu.policy.breaker import Breaker
from emu.policy.draining import Draining
from emu.policy.timeouts import RequestTimeouts
from emu.policy.trimming import Trimming

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.gate import Gate
    from emu.daemon.queue_proxy.h2_downstream import DownstreamConnection2
    from emu.daemon.queue_proxy.request import Admitted
    from emu.daemon.queue_proxy.request_log import RequestLog
    from emu.daemon.zap import Zap

__all__ = ["REQUIRED", "QueueProxy", "Settings", "SettingsError", "main", "serve"]

HIJACKED_POLL_S = 1.0
"""How often it is looked whether the last request on a connection of another protocol has ended."""
GOODBYE_POLL_S = 0.1
"""How often it is looked whether the last connection in HTTP/2 over TLS has ended."""
FRESH_S = 5.5
"""A connection without a request is left open so long from its first moment on while the server stops: more than 5
whole seconds of the clock, looked at now and then (net/http, closeIdleConns).
"""
TRIM_LOOK_S = 0.5
"""How often it is looked whether enough clients have gone to give memory back."""


class QueueProxy:
    """The process: its ports, from the first to the last."""

    def __init__(self, settings: Settings, log: runtime.Log, environ: Mapping[str, str]) -> None:
        limit = settings.container_concurrency
        self._settings = settings
        self._log = log
        self._app = AppConnections("127.0.0.1", settings.user_port, limit or MAX_IDLE_UNLIMITED)
        breaker: Breaker[Admitted] = Breaker(limit)
        timeouts: RequestTimeouts[Admitted] = RequestTimeouts(
            settings.revision_timeout_s, settings.response_start_timeout_s, settings.idle_timeout_s
        )
        prober = Prober(
            settings.readiness_probe,
            http2_first=settings.http2_auto_detection,
            several=settings.multi_container_probes,
        )
        self._draining = Draining(settings.drain_quiet_s)
        self._admission = Admission(breaker, timeouts, prober, log, self._draining)
        self._admission.request_log = self._request_log()
        self._admission.gate = self._gate(environ, prober)
        self._proxy = Proxy(self._admission, self._app)
        self._proxy.final_status_lost = FINAL_STATUS_LOST in settings.defects
        known = KnownRequests(self._proxy)
        self._proxy.learn = known.learn
        self._known = known.known
        self._http2: set[DownstreamConnection2] = set()
        self._servers = [self._main_server()]
        self._over_tls: Server | None = None
        self._admin = Admin(self._draining)
        self._observation = Observation(self._admission.observer, environ, settings.bind, log, settings.metrics_port)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _gate(self, environ: Mapping[str, str], prober: Prober) -> Gate | None:
        if not environ.get(FREEZER_ENDPOINT_VARIABLE):
            return None
        from emu.daemon.queue_proxy.gate import Gate, GateSettings

        settings = GateSettings.from_environ(environ)
        return None if settings is None else Gate(settings, prober, self._log)

    def _main_server(self) -> Server:
        return Server(
            partial(Http1Exchange, self._proxy),
            head_limit_s=self._settings.head_limit_s,
            http2=self._speak_http2,
            known=self._known,
            full_duplex=self._settings.full_duplex,
            two_framings=TWO_FRAMINGS in self._settings.defects,
            fresh_for_s=FRESH_S,
        )

    def _speak_http2(
        self, transport: asyncio.Transport, peer: str, said: bytes, upgrade: tuple[bytes, http1.Head] | None
    ) -> None:
        # Imported only now: a pod that speaks HTTP/1 does not carry it.
        from emu.daemon.queue_proxy.h2_downstream import DownstreamConnection2

        DownstreamConnection2(self._proxy, peer, self._http2).begin(transport, said, upgrade)

    def _request_log(self) -> RequestLog | None:
        settings = self._settings
        if not settings.request_log_template:
            return None
        from emu.daemon.queue_proxy import gotemplate
        from emu.daemon.queue_proxy.request_log import RequestLog

        try:
            return RequestLog(
                settings.request_log_template, settings.revision, settings.probe_request_log, self._log.raw
            )
        except gotemplate.TemplateError as wrong:
            # As the real one, it runs without a log then.
            self._log.event(
                "request-log-off", why=f"Error setting up request logger. Request logs will be unavailable: {wrong}"
            )
            return None

    async def run(self) -> int:
        """Serve until SIGTERM and the drain after it; the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_term)
        loop.add_signal_handler(signal.SIGINT, self._on_term)
        await self._observation.open()
        self._admission.settle()
        if self._admission.gate is not None:
            self._admission.gate.begin()
        ports = await self._listen()
        settings = self._settings
        self._log.event(
            LISTENING,
            containerConcurrency=settings.container_concurrency,
            userPort=settings.user_port,
            recordsEnds=True,
            **ports,
        )
        self._tasks.append(loop.create_task(_sweep(self._app)))
        self._tasks.append(loop.create_task(self._trim()))
        await self._stop.wait()
        await self._drain()
        await self._shut_down()
        self._log.event("stopped")
        return 0

    async def _listen(self) -> dict[str, int]:
        settings = self._settings
        ports = {"port": await self._servers[0].listen(settings.bind, settings.port, runtime.LISTEN_BACKLOG)}
        made: ssl.SSLContext | None = None
        from emu.daemon.queue_proxy import tls

        if found := tls.mounted(settings.cert_dir):
            watch = tls.Watch(*found, settings.tls)
            made = watch.first()
            over_tls = self._over_tls = self._main_server()
            self._servers.append(over_tls)
            ports["tlsPort"] = await over_tls.listen(settings.bind, settings.tls_port, runtime.LISTEN_BACKLOG, made)
            following = watch.follow(settings.cert_reload_s, over_tls.renew_tls, self._certificate)
            self._tasks.append(asyncio.get_running_loop().create_task(following))
        admin = Server(self._admin.exchange, head_limit_s=settings.head_limit_s)
        self._servers.append(admin)
        try:
            ports["adminPort"] = await admin.listen(settings.bind, settings.admin_port, runtime.LISTEN_BACKLOG)
        except OSError as failed:
            raise OSError(failed.errno, f"port {settings.admin_port} (admin): {failed.strerror}") from failed
        return ports

    def _certificate(self, words: str) -> None:
        self._log.event("certificate", what=words)

    async def _trim(self) -> None:
        """Give memory back when many clients have gone; keep to the weight that was asked for."""
        admission, trimming = self._admission, Trimming()
        weight = admission.observer.weight
        while True:
            await asyncio.sleep(TRIM_LOOK_S)
            most = sum(server.most_connections() for server in self._servers)
            if trimming.due(admission.in_flight + sum(len(server.connections) for server in self._servers), most):
                heap.give_back()
                if weight is not None:
                    weight.own_fell(admission.breaker.waiting, time.monotonic())
            elif weight is not None:
                weight.settle(time.monotonic())

    def _on_term(self) -> None:
        if self._stop.is_set():
            self._log.event("killed", why="a second signal")
            os._exit(1)
        self._draining.terminate(time.monotonic())
        if self._admission.gate is not None:
            self._admission.gate.stop()
        self._stop.set()

    async def _drain(self) -> None:
        """Refuse probes, serve requests, until none came for a while; each one that comes starts the wait again."""
        self._log.event(DRAINS, quietSeconds=self._draining.quiet_s, inFlight=self._admission.in_flight)
        while (left := self._draining.left(time.monotonic())) > 0:
            await asyncio.sleep(left)
        self._admin.drained()

    async def _shut_down(self) -> None:
        """Listen no more and let requests end: on the TLS port once those without TLS have. Then for a while also
        what is not HTTP/1 any more; of HTTP/2 without TLS the requests count, not the connections.
        """
        proxy, admission = self._proxy, self._admission
        self._log.event("stopping", inFlight=admission.in_flight, hijacked=len(proxy.tunnels) + len(self._http2))
        await asyncio.gather(*(server.stop() for server in self._servers if server is not self._over_tls))
        if self._over_tls is not None:
            over_tls = [connection for connection in self._http2 if connection.over_tls]
            for connection in over_tls:
                connection.leave()
            await self._over_tls.stop()
            while any(not connection.closed for connection in over_tls):
                await asyncio.sleep(GOODBYE_POLL_S)
        until = time.monotonic() + self._settings.hijacked_s
        while admission.in_flight and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(HIJACKED_POLL_S, left))
        for tunnel in list(proxy.tunnels):
            tunnel.cut()
        for connection in list(self._http2):
            connection.cut()
        for task in self._tasks:
            task.cancel()
        await self._observation.close()
        if admission.gate is not None:
            admission.gate.close()
        self._app.close()
        admission.ends.flush()
        if proxy.http2 is not None:
            proxy.http2.close()


async def serve(settings: Settings, log: runtime.Log, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM and the drain after it; the exit status."""
    return await QueueProxy(settings, log, environ).run()


async def _sweep(app: AppConnections) -> None:
    while True:
        await asyncio.sleep(30)
        app.sweep()


def _log_style(environ: Mapping[str, str]) -> Zap | None:
    config = environ["SERVING_LOGGING_CONFIG"]
    if not config:
        return None
    from emu.daemon import zap

    key = f"{environ['SERVING_NAMESPACE']}/{environ['SERVING_REVISION']}"
    always = {"knative.dev/key": key, "knative.dev/pod": environ["SERVING_POD"]}
    return zap.read(config, environ["SERVING_LOGGING_LEVEL"], always)


def main(environ: Mapping[str, str]) -> int:
    """Run queue-proxy with these variables; its exit status (1 when one is missing)."""
    log = runtime.Log(QUEUE_PROXY)
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as missing:
        print(missing, file=sys.stderr, flush=True)
        return 1
    log.style = _log_style(environ)
    log.event(STARTED, pid=os.getpid())
    try:
        return runtime.run(lambda: serve(settings, log, environ))
    except (ProbeError, SettingsError) as wrong:
        print(wrong, file=sys.stderr, flush=True)
        return 1
    except OSError as failed:
        print(f"queue-proxy cannot listen on port {settings.port}: {failed}", file=sys.stderr, flush=True)
        return 1
