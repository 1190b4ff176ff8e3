"""The activator as a run has it: the real process, with a queue-proxy by hand behind it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from emu.helpers.activator import RunActivator, Traced
from emu.messages.endpoints import ActivatorReport, Endpoint, Endpoints
from emu.record.events import EventLog, Note, PodLoad, RequestsForwarded, RequestsHeld, read_events
from emu.record.rundir import RunDir
from emu.spec import PodSpec
from tests.unit.daemon.daemon_wire import DEADLINE_S, Head, Wire, wait_for

GET = b"GET /%d HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"
OK = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
)
OFTEN = 6
"""More than the two times after which a message is known."""
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nqueue"
NOT_YET = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class QueueProxy:
    """Something in queue-proxy's place: says whether it is ready, and answers what comes, or holds it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self.listener.getsockname()[1])
        self.ready = False
        self.asked: list[bytes] = []
        """The heads that came, in order."""
        self.probed: list[bytes] = []
        """Those of the activator's probes."""
        self.say_first = b""
        """What precedes each answer."""
        self.go = threading.Event()
        """Answers are given."""
        self.go.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        wire = Wire(connection)
        try:
            while True:
                head = wire.read_until(b"\r\n\r\n")
                if b"K-Network-Probe: queue" in head:
                    self.probed.append(head)
                    wire.send(HEALTHY if self.ready else NOT_YET)
                    wire.close()
                    return
                self.asked.append(head)
                self.go.wait(DEADLINE_S)
                wire.send(self.say_first + OK)
        except (AssertionError, OSError):
            return

    @property
    def paths(self) -> list[bytes]:
        """What was asked for, in order."""
        return [head.split(b" ")[1] for head in self.asked]


class Front:
    """The activator, and what it reported."""

    def __init__(self, run: RunDir, spec: dict[str, Any], traced: Traced | None = None) -> None:
        self.run = run
        self.log = EventLog(run.events)
        self.activator = RunActivator(PodSpec.model_validate(spec), run, self.log, traced=traced)
        self.reports: list[ActivatorReport] = []

    def until(self, what: str) -> ActivatorReport:
        """The first of its words of this kind; waits for it."""

        def found() -> ActivatorReport | None:
            self.reports += self.activator.reports()
            return next((one for one in self.reports if one.what == what), None)

        said: ActivatorReport = wait_for(found, what)
        return said

    def point(self, *pods: QueueProxy, start: str = "") -> None:
        """There are these pods."""
        named = (Endpoint("127.0.0.1", pod.port, start, pod=f"app-{pod.port}") for pod in pods)
        self.activator.update(Endpoints(tuple(named)))

    def ask(self, number: int = 0) -> Wire:
        """A client that has sent a request."""
        wire = Wire.to(self.activator.port)
        wire.send(GET % number)
        return wire

    def held(self) -> list[RequestsHeld]:
        """What is on record of requests that waited."""
        if not self.run.events.exists():
            return []
        return [event for event in read_events(self.run.events) if isinstance(event, RequestsHeld)]


Start = Callable[..., Front]


@pytest.fixture
def pod() -> Iterator[QueueProxy]:
    """A queue-proxy by hand."""
    made = QueueProxy()
    yield made
    made.go.set()
    made.listener.close()


@pytest.fixture
def other() -> Iterator[QueueProxy]:
    """A second one."""
    made = QueueProxy()
    yield made
    made.go.set()
    made.listener.close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Start]:
    """Start an activator in front of a pod with this specification."""
    with ExitStack() as stack:

        def start(**spec: Any) -> Front:
            run = RunDir(tmp_path / "run")
            run.create()
            made = Front(run, spec)
            stack.enter_context(made.activator)
            return made

        yield start


def test_requests_wait_for_a_pod_and_all_go_to_it_in_order(front: Start, pod: QueueProxy) -> None:
    """None is answered before there is a pod that is ready; then each is, and how warm the start was is said."""
    there = front(containerConcurrency=1)
    clients = [there.ask(number) for number in range(5)]
    wait_for(lambda: _waiting(there) == 5, "all have arrived")
    there.point(pod, start="warm-disk")
    assert all(client.quiet() for client in clients)
    pod.ready = True
    heads = [client.read_head() for client in clients]
    assert [head.status for head in heads] == [200] * 5
    assert {head.get("x-emu-start") for head in heads} == {"warm-disk"}
    assert sorted(pod.paths) == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert there.until("ready").waiting == 5
    wait_for(there.held, "they are on record")
    (held,) = there.held()
    assert (held.outcome, len(held.waited_s)) == ("forwarded", 5)
    assert held.waited_s == sorted(held.waited_s, reverse=True)


