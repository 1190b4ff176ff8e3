"""HTTP/2 through queue-proxy: gRPC with its own client and server, streams in numbers, windows, errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import h2.connection
import h2.events
import pytest

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import ErrorCodes
from tests.unit.daemon.daemon_wire import DEADLINE_S, Daemon, FakeApp, StartProxy, Wire, in_time, wait_for

CHUNK = b"x" * 16384


class _Service(grpc.GenericRpcHandler):
    """Methods on raw bytes."""

    def __init__(self) -> None:
        self.received = 0
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.released = threading.Event()
        self.seen: dict[str, str] = {}

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        self.seen = dict(call.invocation_metadata)
        return {
            "/t.T/Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
            "/t.T/Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "/t.T/Count": grpc.unary_stream_rpc_method_handler(self._count),
            "/t.T/Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "/t.T/Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
            "/t.T/Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "/t.T/Stuck": grpc.unary_unary_rpc_method_handler(self._stuck),
        }.get(call.method)

    def _fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("why", "reported"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
        return b""

    def _count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for _ in range(int(request)):
            yield CHUNK

    def _sum(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        for request in requests:
            self.received += len(request)
        return b"%d" % self.received

    def _hang(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(self.cancelled.set)
        self.hanging.set()
        self.cancelled.wait(DEADLINE_S)
        return b""

    def _stuck(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.released.wait(DEADLINE_S)
        return b"free"


@pytest.fixture
def grpc_app() -> Iterator[tuple[_Service, int]]:
    """A gRPC server, and its port."""
    server = grpc.server(ThreadPoolExecutor(8))
    service = _Service()
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, port
    service.released.set()
    server.stop(0)


@pytest.fixture
def channel(queue_proxy: StartProxy, grpc_app: tuple[_Service, int]) -> Iterator[grpc.Channel]:
    """A gRPC client's channel through a queue-proxy."""
    proxy = queue_proxy(USER_PORT=grpc_app[1])
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as made:
        yield made


class TestGrpc:
    """With grpc's own client and server."""

    def test_a_call_and_its_trailers_pass(self, channel: grpc.Channel, grpc_app: tuple[_Service, int]) -> None:
        """The status is in the trailers; the app sees who came before."""
        answer, call = channel.unary_unary("/t.T/Echo").with_call(
            b"hello", metadata=(("x-mine", "1"),), timeout=DEADLINE_S
        )
        assert (answer, call.code()) == (b"hello", grpc.StatusCode.OK)
        assert grpc_app[0].seen["x-mine"] == "1"
        assert grpc_app[0].seen["x-forwarded-for"] == "127.0.0.1"

    def test_a_failure_keeps_its_status_words_and_metadata(self, channel: grpc.Channel) -> None:
        """All of it comes in trailers."""
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/t.T/Fail")(b"", timeout=DEADLINE_S)
        call: Any = failed.value
        assert (call.code(), call.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")
        assert dict(call.trailing_metadata())["why"] == "reported"

    def test_streams_larger_than_every_window_pass_both_ways(self, channel: grpc.Channel) -> None:
        """Ten MiB each way."""
        count = 640
        assert (
            sum(len(part) for part in channel.unary_stream("/t.T/Count")(b"%d" % count, timeout=DEADLINE_S))
            == count * 16384
        )
        asked = channel.stream_unary("/t.T/Sum")(iter([CHUNK] * count), timeout=DEADLINE_S)
        assert asked == b"%d" % (count * 16384)

    def test_a_slow_reader_costs_a_bounded_buffer(
        self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]
    ) -> None:
        """Its window is all that is held for it, whatever the app has to say."""
        proxy = queue_proxy(USER_PORT=grpc_app[1])
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            channel.unary_unary("/t.T/Echo")(b"", timeout=DEADLINE_S)
            before = proxy.memory("RssAnon")
            answers = channel.unary_stream("/t.T/Count")(b"%d" % 6400, timeout=DEADLINE_S)
            next(answers)
            proxy.settle()
            assert proxy.memory("RssAnon") - before < 8 << 20
            assert sum(len(part) for part in answers) == 6399 * 16384

    def test_a_conversation_passes_turn_by_turn(self, channel: grpc.Channel) -> None:
        """Each message is answered before the next is sent."""
        turn = threading.Semaphore(1)

        def say() -> Iterator[bytes]:
            for number in range(20):
                assert turn.acquire(timeout=DEADLINE_S)
                yield b"%d" % number

        heard = []
        for answer in channel.stream_stream("/t.T/Chat")(say(), timeout=DEADLINE_S):
            heard.append(answer)
            turn.release()
        assert heard == [b"%d" % number for number in range(20)]

    def test_a_cancelled_call_is_cancelled_at_the_app(
        self, channel: grpc.Channel, grpc_app: tuple[_Service, int]
    ) -> None:
        """The reset goes through."""
        service = grpc_app[0]
        future = channel.unary_unary("/t.T/Hang").future(b"", timeout=DEADLINE_S)
        assert service.hanging.wait(DEADLINE_S)
        future.cancel()
        assert service.cancelled.wait(DEADLINE_S)

    def test_the_breaker_holds_for_streams(self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]) -> None:
        """One runs, ten wait, the twelfth is refused."""
        service, port = grpc_app
        proxy = queue_proxy(USER_PORT=port, CONTAINER_CONCURRENCY=1)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            stuck = channel.unary_unary("/t.T/Stuck")
            calls = [stuck.future(b"", timeout=DEADLINE_S) for _ in range(12)]
            refused = wait_for(lambda: next((call for call in calls if call.done()), None), "the refusal")
            # gRPC reads 503 and 504 as UNAVAILABLE.
            assert refused.code() == grpc.StatusCode.UNAVAILABLE and "503" in refused.details()
            service.released.set()
            assert [call.result(timeout=DEADLINE_S) for call in calls if call is not refused] == [b"free"] * 11

    def test_the_timers_hold_for_streams(self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]) -> None:
        """The revision timeout ends the one in the app and the one that waits for it."""
        proxy = queue_proxy(USER_PORT=grpc_app[1], CONTAINER_CONCURRENCY=1, REVISION_TIMEOUT_SECONDS=1)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            stuck = channel.unary_unary("/t.T/Stuck")
            for call in [stuck.future(b"", timeout=DEADLINE_S) for _ in range(2)]:
                with pytest.raises(grpc.RpcError):
                    call.result(timeout=DEADLINE_S)
                # Not by its own deadline, which is another code.
                assert call.code() == grpc.StatusCode.UNAVAILABLE and "504" in call.details()


