"""Probes of the kubelet, the activator and the autoscaler."""

from __future__ import annotations

import json
from typing import Any

from emu.conformance.case import APP_PORT, OK, Answer, Case, Do, Pause, Seen
from emu.conformance.cases.wire import PLAIN_ERROR, PROBE_UA, answered, ask

_GET = f'"httpGet":{{"host":"127.0.0.1","port":{APP_PORT},"scheme":"HTTP"'
ROOT_PROBE = "{" + _GET + ',"path":"/"},"periodSeconds":1}'
READY_PROBE = "{" + _GET + ',"path":"/ready","httpHeaders":[{"name":"X-Mine","value":"1"}]},"periodSeconds":1}'

READY = Answer(200, b"queue", {"content-length": "5"})

PROBERS = tuple(
    Case(
        f"probe-{agent.split('/')[0].lower()}",
        f"{agent} asks whether the app is ready",
        (ask(b"User-Agent: " + agent.encode(), b"K-Network-Probe: queue", line=b"GET /any HTTP/1.1"),),
        (READY,),
        reached=0,
        closed=False,
    )
    for agent in ("kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe")
)

NETWORK_PROBES: tuple[Case, ...] = (
    Case(
        "probe-connect",
        "A probe is one by whatever method, and CONNECT ends the connection",
        (ask(PROBE_UA, b"K-Network-Probe: queue", line=b"CONNECT /x HTTP/1.1"),),
        (Answer(200, b"queue"),),
        reached=0,
        closed=True,
    ),
    Case(
        "probe-head-hash",
        "An empty answer to HEAD has no length",
        (ask(b"K-Network-Probe: probe", b"K-Network-Hash: abc", line=b"HEAD / HTTP/1.1"),),
        (Answer(200, b"", {"k-network-hash": "abc"}, lacks=("content-length",), to="HEAD"),),
        reached=0,
        closed=False,
    ),
    Case(
        "probe-value",
        "A prober must say queue",
        (ask(PROBE_UA, b"K-Network-Probe: activator"),),
        (Answer(400, b"unexpected probe header value: activator\n", PLAIN_ERROR),),
        reached=0,
    ),
    Case(
        "probe-bare",
        "Nothing is not queue either",
        (ask(PROBE_UA),),
        (Answer(400, b"unexpected probe header value: \n"),),
        reached=0,
    ),
    Case(
        "probe-hash",
        "A network probe gets its hash back",
        (ask(b"K-Network-Probe: probe", b"K-Network-Hash: abc"),),
        (Answer(200, b"", {"k-network-hash": "abc"}),),
        reached=0,
    ),
    Case(
        "probe-no-hash",
        "It must have one",
        (ask(b"K-Network-Probe: probe"),),
        (Answer(400, b'a probe request must contain a non-empty "K-Network-Hash" header\n', PLAIN_ERROR),),
        reached=0,
    ),
    Case(
        "probe-traffic",
        "K-Network-Probe: queue alone is traffic",
        (ask(b"K-Network-Probe: queue"),),
        (Answer(200, b"ok"),),
        seen=(Seen(lines=(b"K-Network-Probe: queue",)),),
    ),
    Case(
        "probe-kubelet-header",
        "So is K-Kubelet-Probe",
        (ask(b"K-Kubelet-Probe: 1"),),
        (Answer(200, b"ok"),),
        reached=1,
    ),
    Case(
        "probe-post",
        "A probe is known whatever its method",
        (ask(PROBE_UA, b"K-Network-Probe: queue", line=b"POST /x HTTP/1.1"),),
        (READY,),
        reached=0,
    ),
)