def test_order_is_kept_where_one_at_a_time_may_go(front: Start, pod: QueueProxy) -> None:
    """With containerConcurrency 1 the next one goes when the one before is answered, first come, first served."""
    there = front(containerConcurrency=1)
    clients = []
    for number in range(4):
        clients.append(there.ask(number))
        wait_for(lambda n=number: _waiting(there) > n, "it has arrived")
    pod.ready = True
    there.point(pod)
    for client in clients:
        client.read_head()
    assert pod.paths == [b"/0", b"/1", b"/2", b"/3"]


def _waiting(there: Front) -> int:
    """How many wait, by the activator's last word."""
    there.reports += there.activator.reports()
    return max((one.waiting for one in there.reports), default=0)


def test_the_most_requests_in_a_pod_are_on_record(front: Start, pod: QueueProxy) -> None:
    """By the pod's name; what waits for room is not in it."""
    there = front(containerConcurrency=2)
    pod.ready = True
    pod.go.clear()
    there.point(pod)
    endpoint = Endpoint("127.0.0.1", pod.port)
    assert not there.activator.reaches(endpoint)  # before its report is read
    there.until("ready")
    assert there.activator.reaches(endpoint)
    clients = [there.ask(number) for number in range(4)]
    wait_for(lambda: len(pod.asked) == 2, "two are in the pod")
    pod.go.set()
    assert [client.read_head().status for client in clients] == [200] * 4

    def loads() -> list[PodLoad]:
        if not there.run.events.exists():
            return []
        return [event for event in read_events(there.run.events) if isinstance(event, PodLoad)]

    wait_for(lambda: max((load.most for load in loads()), default=0) == 2, "it is on record")
    assert {load.pod for load in loads()} == {f"app-{pod.port}"}


def test_each_request_that_is_sent_on_is_on_record_with_its_pod(
    front: Start, pod: QueueProxy, other: QueueProxy
) -> None:
    """By its client's port and the activator's: each that a pod got is among that pod's, once for each time, and only
    those that came while there was no pod are cold.
    """
    there = front()
    cold = [there.ask(number) for number in range(2)]
    wait_for(lambda: _waiting(there) == 2, "they wait")
    pod.ready = other.ready = True
    there.point(pod)
    assert [client.read_head().status for client in cold] == [200] * 2
    there.point(other)
    wait_for(lambda: sum(one.what == "ready" for one in _heard(there)) == 2, "the second pod takes requests")
    again = cold[0]
    again.read_exactly(2)
    again.send(GET % 2)
    assert again.read_head().status == 200

    def forwarded() -> list[tuple[str, int, bool]]:
        events = read_events(there.run.events) if there.run.events.exists() else ()
        lines = [event for event in events if isinstance(event, RequestsForwarded)]
        assert {line.port for line in lines} <= {there.activator.port}
        return [(line.pod, client, waited) for line in lines for _, client, waited in line.each]

    wait_for(lambda: len(forwarded()) == 3, "they are on record")
    ports = [client.sock.getsockname()[1] for client in cold]
    assert sorted(forwarded()[:2]) == sorted((f"app-{pod.port}", port, True) for port in ports)
    assert forwarded()[2] == (f"app-{other.port}", ports[0], False)


def _heard(there: Front) -> list[ActivatorReport]:
    there.reports += there.activator.reports()
    return there.reports


def test_queue_proxy_hears_who_asks_and_for_whom(front: Start, pod: QueueProxy) -> None:
    """K-Proxy-Request and the client's Host in K-Original-Host; an answer that waited for no start names none."""
    there = front()
    pod.ready = True
    there.point(pod, start="warm-disk")
    there.until("ready")
    client = there.ask()
    assert client.read_head().get("x-emu-start") == ""
    head = pod.asked[0]
    assert b"K-Proxy-Request: activator\r\n" in head
    assert b"K-Original-Host: shop.example.com\r\n" in head
    assert b"Host: 127.0.0.1:%d\r\n" % pod.port in head


