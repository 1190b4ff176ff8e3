"""What the activator passes on and answers itself, byte by byte, as seen on Knative's.

Knative Serving 1.23 at commit 98e5ef90, built with Go 1.27.3: cmd/activator whole, before a pod of the tests' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from emu.record.rundir import RunDir
from tests.unit.daemon.daemon_wire import Wire, wait_for
from tests.unit.daemon.test_activator_daemon import Front, QueueProxy

PASSED = [
    # Forwarded is queue-proxy's to make.
    ([b"X-Forwarded-For: 1.2.3.4"], {b"X-Forwarded-For": [b"1.2.3.4, 127.0.0.1"], b"Forwarded": []}),
    ([b"X-Forwarded-Host: h", b"Forwarded: for=x"], {b"X-Forwarded-Host": [b"h"], b"Forwarded": [b"for=x"]}),
    # What an ingress asks its network's version with goes no further.
    ([b"K-Network-Hash: abc"], {b"K-Network-Hash": []}),
    # Headers that Connection names go no further, the activator's own included.
    ([b"Connection: K-Original-Host"], {b"K-Original-Host": [], b"K-Proxy-Request": [b"activator"]}),
    ([b"Connection: k-proxy-request"], {b"K-Original-Host": [b"a.example"], b"K-Proxy-Request": []}),
    # An original host that came stays, with all its values, unless it is empty.
    ([b"K-Original-Host: b", b"K-Original-Host: c"], {b"K-Original-Host": [b"b", b"c"]}),
    ([b"K-Original-Host:"], {b"K-Original-Host": [b"a.example"]}),
    ([b"K-Proxy-Request: x", b"K-Proxy-Request: y"], {b"K-Proxy-Request": [b"activator"]}),
]
TEXT, NOSNIFF = b"Content-Type: text/plain; charset=utf-8", b"X-Content-Type-Options: nosniff"
NO_HASH = b'a probe request must contain a non-empty "K-Network-Hash" header\n'
OF_ITS_OWN = [
    (b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: activator", [b"Content-Length: 9", TEXT], b"activator"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: probe", [TEXT, NOSNIFF, b"Content-Length: 65"], NO_HASH),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: probe\r\nK-Network-Hash: abc",
        [b"K-Network-Hash: abc", b"Content-Length: 0"],
        b"",
    ),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nK-Network-Probe: <b>\"'&",
        [TEXT, NOSNIFF, b"Content-Length: 58"],
        b'unexpected probe header value: "&lt;b&gt;&#34;&#39;&amp;"\n',
    ),
    (
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1",
        [TEXT, NOSNIFF, b"Content-Length: 40", b"Connection: close"],
        b"client sent unsupported CONNECT request\n",
    ),
]


@pytest.fixture
def pod() -> Iterator[QueueProxy]:
    """A ready queue-proxy by hand."""
    made = QueueProxy()
    made.ready = True
    yield made
    made.listener.close()


@pytest.fixture
def there(tmp_path: Path, pod: QueueProxy) -> Iterator[Front]:
    """An activator that sends to it."""
    run = RunDir(tmp_path / "run")
    run.create()
    made = Front(run, {})
    with made.activator:
        made.point(pod)
        made.until("ready")
        yield made


def test_a_pod_gets_these_headers(there: Front, pod: QueueProxy) -> None:
    """Each request as often as it takes to be known by what came before: nothing else changes then."""
    for lines, wanted in PASSED:
        for _ in range(4):
            pod.asked.clear()
            wire = Wire.to(there.activator.port)
            wire.send(b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"\r\n".join([*lines, b"\r\n"]))
            wire.read_head()
            got = [line.split(b": ", 1) for line in pod.asked[0].split(b"\r\n")[1:-2]]
            for name, values in wanted.items():
                assert [value for key, value in got if key == name] == values, (lines, name)
            wire.close()


def test_it_answers_these_itself(there: Front, pod: QueueProxy) -> None:
    """Header lines in the order in which Go writes them, a guessed type last."""
    for asked, lines, body in OF_ITS_OWN:
        wire = Wire.to(there.activator.port)
        wire.send(asked + b"\r\n\r\n")
        head = wire.read_until(b"\r\n\r\n")
        said = [line for line in head.split(b"\r\n")[1:-2] if not line.startswith(b"Date: ")]
        assert said == lines, asked
        assert wire.read_exactly(len(body)) == body
        wire.close()
    assert pod.asked == []


def test_the_text_of_a_timeout_has_its_type_last(tmp_path: Path) -> None:
    """Nobody set one, so Go's server guesses it from the text."""
    run = RunDir(tmp_path / "run")
    run.create()
    made = Front(run, {"timeoutSeconds": 1})
    with made.activator:
        head = made.ask().read_until(b"\r\n\r\n")
    assert re.fullmatch(rb"HTTP/1.1 504 .*\r\nDate: .*\r\nContent-Length: 25\r\n%b\r\n\r\n" % TEXT, head)


def test_each_continue_of_an_app_reaches_the_client(there: Front, pod: QueueProxy) -> None:
    """queue-proxy lets only the first one through."""
    wire = Wire.to(there.activator.port)
    pod.go.clear()
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for(lambda: pod.asked, "the pod has it")
    pod.say_first = b"HTTP/1.1 100 Continue\r\n\r\n" * 2
    pod.go.set()
    assert wire.read_until(b"\r\n\r\n") == wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert wire.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")


def test_a_pod_is_probed_at_healthz(there: Front, pod: QueueProxy) -> None:
    """By its address, as queue-proxy's, with the activator's own User-Agent."""
    assert there.activator.port
    first, *lines = pod.probed[0].split(b"\r\n")
    assert first == b"GET /healthz HTTP/1.1"
    assert lines[:3] == [
        b"Host: 127.0.0.1:%d" % pod.port,
        b"User-Agent: Knative-Activator-Probe",
        b"K-Network-Probe: queue",
    ]