class TestShutdown:
    """SIGTERM with streams open."""

    def test_a_stream_in_flight_is_answered_and_then_the_process_ends(
        self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]
    ) -> None:
        """Whether or not its client leaves: requests count, not connections."""
        service, port = grpc_app
        proxy = queue_proxy(USER_PORT=port, EMU_HIJACKED_SECONDS=600)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            future = channel.unary_unary("/t.T/Hang").future(b"", timeout=DEADLINE_S)
            assert service.hanging.wait(DEADLINE_S)
            proxy.term()
            assert proxy.event("stopping")["inFlight"] == 1
            # Its server knows an h2c connection no more than a websocket: what is asked now is still answered.
            assert channel.unary_unary("/t.T/Echo")(b"late", timeout=DEADLINE_S) == b"late"
            service.cancelled.set()
            assert future.result(timeout=DEADLINE_S) == b""
            assert proxy.wait() == 0

    def test_a_stream_holds_up_the_end_for_a_while(
        self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]
    ) -> None:
        """60 s in Knative; then it is cut."""
        service, port = grpc_app
        proxy = queue_proxy(USER_PORT=port, EMU_HIJACKED_SECONDS=2)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            future = channel.unary_unary("/t.T/Hang").future(b"", timeout=DEADLINE_S)
            assert service.hanging.wait(DEADLINE_S)
            proxy.term()
            stopping, stopped = proxy.event("stopping"), proxy.event("stopped")
            assert stopping["hijacked"] == 1
            assert stopped["t"] - stopping["t"] >= 2
            assert future.exception(timeout=DEADLINE_S) is not None
        assert proxy.wait() == 0

    def test_an_idle_connection_does_not(self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]) -> None:
        """Once it did, for those sixty seconds."""
        proxy = queue_proxy(USER_PORT=grpc_app[1], EMU_HIJACKED_SECONDS=600)
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as idle:
            idle.unary_unary("/t.T/Echo")(b"", timeout=DEADLINE_S)
            proxy.term()
            assert proxy.wait() == 0


class _Careless(h2.connection.H2Connection):
    """Opens as many streams as it likes."""

    @property
    def open_outbound_streams(self) -> int:
        return 0


class _H2:
    """A client that speaks frames."""

    def __init__(self, port: int) -> None:
        self.wire = Wire.to(port)
        self.conn = _Careless()
        self.conn.initiate_connection()
        self.flush()
        self.events: list[h2.events.Event] = []

    def flush(self) -> None:
        self.wire.send(self.conn.data_to_send())

    def get(self, path: str = "/", method: str = "GET", end: bool = True, **headers: str) -> int:
        number = self.conn.get_next_available_stream_id()
        extra = [(name.replace("_", "-"), value) for name, value in headers.items()]
        base = [(":method", method), (":path", path), (":authority", "app.example.com"), (":scheme", "http")]
        self.conn.send_headers(number, base + extra, end_stream=end)
        self.flush()
        return number

    def until(self, kind: type[h2.events.Event]) -> Any:
        """The next event of this kind."""
        while True:
            for at, event in enumerate(self.events):
                if isinstance(event, kind):
                    return self.events.pop(at)
            data = self.wire.sock.recv(65536)
            assert data, "closed"
            self.events += self.conn.receive_data(data)
            self.flush()


