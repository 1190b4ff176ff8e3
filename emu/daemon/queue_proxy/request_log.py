"""The request log: a line on standard output for each answer, from Knative's template (pkg/http/request_log.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from emu.daemon.http.forward import KUBE_PROBE
from emu.daemon.queue_proxy import gorequest, gotemplate
from emu.daemon.queue_proxy.goformat import Struct, go_float

if TYPE_CHECKING:
    from emu.daemon.http.forward import Route
    from emu.daemon.queue_proxy.request import Logged


class RequestLog:
    """Writes a line for each request that ended."""

    def __init__(
        self, template: str, revision: Mapping[str, str], probes: bool, write: Callable[[str], None]
    ) -> None:
        self._template = gotemplate.parse(template if template.endswith("\n") else template + "\n")
        self._revision = Struct("http.RequestLogRevision", dict(revision))
        self._probes = probes
        self._write = write
        self._requests: dict[Logged, Struct] = {}

    def begin(self, request: Logged, way: Route) -> None:
        """A request came: keep what the template may want of it."""
        if not self._probes and _is_probe(way):
            return
        self._requests[request] = _request(request, way)

    def end(self, request: Logged, status: int, size: int, latency_s: float) -> None:
        """Write the line of a request that was answered; one that is not logged has none."""
        kept = self._requests.pop(request, None)
        if kept is None:
            return
        answered = {"Code": status, "Size": size, "Latency": round(latency_s, 9)}
        fields = {
            "Request": kept,
            "Response": Struct("http.RequestLogResponse", answered),
            "Revision": self._revision,
            "TraceID": _trace_id(kept.fields["Header"]),
        }
        values = Struct("http.RequestLogTemplateInput", fields)
        try:
            line = gotemplate.render(self._template, values)
        except gotemplate.TemplateError:
            line = (
                f"Invalid request log template: method: {kept.fields['Method']}, response code: {status}, "
                f"latency: {go_float(latency_s)}, url: {kept.fields['URL'].methods['String']()}\n"
            )
        self._write(line)


def _is_probe(way: Route) -> bool:
    return bool(way.network_probe) or way.kubelet or bool(way.agent and way.agent.startswith(KUBE_PROBE))


def _request(request: Logged, way: Route) -> Struct:
    peer = request.conn.transport.get_extra_info("peername") or ("", 0)
    remote = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
    return gorequest.request(request.head, way.came_to.decode("utf-8", "replace"), remote)


def _trace_id(header: Mapping[str, list[str]]) -> str:
    """The second field of traceparent, else X-B3-TraceId."""
    parent = (header.get("Traceparent") or [""])[0].split("-")
    if len(parent) >= 2:
        return parent[1]
    return (header.get("X-B3-Traceid") or [""])[0]
