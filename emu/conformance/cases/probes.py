"""Probes of the kubelet, the activator and the autoscaler."""

from __future__ import annotations

from emu.conformance.case import APP_PORT, OK, Answer, Case, Seen
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

CASES = (*PROBERS, *NETWORK_PROBES, *READINESS)
