"""HTTP/2 through the activator and a real queue-proxy, with gRPC's own client and server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from emu.messages.endpoints import Endpoint, Endpoints
from emu.record.events import RequestsForwarded, read_events
from emu.record.rundir import RunDir
from tests.unit.daemon.daemon_wire import DEADLINE_S, Daemon, StartProxy, wait_for
from tests.unit.daemon.test_activator_daemon import Front, _waiting

OFTEN = 6
"""More than the two times after which a message is known."""


class _Service(grpc.GenericRpcHandler):
    """Answers with what it got; `Hold` once it is let go."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.go = threading.Event()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.seen.append(dict(call.invocation_metadata))
        return {
            "/t.T/Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
            "/t.T/Hold": grpc.unary_unary_rpc_method_handler(self._hold),
            "/t.T/Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
        }.get(call.method)

    def _hold(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.go.wait(DEADLINE_S)
        return request


@pytest.fixture
def app() -> Iterator[tuple[_Service, int]]:
    """A gRPC server, and its port."""
    server, service = grpc.server(ThreadPoolExecutor(8)), _Service()
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, port
    service.go.set()
    server.stop(0)


@pytest.fixture
def pods(queue_proxy: StartProxy, app: tuple[_Service, int]) -> list[Daemon]:
    """Two queue-proxies in front of it."""
    return [queue_proxy(USER_PORT=app[1]) for _ in range(2)]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Front]:
    """An activator that knows of no pod yet."""
    run = RunDir(tmp_path / "run")
    run.create()
    made = Front(run, {})
    with made.activator:
        yield made


def point(there: Front, *pods: Daemon, start: str = "") -> None:
    """There are these pods; waits until the last of them is known to be ready."""
    there.reports.clear()
    there.activator.update(
        Endpoints(tuple(Endpoint("127.0.0.1", pod.port, start, pod=f"app-{pod.port}") for pod in pods))
    )
    for pod in pods:
        wait_for(lambda one=pod: _reached(there, one), "it is ready")


def _reached(there: Front, pod: Daemon) -> bool:
    there.reports += there.activator.reports()
    return there.activator.reaches(Endpoint("127.0.0.1", pod.port))


def test_calls_go_to_the_pods_and_say_who_asks(there: Front, app: tuple[_Service, int], pods: list[Daemon]) -> None:
    """The first waits for a pod, and learns how warm its start was; those that came before go the same way."""
    with grpc.insecure_channel(f"127.0.0.1:{there.activator.port}") as channel:
        echo = channel.unary_unary("/t.T/Echo")
        first = echo.future(b"cold", timeout=DEADLINE_S)
        wait_for(lambda: _waiting(there), "it waits")
        point(there, *pods, start="warm-disk")
        assert first.result() == b"cold"
        assert dict(first.initial_metadata())["x-emu-start"] == "warm-disk"
        for number in range(2 * OFTEN):
            answer, call = echo.with_call(b"%d" % number, timeout=DEADLINE_S)
            assert answer == b"%d" % number
            assert "x-emu-start" not in dict(call.initial_metadata())
    who = {(seen["k-proxy-request"], seen["x-forwarded-for"]) for seen in app[0].seen}
    assert who == {("activator", "127.0.0.1, 127.0.0.1")}

    def forwarded() -> list[str]:
        events = read_events(there.run.events) if there.run.events.exists() else ()
        return [event.pod for event in events if isinstance(event, RequestsForwarded) for _ in event.each]

    wait_for(lambda: len(forwarded()) == 2 * OFTEN + 1, "they are on record")
    assert set(forwarded()) == {f"app-{pod.port}" for pod in pods}


def test_a_call_in_a_pod_that_leaves_is_answered(there: Front, app: tuple[_Service, int], pods: list[Daemon]) -> None:
    """The next one goes to the pod that came, on the same connection of the client."""
    point(there, pods[0])
    with grpc.insecure_channel(f"127.0.0.1:{there.activator.port}") as channel:
        held = channel.unary_unary("/t.T/Hold").future(b"held", timeout=DEADLINE_S)
        wait_for(lambda: app[0].seen, "the app has it")
        point(there, pods[1])
        assert channel.unary_unary("/t.T/Echo")(b"next", timeout=DEADLINE_S) == b"next"
        app[0].go.set()
        assert held.result() == b"held"


def test_a_stream_passes_both_ways(there: Front, pods: list[Daemon]) -> None:
    """Bodies of unknown length, and the status in trailers."""
    point(there, *pods)
    with grpc.insecure_channel(f"127.0.0.1:{there.activator.port}") as channel:
        said = [b"%d" % number * 1000 for number in range(100)]
        assert list(channel.stream_stream("/t.T/Chat")(iter(said), timeout=DEADLINE_S)) == said


def test_a_call_that_waits_too_long_is_a_timeout(tmp_path: Path) -> None:
    """504 in the activator's words, as in HTTP/1; gRPC's client calls it UNAVAILABLE."""
    run = RunDir(tmp_path / "run")
    run.create()
    there = Front(run, {"timeoutSeconds": 1})
    with there.activator, grpc.insecure_channel(f"127.0.0.1:{there.activator.port}") as channel:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/t.T/Echo")(b"", timeout=DEADLINE_S)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "504" in failed.value.details()