def test_what_came_before_goes_to_any_pod_with_its_name(front: Start, pod: QueueProxy, other: QueueProxy) -> None:
    """The same request again and again, of two clients: each pod gets its own Host and the client's address, each
    request is on record, and one that finds no pod waits for the next, and the next learns how warm its start was.
    """
    there = front(containerConcurrency=4)  # pods take turns
    pod.ready = other.ready = True
    there.point(pod, other)
    wait_for(lambda: _ready(there) == 2, "both are ready")
    clients = [
        Wire(socket.create_connection(("127.0.0.1", there.activator.port), source_address=(host, 0)))
        for host in ("127.0.0.1", "127.0.0.2")
    ]
    for _ in range(OFTEN):
        for client in sorted(clients * 2, key=id):
            assert client.ask(GET % 0)[1] == b"ok"
    for one in (pod, other):
        heads = [Head(head) for head in one.asked]
        assert {head.get("host") for head in heads} == {f"127.0.0.1:{one.port}"}
        assert {head.get("k-original-host") for head in heads} == {"shop.example.com"}
        assert {head.get("x-forwarded-for") for head in heads} == {"127.0.0.1", "127.0.0.2"}
    assert len(pod.asked) == len(other.asked) == 2 * OFTEN
    there.activator.update(Endpoints())
    there.until("closed")
    clients[0].send(GET % 0)
    wait_for(lambda: _waiting(there) == 1, "it waits")
    there.point(pod, start="warm-disk")
    assert clients[0].read_head().get("x-emu-start") == "warm-disk"

    def forwarded() -> list[RequestsForwarded]:
        return [event for event in read_events(there.run.events) if isinstance(event, RequestsForwarded)]

    wait_for(lambda: sum(len(line.at) for line in forwarded()) == 4 * OFTEN + 1, "they are on record")
    ports = {client.sock.getsockname()[1] for client in clients}
    assert {client for line in forwarded() for client in line.clients} == ports


def test_a_client_that_hangs_up_gives_its_place_free(front: Start, pod: QueueProxy) -> None:
    """It is not forwarded, and is on record as one that lost patience."""
    there = front()
    there.ask(1).close()
    stays = there.ask(2)
    wait_for(there.held, "the one that went")
    pod.ready = True
    there.point(pod)
    assert stays.read_head().status == 200
    assert pod.paths == [b"/2"]
    wait_for(lambda: len(there.held()) == 2, "both are on record")
    assert [event.outcome for event in there.held()] == ["abandoned", "forwarded"]


def test_waiting_counts_towards_the_timeout(front: Start) -> None:
    """After timeoutSeconds: 504 in the activator's words."""
    there = front(timeoutSeconds=1)
    client = there.ask()
    head = client.read_head()
    assert (head.status, client.read_body(head)) == (504, b"activator request timeout")
    wait_for(there.held, "it is on record")
    assert [event.outcome for event in there.held()] == ["timeout"]


def test_a_pod_that_goes_keeps_what_it_has_and_gets_no_more(front: Start, pod: QueueProxy) -> None:
    """A request under way is answered by the pod that is being stopped; the next one waits for the next pod."""
    there = front()
    pod.ready = True
    there.point(pod)
    there.until("ready")
    pod.go.clear()
    under_way = there.ask(1)
    wait_for(lambda: pod.asked, "the pod has it")
    there.activator.update(Endpoints())
    assert there.until("closed").forwarded == 1
    later = there.ask(2)
    pod.go.set()
    assert under_way.read_head().status == 200
    assert later.quiet()
    there.point(pod)
    assert later.read_head().status == 200


def test_each_pod_has_its_limit_and_a_new_one_brings_room(front: Start, pod: QueueProxy, other: QueueProxy) -> None:
    """With containerConcurrency 1 the second request waits for room, and goes to the second pod once it is ready."""
    there = front(containerConcurrency=1)
    pod.ready = other.ready = True
    pod.go.clear()
    there.point(pod)
    there.until("ready")
    first = there.ask(1)
    wait_for(lambda: pod.asked, "the first pod has it")
    second = there.ask(2)
    assert second.quiet()
    there.point(pod, other)
    assert second.read_head().status == 200
    assert (pod.paths, other.paths) == ([b"/1"], [b"/2"])
    pod.go.set()
    assert first.read_head().status == 200