READINESS: tuple[Case, ...] = (
    Case(
        "probe-not-ready",
        "An app that does not listen is not ready: 503, empty",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (Answer(503, b""),),
        app_down=True,
        settings={"SERVING_READINESS_PROBE": '{"tcpSocket":{"host":"127.0.0.1","port":APP_PORT},"periodSeconds":1}'},
    ),
    Case(
        "probe-exec",
        "An exec probe always fails",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (Answer(503, b""),),
        settings={"SERVING_READINESS_PROBE": '{"exec":{"command":["true"]},"periodSeconds":1}'},
    ),
    Case(
        "probe-http",
        "An HTTP probe asks the app as the kubelet would",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (READY,),
        settings={"SERVING_READINESS_PROBE": READY_PROBE},
        seen=(Seen(b"GET /ready HTTP/1.1", (b"User-Agent: kube-probe//", b"X-Mine: 1")),),
    ),
    Case(
        "probe-http-500",
        "A 500 is not ready",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (Answer(503, b""),),
        app=(answered(status=b"500 x"),),
        settings={"SERVING_READINESS_PROBE": ROOT_PROBE},
    ),
    Case(
        "probe-http-redirect",
        "Redirects are followed",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (READY,),
        app=(answered(b"Location: /there", status=b"302 x"),),
        then=(OK,),
        reached=2,
        settings={"SERVING_READINESS_PROBE": ROOT_PROBE},
    ),
    Case(
        "probe-aggressive",
        "Without a period it is tried until the app is there",
        (ask(PROBE_UA, b"K-Network-Probe: queue"),),
        (READY,),
        settings={"SERVING_READINESS_PROBE": '{"tcpSocket":{"host":"127.0.0.1","port":APP_PORT}}'},
    ),
)


def _probed(name: str, about: str, probe: str, answer: Answer = READY, **more: Any) -> Case:
    """The app's readiness is asked once; `probe` is the JSON that the controller passes."""
    settings: dict[str, str] = {"SERVING_READINESS_PROBE": probe}
    settings |= more.pop("settings", {})
    send = (ask(PROBE_UA, b"K-Network-Probe: queue"),)
    return Case(name, about, send, (answer,), settings=settings, **more)


def _get(*, timeout_s: int | None = 2, period_s: int | None = 1, **handler: object) -> str:
    """A probe by HTTP; what is None is left out."""
    whole = {"host": "127.0.0.1", "port": APP_PORT, "scheme": "HTTP", "path": "/", **handler}
    seconds = {"timeoutSeconds": timeout_s, "periodSeconds": period_s}
    probe = {"httpGet": {key: value for key, value in whole.items() if value is not None}}
    return json.dumps(probe | {key: value for key, value in seconds.items() if value is not None}).replace(
        f'"{APP_PORT}"', APP_PORT
    )


def _headers(**headers: str) -> list[dict[str, str]]:
    return [{"name": name.replace("_", "-"), "value": value} for name, value in headers.items()]


UNREADY = Answer(503, b"")
PLAIN = _get()
DETECTS = {"ENABLE_HTTP2_AUTO_DETECTION": "true"}

WORDS: tuple[Case, ...] = (
    _probed("probe-no-scheme", "Without a scheme there is no URL: not ready", _get(scheme=None), UNREADY, reached=0),
    _probed("probe-other-scheme", "… nor with one that is not HTTP's", _get(scheme="FTP"), UNREADY, reached=0),
    _probed("probe-no-host", "Without a host it is the pod itself", _get(host=None), reached=1),
    _probed("probe-text-port", "A port may be a text", _get().replace(APP_PORT, f'"{APP_PORT}"'), reached=1),
    _probed("probe-no-port", "Without a port there is nothing to ask", _get(port=None), UNREADY, reached=0),
    _probed(
        "probe-any-case",
        "Names are read in any case",
        _get().replace("httpGet", "HTTPGET").replace("host", "HoSt").replace("path", "PATH"),
        reached=1,
    ),
    _probed("probe-null", "null is nothing", _get().replace("{", '{"exec":null,', 1), reached=1),
    _probed("probe-no-handler", "A probe of nothing is not ready", '{"periodSeconds":1}', UNREADY),
    _probed("probe-empty", "… at once, without a period too", "{}", UNREADY, within_s=(0.0, 1.0)),
    _probed(
        "probe-tcp-no-port",
        "TCP without a port fails",
        '{"tcpSocket":{"host":"127.0.0.1"},"periodSeconds":1}',
        UNREADY,
    ),
    _probed("probe-path", "A path without a slash gets one", _get(path="x"), seen=(Seen(b"GET /x HTTP/1.1"),)),
    _probed(
        "probe-path-query",
        "A query is sent, what comes after # is not, and a blank is encoded",
        _get(path="/a b?c=d&e=%20#f"),
        seen=(Seen(b"GET /a%20b?c=d&e=%20 HTTP/1.1"),),
    ),
    _probed("probe-path-bad", "A path that is no URL's is not asked", _get(path="/%zz"), UNREADY, reached=0),
    _probed(
        "probe-headers",
        "Its headers are sent by Go's names and in their order, without those that Go writes itself",
        _get(
            httpHeaders=_headers(
                x_two="2", Host="mine.example", User_Agent="mine", x_one="1", Content_Length="7", X_Two="also"
            )
        ),
        seen=(
            Seen(
                lines=(
                    b"User-Agent: kube-probe//",
                    b"X-One: 1",
                    b"X-Two: 2",
                    b"X-Two: also",
                    b"Accept-Encoding: gzip",
                    b"Connection: close",
                ),
                lacks=(b"content-length",),
                not_lines=(b"Host: mine.example", b"User-Agent: mine"),
            ),
        ),
    ),
    _probed(
        "probe-header-encoding",
        "What it accepts itself is not added to",
        _get(httpHeaders=_headers(accept_encoding="br")),
        seen=(Seen(lines=(b"Accept-Encoding: br",), not_lines=(b"Accept-Encoding: gzip",)),),
    ),
    _probed(
        "probe-header-name",
        "A header with a name that is none is not sent, nor is the probe",
        _get(httpHeaders=_headers(**{"a b": "c"})),
        UNREADY,
        reached=0,
    ),
    _probed(
        "probe-one", "A list of one", f"[{PLAIN}]", settings={"ENABLE_MULTI_CONTAINER_PROBES": "true"}, reached=1
    ),
    _probed(
        "probe-two",
        "Each of several is asked",
        f"[{PLAIN},{_get(path='/two')}]",
        settings={"ENABLE_MULTI_CONTAINER_PROBES": "true"},
        reached=2,
    ),
    _probed(
        "probe-none-of", "None of none fails", "[]", settings={"ENABLE_MULTI_CONTAINER_PROBES": "true"}, reached=0
    ),
)

