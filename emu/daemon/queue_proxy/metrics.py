"""The metrics of queue-proxy: the autoscaler's protobuf on 9090, Prometheus' text on 9091 where asked for.

EMU_STATS_PORT and EMU_METRICS_PORT are ours: other ports, 0 for any, where several run on one machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from emu.daemon import loop
from emu.daemon.http import http1
from emu.daemon.http.exchange import ClientSide, Exchange
from emu.daemon.http.server import Server
from emu.daemon.queue_proxy.settings import SettingsError
from emu.messages import QUEUE_PROXY, REPORT_VARIABLE
from emu.policy.stats import REPORT_PERIOD_S, Report, stat

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.observer import Observer

STATS_PORT = 9090
PROTOBUF = b"application/protobuf"


class Page(Exchange):
    """Our answer on /metrics."""

    def __init__(self, conn: ClientSide, head: http1.Head, kind: bytes, make: Callable[[], bytes]) -> None:
        super().__init__(conn, head)
        self._kind = kind
        self._make = make

    def begin(self) -> None:
        """Answer; a body is left to the connection."""
        found = self.head.target.split(b"?", 1)[0] == b"/metrics"
        body = self._make() if found else b"404 page not found\n"
        headers = b"Content-Type: %b\r\n" % self._kind if found else http1.ERROR_TEXT
        self.answer(200 if found else 404, body, headers)


def _resource(environ: Mapping[str, str]) -> dict[str, str]:
    """What target_info says."""
    pod = environ.get("POD_NAME") or environ.get("SERVING_POD", "")
    names = {
        "kn_configuration_name": "SERVING_CONFIGURATION",
        "kn_revision_name": "SERVING_REVISION",
        "kn_service_name": "SERVING_SERVICE",
    }
    found = {label: environ[name] for label, name in names.items() if environ.get(name)}
    services = ("OTEL_SERVICE_NAME", "SERVING_SERVICE", "SERVING_CONFIGURATION", "SERVING_REVISION")
    return {
        **found,
        "container_name": QUEUE_PROXY,
        "k8s_namespace_name": environ.get("SERVING_NAMESPACE", ""),
        "k8s_pod_name": pod,
        "service_instance_id": pod,
        "service_name": next((environ[name] for name in services if environ.get(name)), pod),
        "service_version": "unknown",
        "telemetry_sdk_language": "go",
        "telemetry_sdk_name": "opentelemetry",
        "telemetry_sdk_version": "1.44.0",
    }


def _network_octets() -> tuple[int, int]:
    """What came in and went out over the network of this process's namespace."""
    from pathlib import Path

    try:
        lines = [line.split() for line in Path("/proc/self/net/netstat").read_text().splitlines()]
    except OSError:
        return 0, 0
    names, values = (line for line in lines if line and line[0] == "IpExt:")
    found = dict(zip(names, values, strict=False))
    return int(found.get("InOctets", 0)), int(found.get("OutOctets", 0))


def process_text() -> bytes:
    """The metrics of Prometheus' process collectors for this process."""
    from pathlib import Path

    from emu.policy.metrics import single

    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    resident = int(fields[21]) * resource.getpagesize()
    received, sent = _network_octets()
    collected = (
        ("cpu_seconds_total", "Total user and system CPU time spent in seconds.", "counter",
         (int(fields[11]) + int(fields[12])) / ticks),
        ("max_fds", "Maximum number of open file descriptors.", "gauge", most),
        ("network_receive_bytes_total", "Number of bytes received by the process over the network.", "counter",
         received),
        ("network_transmit_bytes_total", "Number of bytes sent by the process over the network.", "counter", sent),
        ("open_fds", "Number of open file descriptors.", "gauge", descriptors),
        ("resident_memory_bytes", "Resident memory size in bytes.", "gauge", resident),
        ("start_time_seconds", "Start time of the process since unix epoch in seconds.", "gauge",
         booted + int(fields[19]) / ticks),
        ("virtual_memory_bytes", "Virtual memory size in bytes.", "gauge", int(fields[20])),
        ("virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", "gauge",
         _address_space()),
    )  # fmt: skip
    lines = [line for name, text, kind, value in collected for line in single(f"process_{name}", text, kind, value)]
    return ("\n".join(lines) + "\n").encode()


