"""One probe, asked of real sockets: what counts as success, and how a failure is worded."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from emu.errors import EmuError
from emu.kubelet.prober import Answer, Target, ask, run_hook
from emu.runtime.docker import Executed
from emu.spec import ExecSpec, HeaderSpec, HttpGetSpec, SleepSpec, TcpSocketSpec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def no_command(_: Sequence[str], __: float) -> Executed:
    """A target whose container cannot be reached."""
    raise EmuError("cannot run it", "Docker: no such container", "")


@contextmanager
def served(*answers: bytes | None) -> Iterator[tuple[Target, list[bytes]]]:
    """A server that answers one connection after the other with these bytes (None: nothing, and it stays open)."""
    asked: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                asked.append(connection.recv(65536))
                if answer is None:
                    held.append(connection)
                else:
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Target("127.0.0.1", server.getsockname()[1], no_command), asked
    for connection in held:
        connection.close()


def status(code: int, *fields: str) -> bytes:
    """An answer without a body."""
    return "\r\n".join((f"HTTP/1.1 {code} Any", "Content-Length: 0", *fields, "", "")).encode()


@pytest.mark.parametrize("code", [200, 204, 301, 399])
def test_a_status_from_200_to_399_is_success(code: int) -> None:
    """A redirect without a Location counts by its status alone."""
    with served(status(code)) as (target, _):
        assert ask(HttpGetSpec(), target, 60.0) == Answer("success")


@pytest.mark.parametrize("code", [400, 404, 500, 503])
def test_another_status_is_failure(code: int) -> None:
    """In the kubelet's words."""
    with served(status(code)) as (target, _):
        assert ask(HttpGetSpec(), target, 60.0) == Answer("failure", f"HTTP probe failed with statuscode: {code}")


def test_what_a_kubelet_sends() -> None:
    """Its user agent, the path with its query, own headers, Host among them, and no keep-alive."""
    handler = HttpGetSpec(
        path="/live?full=1",
        httpHeaders=(HeaderSpec(name="Host", value="app.example.com"), HeaderSpec(name="X-Probe", value="yes")),
    )  # fmt: skip
    with served(OK) as (target, asked):
        assert ask(handler, target, 60.0).outcome == "success"
    first, *fields = asked[0].decode().rstrip("\r\n").split("\r\n")
    assert first == "GET /live?full=1 HTTP/1.1"
    assert {"Host: app.example.com", "X-Probe: yes", "Accept: */*", "Connection: close"} <= set(fields)
    assert any(field.startswith("User-Agent: kube-probe/") for field in fields)
    assert len([field for field in fields if field.startswith("Host:")]) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil it closes",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 10240,
    ],
    ids=["after an interim answer", "chunked", "until closed", "more than is read"],
)
def test_answers_of_every_framing(answer: bytes) -> None:
    """However the body ends, and whatever its length: 10 KiB are read of it."""
    with served(answer) as (target, _):
        assert ask(HttpGetSpec(), target, 60.0) == Answer("success")


def test_a_redirect_on_the_same_host_is_followed() -> None:
    """What counts is the answer at its end."""
    with served(status(302, "Location: /there"), status(500)) as (target, asked):
        assert ask(HttpGetSpec(), target, 60.0).message == "HTTP probe failed with statuscode: 500"
    assert asked[1].startswith(b"GET /there ")


def test_a_redirect_to_another_host_is_success_with_a_warning() -> None:
    """The kubelet does not ask strangers."""
    with served(status(302, "Location: http://elsewhere.example/")) as (target, asked):
        answer = ask(HttpGetSpec(), target, 60.0)
    assert (answer.outcome, answer.warning) == ("success", "Probe terminated redirects, Response body: ")
    assert len(asked) == 1


def test_a_circle_of_redirects_ends() -> None:
    """After ten of them it is a failure."""
    with served(*[status(302, "Location: /")] * 11) as (target, _):
        assert "stopped after 10 redirects" in ask(HttpGetSpec(), target, 20.0).message


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"], ids=["nothing", "no body"]
)
def test_no_answer_in_time(answer: bytes | None) -> None:
    """A server that holds the connection open: the kubelet's timeout, not the server's patience."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            connection, _ = server.accept()
            held.append(connection)
            if answer is not None:
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        got = ask(HttpGetSpec(), Target("127.0.0.1", port, no_command), 0.2)
        assert got.outcome == "failure"
        late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        assert got.message == f'Get "http://127.0.0.1:{port}/": {late}'
        for connection in held:
            connection.close()


def test_a_trickle_of_bytes_does_not_stretch_the_timeout() -> None:
    """The time is for the whole answer, not for each byte of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            try:
                while not over.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        answer = ask(HttpGetSpec(), Target("127.0.0.1", server.getsockname()[1], no_command), 0.3)
        over.set()
        thread.join()
    assert answer.outcome == "failure"