def test_without_a_limit_pods_share_the_load(front: Start, pod: QueueProxy, other: QueueProxy) -> None:
    """Of two pods the one with fewer requests gets the next; the report says how many each has."""
    there = front()
    for one in (pod, other):
        one.ready = True
        one.go.clear()
    there.point(pod, other)
    wait_for(lambda: _ready(there) == 2, "both are ready")
    clients = [there.ask(number) for number in range(6)]
    wait_for(lambda: len(pod.asked) == len(other.asked) == 3, "each has its half")
    wait_for(lambda: _loads(there) == [3, 3], "the report says so")
    for one in (pod, other):
        one.go.set()
    assert [client.read_head().status for client in clients] == [200] * 6


def _loads(there: Front) -> list[int]:
    """How many requests each pod has, by the activator's last report."""
    there.reports += there.activator.reports()
    return sorted(there.reports[-1].loads.values())


def _ready(there: Front) -> int:
    """How many pods are ready, by the activator's reports."""
    there.reports += there.activator.reports()
    return len({one.pod for one in there.reports if one.what == "ready"})


def test_a_pod_that_leaves_takes_no_more_and_answers_what_it_has(
    front: Start, pod: QueueProxy, other: QueueProxy
) -> None:
    """The next requests go to the one that stays; no connection to the other is used again."""
    there = front()
    pod.ready = other.ready = True
    there.point(pod)
    there.until("ready")
    pod.go.clear()
    under_way = there.ask(1)
    wait_for(lambda: pod.asked, "the pod has it")
    there.reports.clear()
    there.point(other)
    there.until("ready")
    pod.go.set()
    assert under_way.read_head().status == 200
    for number in range(2, 5):
        assert there.ask(number).read_head().status == 200
    assert (pod.paths, other.paths) == ([b"/1"], [b"/2", b"/3", b"/4"])


def test_a_traced_request_is_reported_and_its_answer_names_the_start(tmp_path: Path, pod: QueueProxy) -> None:
    """As runs that measure starts have it: arrival and forwarding, also of one that found a pod, and the start that
    the endpoint has by then.
    """
    run = RunDir(tmp_path / "traced")
    run.create()
    pod.ready = True
    there = Front(run, {}, traced=Traced(60.0))
    with there.activator:
        for start in ("cold", "warm-cpu"):
            there.reports.clear()
            there.point(pod, start=start)
            there.until("updated")
            there.until("ready") if start == "cold" else None
            assert there.ask().read_head().get("x-emu-start") == start
            assert there.until("arrived").t <= there.until("forwarded").t


def test_probes_are_answered_by_the_activator_itself(front: Start) -> None:
    """Knative's autoscaler asks whether the activator is in the path; other probes are refused. A kubelet's
    ask for the activator, and hold for no pod.
    """
    there = front()
    wire = Wire.to(there.activator.port)
    head, body = wire.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\nK-Network-Probe: activator\r\n\r\n")
    assert (head.status, body) == (200, b"activator")
    head, _ = wire.ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\nK-Network-Probe: queue\r\n\r\n")
    assert head.status == 400
    for probe in (b"User-Agent: kube-probe/1.30", b"K-Kubelet-Probe: queue"):
        head, body = wire.ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + probe + b"\r\n\r\n")
        assert (head.status, body) == (200, b"")


def test_one_that_is_killed_is_started_again(front: Start, pod: QueueProxy) -> None:
    """On the same port, and it knows where the pod is; that it happened is on record."""
    there = front()
    pod.ready = True
    there.point(pod)
    there.until("ready")
    port, pid = there.activator.port, there.activator._helper.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: there.activator._helper.status is not None, "its end")
    there.reports.clear()
    there.until("ready")
    assert there.activator.port == port
    assert there.ask().read_head().status == 200
    assert any(isinstance(event, Note) and "activator" in event.what for event in read_events(there.run.events))