ANSWERS: tuple[Case, ...] = (
    *(
        _probed(f"probe-http-{status}", about, PLAIN, answer, app=(answered(status=b"%d x" % status),), reached=1)
        for status, about, answer in (
            (302, "A redirect to nowhere is ready", READY),
            (399, "… and so is all below 400", READY),
            (400, "400 is not", UNREADY),
            (404, "404 is not", UNREADY),
        )
    ),
    _probed(
        "probe-http-103",
        "Informational answers are passed over",
        PLAIN,
        app=(b"HTTP/1.1 103 x\r\n\r\n", OK),
        reached=1,
    ),
    _probed(
        "probe-http-redirects",
        "Ten requests are sent, and not an eleventh",
        PLAIN,
        UNREADY,
        app=(answered(b"Location: /on", status=b"302 x"),),
        reached=10,
    ),
    _probed("probe-http-closed", "An app that closes is not ready", PLAIN, UNREADY, app=(Do.CLOSE,)),
    _probed(
        "probe-http-late",
        "Nor is one that is late",
        PLAIN,
        UNREADY,
        app=(Pause(4.0), OK),
        within_s=(1.9, 3.0),
        fresh=True,
    ),
    _probed(
        "probe-http-body",
        "The body is waited for",
        PLAIN,
        app=(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", Pause(0.6), b"ok"),
        within_s=(0.55, 1.8),
    ),
    _probed(
        "probe-http-body-late",
        "… as long as there is time, and the app is ready all the same",
        PLAIN,
        app=(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", Do.HOLD),
        within_s=(1.9, 3.0),
    ),
    _probed(
        "probe-no-timeout",
        "Without timeoutSeconds there is no limit",
        _get(timeout_s=None),
        app=(Pause(1.5), OK),
        within_s=(1.4, 3.0),
    ),
    _probed(
        "probe-detect",
        "An app in HTTP/1 that says nothing to HTTP/2 gets as long again",
        PLAIN,
        settings=DETECTS,
        within_s=(1.9, 3.5),
        reached=1,
    ),
    _probed(
        "probe-detect-aggressive",
        "… and is ready where it is tried for 100 ms each",
        _get(period_s=None, timeout_s=None),
        settings=DETECTS,
        reached=1,
    ),
    _probed(
        "probe-detect-headers",
        "… and is asked without the probe's headers",
        _get(httpHeaders=_headers(x_mine="1")),
        settings=DETECTS,
        seen=(Seen(lacks=(b"x-mine",)),),
    ),
)

CASES = (*PROBERS, *NETWORK_PROBES, *READINESS, *WORDS, *ANSWERS)
