"""A probe by gRPC, asked of a real server: what counts as success, and how a failure is worded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from emu.kubelet.prober import Answer, Target, ask
from emu.runtime.docker import Executed
from emu.spec import GrpcSpec

Header = tuple[str, str]
OPEN: list[Header] = [(":status", "200"), ("content-type", "application/grpc")]


def no_command(_: Sequence[str], __: float) -> Executed:
    """Nothing is executed."""
    raise AssertionError


@contextmanager
def served(
    head: list[Header], body: bytes | None, trailers: list[Header] | None
) -> Iterator[tuple[Target, dict[str, str]]]:
    """A server that answers one request, or holds it where there is no `body`; what it was asked."""
    asked: dict[str, str] = {}
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            speaks = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            speaks.initiate_connection()
            with connection:
                while not done.is_set():
                    connection.sendall(speaks.data_to_send())
                    for event in speaks.receive_data(connection.recv(65536)):
                        if isinstance(event, RequestReceived):
                            asked.update({str(name): str(value) for name, value in event.headers or ()})
                        elif isinstance(event, DataReceived):
                            asked["body"] = (event.data or b"").hex()
                        elif isinstance(event, StreamEnded):
                            if body is None:
                                done.wait(120)
                                return
                            speaks.send_headers(1, head, end_stream=trailers is None)
                            if trailers is not None:
                                speaks.send_data(1, body)
                                speaks.send_headers(1, trailers, end_stream=True)
                            connection.sendall(speaks.data_to_send())
                            done.wait(120)
                            return

        threading.Thread(target=serve, daemon=True).start()
        yield Target("127.0.0.1", server.getsockname()[1], no_command), asked
        done.set()


def test_a_service_that_serves_is_healthy() -> None:
    """It is asked by the kubelet's name, for the service that the probe names."""
    with served(OPEN, b"\0\0\0\0\2\x08\x01", [("grpc-status", "0")]) as (target, asked):
        assert ask(GrpcSpec(service="shop"), target, 60.0) == Answer("success")
    assert asked[":path"] == "/grpc.health.v1.Health/Check"
    assert asked["user-agent"].startswith("kube-probe/")
    assert bytes.fromhex(asked["body"]) == b"\0\0\0\0\6\x0a\x04shop"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\0\0\0\0\2\x08\x02", "NOT_SERVING"), (b"\0\0\0\0\0", "UNKNOWN"), (b"\0\0\0\0\2\x08\x03", "SERVICE_UNKNOWN")],
)
def test_any_other_status_is_a_failure(body: bytes, status: str) -> None:
    """In the kubelet's words."""
    with served(OPEN, body, [("grpc-status", "0")]) as (target, _):
        assert ask(GrpcSpec(), target, 60.0) == Answer("failure", f'service unhealthy (responded with "{status}")')


def test_a_server_without_the_protocol_says_so() -> None:
    """Trailers alone are an answer."""
    head = [*OPEN, ("grpc-status", "12"), ("grpc-message", "unknown service grpc.health.v1.Health")]
    with served(head, b"", None) as (target, _):
        what = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        assert ask(GrpcSpec(), target, 60.0) == Answer("failure", f"{what}: unknown service grpc.health.v1.Health")


def test_a_service_that_it_does_not_know_is_an_error_of_the_call() -> None:
    """With gRPC's code by its name."""
    with served([*OPEN, ("grpc-status", "5"), ("grpc-message", "unknown%20service")], b"", None) as (target, _):
        why = "rpc error: code = NotFound desc = unknown service"
        assert ask(GrpcSpec(service="x"), target, 60.0) == Answer("failure", f"error: health rpc probe failed: {why}")


def test_nobody_who_listens_is_waited_for() -> None:
    """Until the timeout: a client of gRPC tries again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        target = Target("127.0.0.1", port, no_command)
        why = f'timeout: failed to connect service "127.0.0.1:{port}" within 100ms: context deadline exceeded'
        assert ask(GrpcSpec(), target, 0.1) == Answer("failure", why)


def test_a_missing_answer_is_a_failure() -> None:
    """After the timeout."""
    with served(OPEN, None, None) as (target, _):
        assert ask(GrpcSpec(), target, 0.3) == Answer("failure", "timeout: health rpc did not complete within 300ms")


def test_a_server_that_gave_up_in_time_is_a_missing_answer_too() -> None:
    """By its status: the kubelet words both alike."""
    with served([*OPEN, ("grpc-status", "4"), ("grpc-message", "too slow")], b"", None) as (target, _):
        assert ask(GrpcSpec(), target, 5.0) == Answer("failure", "timeout: health rpc did not complete within 5s")


def test_a_long_name_of_a_service_is_asked_for_as_it_is() -> None:
    """Of more bytes than characters, and more than one byte can count."""
    with served(OPEN, b"\0\0\0\0\2\x08\x01", [("grpc-status", "0")]) as (target, asked):
        assert ask(GrpcSpec(service="ü" * 100), target, 60.0) == Answer("success")
    assert bytes.fromhex(asked["body"]) == b"\0\0\0\0\xcb\x0a\xc8\x01" + ("ü" * 100).encode()


def test_what_speaks_no_http_2_fails() -> None:
    """As soon as it says something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        answer = ask(GrpcSpec(), Target("127.0.0.1", server.getsockname()[1], no_command), 60.0)
    assert answer.outcome == "failure"
    assert answer.message.startswith("error: health rpc probe failed: rpc error: code = Unavailable desc = ")