def _address_space() -> int:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return 2**64 if most == resource.RLIM_INFINITY else most


class Scrapes:
    """How often /metrics was read, for itself."""

    def __init__(self) -> None:
        self._count = 0

    def text(self) -> bytes:
        """The metrics of promhttp's own handler; this scrape is under way."""
        from emu.policy.metrics import single

        flight = "promhttp_metric_handler_requests_in_flight"
        total = "promhttp_metric_handler_requests_total"
        lines = [
            *single(flight, "Current number of scrapes being served.", "gauge", 1),
            *single(
                total, "Total number of scrapes by HTTP status code.", "counter", self._count, (("code", "200"),)
            ),
            *(f'{total}{{code="{code}"}} 0' for code in (500, 503)),
        ]
        self._count += 1
        return ("\n".join(lines) + "\n").encode()


class Observation:
    """The ports, and the tick that makes each second's report."""

    def __init__(
        self, observer: Observer, environ: Mapping[str, str], bind: str, log: loop.Log, metrics_port: int | None
    ) -> None:
        self._metrics_port = metrics_port
        self._observer = observer
        self._environ = environ
        self._bind = bind
        self._log = log
        self._started = time.monotonic()
        self._pod = environ.get("SERVING_POD", "")
        self._message = stat(Report(), self._pod, 0.0).encoded()
        self._servers: list[Server] = []
        self._ticker: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the ports; OSError when one is taken, SettingsError for a footprint that cannot be had."""
        self._weigh()
        await self._serve(self._port("EMU_STATS_PORT", STATS_PORT), "stats", PROTOBUF, lambda: self._message)
        if self._metrics_port is not None:
            from emu.policy.metrics import CONTENT_TYPE, QueueProxyMetrics

            app_port = self._port("USER_PORT", 0)
            metrics = self._observer.metrics = QueueProxyMetrics(_resource(self._environ), app_port)
            scrapes = Scrapes()

            def page() -> bytes:
                return metrics.text() + process_text() + scrapes.text()

            await self._serve(self._metrics_port, "metrics", CONTENT_TYPE, page)
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    def _weigh(self) -> None:
        text = self._environ.get("EMU_FOOTPRINT", "")
        if text in ("", "own"):
            return
        from emu.daemon.queue_proxy.footprint import EXECUTABLE, Weight
        from emu.policy.footprint import Profile

        profile = Profile.from_data(json.loads(text))
        path = self._environ.get("EMU_FOOTPRINT_EXECUTABLE") or EXECUTABLE
        try:
            self._observer.weight = Weight(profile, self._log, path)
        except OSError as failed:
            raise SettingsError(f"EMU_FOOTPRINT_EXECUTABLE: {path}: {failed.strerror}") from failed
        self._log.event("footprint", profile=profile.name)

    def _port(self, name: str, default: int) -> int:
        text = self._environ.get(name, "")
        return int(text) if text.isdigit() else default

    async def _serve(self, port: int, what: str, kind: bytes, make: Callable[[], bytes]) -> None:
        server = Server(lambda conn, head: Page(conn, head, kind, make))
        bound = await server.listen(self._bind, port, 128)
        self._servers.append(server)
        self._log.event("serves", what=what, port=bound)

    async def _tick(self) -> None:
        """A report each second, as Knative's; the weight is looked at besides."""
        observer = self._observer
        period_s = float(self._environ.get(REPORT_VARIABLE) or REPORT_PERIOD_S)
        observer.stats.report(time.monotonic())
        while True:
            await asyncio.sleep(period_s)
            now = time.monotonic()
            self._message = stat(observer.stats.report(now), self._pod, now - self._started, period_s).encoded()
            if observer.weight is not None:
                observer.weight.adjust(observer.breaker.waiting, now)

    async def close(self) -> None:
        """Stop the exporter, and close the ports on which metrics are served."""
        if self._ticker is not None:
            self._ticker.cancel()
        for server in self._servers:
            await server.stop(0.0)