def _status(event: Any) -> int:
    return int(dict(event.headers)[b":status"])


def _asked(app: Wire) -> int:
    """The stream of the next request that the app gets."""
    while True:
        word, _, stream = frames.unpack_head(app.read_exactly(9), 0)
        app.read_exactly(word >> 8)
        if word & 0xFF == frames.HEADERS:
            return int(stream)


class TestFrames:
    """What shows on the wire."""

    def test_the_settings_are_those_of_go(self, shared: tuple[Daemon, FakeApp]) -> None:
        """250 streams, 1 MiB windows and frames."""
        client = _H2(shared[0].port)
        changed = client.until(h2.events.RemoteSettingsChanged).changed_settings
        assert {int(code): setting.new_value for code, setting in changed.items()}.items() >= {
            3: 250,
            4: 1 << 20,
            5: 1 << 20,
        }.items()

    def test_an_app_that_knows_only_http_1_is_a_502(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """In the words of Go's library."""
        client = _H2(queue_proxy().port)
        client.get()
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        assert b"looked like an HTTP/1.1 header" in client.until(h2.events.DataReceived).data

    @pytest.mark.parametrize(
        "ends",
        [
            frames.frame(frames.DATA, 1, 1),
            frames.frame(frames.DATA, 1, 1, b"body"),
            frames.number_frame(frames.RST_STREAM, 1, 2),
            frames.frame(frames.HEADERS, 5, 1, frames.encode([(b"x-mine", b"1")])),
        ],
        ids=["end", "body", "reset", "trailers"],
    )
    def test_an_answer_to_head_comes_once_the_app_has_ended_it(
        self, queue_proxy: StartProxy, fake_app: FakeApp, ends: bytes
    ) -> None:
        """In whatever way; nothing but its head reaches the client."""
        client = _H2(queue_proxy().port)
        client.get(method="HEAD")
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}))
        assert _asked(app) == 1
        app.send(frames.frame(frames.HEADERS, 4, 1, b"\x88"))  # :status 200
        client.conn.ping(b"12345678")
        client.flush()
        client.until(h2.events.PingAckReceived)
        assert not [event for event in client.events if isinstance(event, h2.events.ResponseReceived)]
        app.send(ends)
        assert _status(client.until(h2.events.ResponseReceived)) == 200
        client.until(h2.events.StreamEnded)

    def test_a_timeout_ends_an_answer_in_good_order(self, queue_proxy: StartProxy) -> None:
        """Its text is appended, also where the head promised more."""

        def play(fake_app: FakeApp, period_s: int) -> None:
            wire = queue_proxy(USER_PORT=fake_app.port, REVISION_TIMEOUT_SECONDS=period_s).connect()
            pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
            wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames.settings_frame({}))
            wire.send(frames.frame(frames.HEADERS, 5, 1, frames.encode(pairs)))
            app = fake_app.accept()
            app.read_until(b"SM\r\n\r\n")
            app.send(frames.settings_frame({}))
            block = frames.encode([(b":status", b"200"), (b"content-length", b"6000")])
            app.send(frames.frame(frames.HEADERS, 4, _asked(app), block))
            said = wire.read_until(b"request timeout")
            assert said.endswith(frames.data_head(15, 0, 1) + b"request timeout")
            assert wire.read_exactly(frames.HEAD_BYTES) == frames.data_head(0, 1, 1)

        in_time(play)

    def test_an_app_that_goes_away_for_a_fault_is_not_asked_again(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """As by the real one, whose words these are; once it was asked for ever."""
        client = _H2(queue_proxy().port)
        client.get()
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}))
        _asked(app)
        app.send(frames.frame(frames.GOAWAY, 0, 0, bytes(7) + b"\x02"))
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        words = client.until(h2.events.DataReceived).data
        assert words == b"http2: Transport received GOAWAY from server ErrCode:INTERNAL_ERROR\n"

    def test_an_app_that_refuses_a_stream_is_asked_again(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """On the same connection, more than once; the client learns nothing of it."""
        client = _H2(queue_proxy().port)
        client.get()
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}))
        for _ in range(2):
            app.send(frames.frame(frames.RST_STREAM, 0, _asked(app), b"\0\0\0\7"))
        app.send(frames.frame(frames.HEADERS, 5, _asked(app), b"\x88"))  # :status 200
        assert _status(client.until(h2.events.ResponseReceived)) == 200

    def test_a_refused_stream_with_a_body_is_not_asked_again(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """Its body is not kept; in the words of Go's library, which keeps none either."""
        client = _H2(queue_proxy().port)
        client.get(method="POST", end=False)
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}) + frames.frame(frames.RST_STREAM, 0, _asked(app), b"\0\0\0\7"))
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        refused = b"stream error: stream ID 1; REFUSED_STREAM; received from peer"
        assert client.until(h2.events.DataReceived).data == (
            b"http2: Transport: cannot retry err [%b] after Request.Body was written; "
            b"define Request.GetBody to avoid this error\n" % refused
        )

    def test_an_app_that_takes_queue_proxy_for_broken_is_asked_on_another_connection(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """A reset with PROTOCOL_ERROR is a 502, and the next request does not go where it came from."""
        client = _H2(queue_proxy().port)
        client.get()
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}) + frames.frame(frames.RST_STREAM, 0, _asked(app), b"\0\0\0\1"))
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        client.get()
        app = fake_app.accept()
        app.read_until(b"SM\r\n\r\n")
        app.send(frames.settings_frame({}) + frames.frame(frames.HEADERS, 5, _asked(app), b"\x88"))
        assert _status(client.until(h2.events.ResponseReceived)) == 200

    def test_an_app_that_is_down_is_a_502(self, queue_proxy: StartProxy, fake_app: FakeApp) -> None:
        """With the dial's error, which is on record too."""
        fake_app.close()
        proxy = queue_proxy()
        client = _H2(proxy.port)
        client.get()
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        assert b"connection refused" in client.until(h2.events.DataReceived).data
        line = proxy.event("requests-ended")
        assert (line["status"], line["reason"]) == (502, "dial-failed") and "connection refused" in line["why"]

    def test_probes_are_answered_in_http_2(self, queue_proxy: StartProxy) -> None:
        """200 queue."""
        client = _H2(queue_proxy().port)
        client.get(user_agent="kube-probe/1.30", k_network_probe="queue")
        assert _status(client.until(h2.events.ResponseReceived)) == 200
        assert client.until(h2.events.DataReceived).data == b"queue"

    def test_a_question_to_the_server_itself_goes_to_the_app(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """`OPTIONS *`, which Go's server answers in HTTP/1 alone; here there is no app, and the connection lives."""
        fake_app.close()
        client = _H2(queue_proxy().port)
        client.get("*", method="OPTIONS")
        assert _status(client.until(h2.events.ResponseReceived)) == 502
        client.get(user_agent="kube-probe/1.30", k_network_probe="queue")
        assert _status(client.until(h2.events.ResponseReceived)) == 200

    def test_more_than_250_streams_are_refused_and_the_rest_live(
        self, queue_proxy: StartProxy, grpc_app: tuple[_Service, int]
    ) -> None:
        """PROTOCOL_ERROR for the 251st alone, from a client that has seen our SETTINGS."""
        client = _H2(queue_proxy(USER_PORT=grpc_app[1], CONTAINER_CONCURRENCY=100).port)
        client.until(h2.events.RemoteSettingsChanged)
        for _ in range(251):
            number = client.conn.get_next_available_stream_id()
            base = [(":method", "POST"), (":path", "/"), (":authority", "a"), (":scheme", "http")]
            client.conn.send_headers(number, base)
        client.flush()
        reset = client.until(h2.events.StreamReset)
        assert (reset.stream_id, reset.error_code) == (501, ErrorCodes.PROTOCOL_ERROR)

    def test_a_sender_that_is_not_read_is_stopped_by_its_window(
        self, queue_proxy: StartProxy, fake_app: FakeApp
    ) -> None:
        """Waiting in the breaker, its body stays within one window."""
        proxy = queue_proxy(CONTAINER_CONCURRENCY=1)
        blocker = proxy.connect()
        blocker.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        fake_app.accept().read_head()
        client = _H2(proxy.port)
        client.until(h2.events.RemoteSettingsChanged)
        number = client.conn.get_next_available_stream_id()
        base = [(":method", "POST"), (":path", "/"), (":authority", "a"), (":scheme", "http")]
        client.conn.send_headers(number, base)
        sent = 0

        def full() -> bool:
            nonlocal sent
            room = client.conn.local_flow_control_window(number)
            for _ in range(room // 16384):
                client.conn.send_data(number, CHUNK)
                sent += len(CHUNK)
            client.flush()
            client.wire.sock.settimeout(0.3)
            try:
                client.conn.receive_data(client.wire.sock.recv(65536))
            except TimeoutError:
                return client.conn.local_flow_control_window(number) < 16384
            return False

        wait_for(full, "a closed window")
        assert sent <= (1 << 20) + 65536