@pytest.mark.parametrize(("answer", "words"), [(b"", "EOF"), (b"SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP response")])
def test_what_is_no_answer(answer: bytes, words: str) -> None:
    """A connection that just closes, and one that speaks something else."""
    with served(answer) as (target, _):
        got = ask(HttpGetSpec(), target, 60.0)
    assert got.outcome == "failure" and words in got.message


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and that nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_nobody_listens(closed_port: int) -> None:
    """Refused, as Go says it, by HTTP and by TCP."""
    target = Target("127.0.0.1", closed_port, no_command)
    refused = f"dial tcp 127.0.0.1:{closed_port}: connect: connection refused"
    assert ask(TcpSocketSpec(), target, 60.0) == Answer("failure", refused)
    assert ask(HttpGetSpec(), target, 60.0) == Answer("failure", f'Get "http://127.0.0.1:{closed_port}/": {refused}')


def test_a_connection_is_success() -> None:
    """TCP: connect is all; the probe's own port goes before the container's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ask(TcpSocketSpec(port=port), Target("127.0.0.1", None, no_command), 60.0) == Answer("success")


def executing(done: Executed) -> tuple[Target, list[tuple[Sequence[str], float]]]:
    """A target whose commands end so."""
    called: list[tuple[Sequence[str], float]] = []

    def execute(command: Sequence[str], timeout_s: float) -> Executed:
        called.append((command, timeout_s))
        return done

    return Target("127.0.0.1", None, execute), called


@pytest.mark.parametrize(
    ("done", "answer"),
    [
        (Executed(0, "fine\n"), Answer("success", "fine")),
        (Executed(1, "cat: /tmp/healthy: no such file\n"), Answer("failure", "cat: /tmp/healthy: no such file")),
        (Executed(None, ""), Answer("failure", 'command "cat /tmp/healthy" timed out')),
    ],
)
def test_a_command_counts_by_its_exit_code(done: Executed, answer: Answer) -> None:
    """0 is success; its output is the message; one that does not end in time has failed."""
    target, called = executing(done)
    assert ask(ExecSpec(command=("cat", "/tmp/healthy")), target, 1.0) == answer
    assert called == [(("cat", "/tmp/healthy"), 1.0)]


def test_a_command_that_cannot_be_started_says_nothing_of_the_container() -> None:
    """It is no failure: the answer is thrown away, as the kubelet does."""
    answer = ask(ExecSpec(command=("absent",)), Target("127.0.0.1", None, no_command), 1.0)
    assert answer == Answer("error", "Docker: no such container")


def hook(run: Callable[[], None]) -> float:
    """How long a hook took."""
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


def test_a_hook_that_sleeps_ends_with_the_grace_period() -> None:
    """The kubelet waits no longer, and a run that is over not even that long."""
    stop = threading.Event()
    target = Target("127.0.0.1", None, no_command)
    assert hook(lambda: run_hook(SleepSpec(seconds=60), target, 0.05, stop)) < 30
    stop.set()
    assert hook(lambda: run_hook(SleepSpec(seconds=60), target, 60, stop)) < 30


def test_a_hooks_status_does_not_matter(closed_port: int) -> None:
    """A preStop GET that was answered has done its work, whatever the answer; one that was not has failed."""
    stop = threading.Event()
    with served(status(503)) as (target, asked):
        run_hook(HttpGetSpec(path="/bye"), target, 5.0, stop)
    assert asked[0].startswith(b"GET /bye ")
    with pytest.raises(EmuError) as failed:
        run_hook(HttpGetSpec(), Target("127.0.0.1", closed_port, no_command), 5.0, stop)
    assert "connection refused" in failed.value.why


@pytest.mark.parametrize("done", [Executed(3, "no"), Executed(None, "")])
def test_a_hook_that_fails_says_so(done: Executed) -> None:
    """By its exit code, or because it outlived the grace period."""
    with pytest.raises(EmuError) as failed:
        run_hook(ExecSpec(command=("bye",)), executing(done)[0], 1.0, threading.Event())
    assert failed.value.what == "PreStopHook failed"


def test_a_hook_that_printed_nothing_fails_without_a_dangling_colon() -> None:
    """Its event ends with the reason."""
    with pytest.raises(EmuError) as caught:
        run_hook(ExecSpec(command=("bye",)), executing(Executed(3, ""))[0], 1.0, threading.Event())
    assert caught.value.why == "bye: exit code 3"
