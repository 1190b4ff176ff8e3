"""The request log: a line on standard output for each answer, from Knative's template (pkg/http/request_log.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from emu.daemon.http import http1
from emu.daemon.http.forward import KUBE_PROBE
from emu.daemon.queue_proxy import gotemplate
from emu.daemon.queue_proxy.gofuncs import go_float

if TYPE_CHECKING:
    from emu.daemon.http.forward import Route
    from emu.daemon.queue_proxy.request import Logged


class RequestLog:
    """Writes a line for each request that ended."""

    def __init__(
        self, template: str, revision: Mapping[str, str], probes: bool, write: Callable[[str], None]
    ) -> None:
        self._template = gotemplate.parse(template if template.endswith("\n") else template + "\n")
        self._revision = dict(revision)
        self._probes = probes
        self._write = write
        self._requests: dict[Logged, dict[str, Any]] = {}

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
        values = {
            "Request": kept,
            "Response": {"Code": status, "Size": size, "Latency": round(latency_s, 9)},
            "Revision": self._revision,
            "TraceID": _trace_id(kept["Header"]),
        }
        try:
            line = gotemplate.render(self._template, values)
        except gotemplate.TemplateError:
            line = (
                f"Invalid request log template: method: {kept['Method']}, response code: {status}, "
                f"latency: {go_float(latency_s)}, url: {kept['RequestURI']}\n"
            )
        self._write(line)


def _is_probe(way: Route) -> bool:
    return bool(way.network_probe) or way.kubelet or bool(way.agent and way.agent.startswith(KUBE_PROBE))


def _request(request: Logged, way: Route) -> dict[str, Any]:
    head = request.head
    header: dict[str, list[str]] = {}
    for name, value in head.headers:
        key = http1.canonical(name).decode("latin-1")
        if key != "Host":
            header.setdefault(key, []).append(value.decode("utf-8", "replace"))
    peer = request.conn.transport.get_extra_info("peername") or ("", 0)
    path, _, query = head.target.decode("latin-1").partition("?")
    proto = "HTTP/2.0" if head.minor == 2 else f"HTTP/1.{head.minor}"

    def values(name: str) -> str:
        return (header.get(name) or [""])[0]

    return {
        "Method": head.method.decode("latin-1"),
        "RequestURI": head.target.decode("latin-1"),
        "URL": _Url(path, query, head.target.decode("latin-1")),
        "ContentLength": -1 if head.content_length is None else head.content_length,
        "Host": way.host.decode("latin-1"),
        "Header": _Header(header),
        "RemoteAddr": f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}",
        "Proto": proto,
        "ProtoMajor": int(proto[5]),
        "ProtoMinor": int(proto[7]),
        "UserAgent": lambda: values("User-Agent"),
        "Referer": lambda: values("Referer"),
        "TransferEncoding": ["chunked"] if head.chunked else [],
    }


class _Url:
    def __init__(self, path: str, query: str, text: str) -> None:
        self.Path = path
        self.RawQuery = query
        self.Scheme = self.Host = ""
        self._text = text

    def String(self) -> str:  # noqa: N802  Go's name
        return self._text

    __str__ = String


class _Header(dict[str, list[str]]):
    """Go's http.Header: a map with methods; `index` on it gives all values."""

    def Get(self, name: str) -> str:  # noqa: N802  Go's name
        return (self.get(http1.canonical(name.encode()).decode()) or [""])[0]


def _trace_id(header: Mapping[str, list[str]]) -> str:
    """The second field of traceparent, else X-B3-TraceId."""
    parent = (header.get("Traceparent") or [""])[0].split("-")
    if len(parent) >= 2:
        return parent[1]
    return (header.get("X-B3-Traceid") or [""])[0]
