"""Variables that are refused, in whose words; ports, TLS, the admin port and the drain that its hook begins."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from emu.daemon.http import h2_frames as frames
from emu.daemon.http.client_hello import HTTP_ANSWER
from emu.daemon.http.sniff import content_type
from emu.daemon.queue_proxy import main as module
from emu.daemon.queue_proxy.settings import Settings, SettingsError
from tests.unit.daemon.daemon_wire import DEADLINE_S, REQUIRED, FakeApp, StartProxy, Wire, in_time

PROBE = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n\r\n"


class TestWords:
    """envconfig's and strconv's."""

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            (
                "CONTAINER_CONCURRENCY",
                "ten",
                "envconfig.Process: assigning CONTAINER_CONCURRENCY to ContainerConcurrency: converting 'ten' to "
                'type int. details: strconv.ParseInt: parsing "ten": invalid syntax',
            ),
            (
                "REVISION_TIMEOUT_SECONDS",
                "",
                "envconfig.Process: assigning REVISION_TIMEOUT_SECONDS to RevisionTimeoutSeconds: converting '' to "
                'type int. details: strconv.ParseInt: parsing "": invalid syntax',
            ),
            (
                "CONTAINER_CONCURRENCY",
                "9" * 30,
                "envconfig.Process: assigning CONTAINER_CONCURRENCY to ContainerConcurrency: converting "
                f"'{'9' * 30}' to type int. details: strconv.ParseInt: parsing \"{'9' * 30}\": value out of range",
            ),
            (
                "ENABLE_HTTP_FULL_DUPLEX",
                "maybe",
                "envconfig.Process: assigning ENABLE_HTTP_FULL_DUPLEX to EnableHTTPFullDuplex: converting 'maybe' to "
                'type bool. details: strconv.ParseBool: parsing "maybe": invalid syntax',
            ),
            ("QUEUE_SERVING_PORT", "http", "listen tcp: lookup tcp/http: unknown port"),
            ("QUEUE_SERVING_PORT", "70000", "listen tcp: address 70000: invalid port"),
            ("QUEUE_SERVING_PORT", "-1", "listen tcp: address -1: invalid port"),
            (
                "QUEUE_PROXY_TLS_CURVE_PREFERENCES",
                "X25519,P-256",
                "QUEUE_PROXY_TLS_CURVE_PREFERENCES names several curves, which Python's ssl cannot prefer one by "
                "one; name one, or none for OpenSSL's own",
            ),
            ("EMU_KNATIVE_DEFECTS", "x", "EMU_KNATIVE_DEFECTS names x; known: all, final-status-lost, two-framings"),
        ],
    )
    def test_a_bad_value_is_refused(self, name: str, value: str, words: str) -> None:
        """With the variable and what was found."""
        with pytest.raises(SettingsError) as refused:
            Settings.from_environ({**REQUIRED, name: value})
        assert str(refused.value) == words

    @pytest.mark.parametrize(
        ("name", "value", "unknown"),
        [
            ("QUEUE_PROXY_TLS_MIN_VERSION", "1.2 ", "1.2 "),
            ("QUEUE_PROXY_TLS_CURVE_PREFERENCES", "X25519,CurveP128", "CurveP128"),
            ("QUEUE_PROXY_TLS_CIPHER_SUITES", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"),
        ],
    )
    def test_what_tls_does_not_know_is_refused(self, name: str, value: str, unknown: str) -> None:
        """With the variable and the part of it."""
        with pytest.raises(SettingsError) as refused:
            Settings.from_environ({**REQUIRED, name: value})
        assert f"invalid {name}" in str(refused.value)
        assert f'"{unknown}"' in str(refused.value)

    @pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
    def test_whatever_go_takes_for_true_is_true(self, text: str) -> None:
        """strconv.ParseBool."""
        assert Settings.from_environ({**REQUIRED, "ENABLE_HTTP_FULL_DUPLEX": text}).full_duplex

    @pytest.mark.parametrize(
        ("text", "value"),
        [("0x10", 16), ("010", 8), ("0_7", 7), ("0b11", 3), ("0O17", 15), ("1_000", 1000), ("+5", 5), ("00", 0)],
    )
    def test_numbers_are_written_as_in_gos_source(self, text: str, value: int) -> None:
        """strconv.ParseInt, base 0."""
        assert Settings.from_environ({**REQUIRED, "CONTAINER_CONCURRENCY": text}).container_concurrency == value

    @pytest.mark.parametrize("text", ["08", "1__0", "_1", "1_", "5 ", "1e3", "0x", "+", "٣"])
    def test_what_is_no_number_there_is_none_here(self, text: str) -> None:
        """Whatever Python takes."""
        with pytest.raises(SettingsError, match="invalid syntax"):
            Settings.from_environ({**REQUIRED, "CONTAINER_CONCURRENCY": text})

    def test_a_timeout_too_long_for_go_wraps_around(self) -> None:
        """It has nanoseconds in 64 bits."""
        found = Settings.from_environ({**REQUIRED, "REVISION_TIMEOUT_SECONDS": str(2**63 - 1)})
        assert found.revision_timeout_s == -1.0

    def test_what_is_missing_is_said_before_a_bad_port(self) -> None:
        """A port is read only where it is listened on."""
        environ = {**REQUIRED, "QUEUE_SERVING_PORT": "x"}
        del environ["SERVING_POD"]
        with pytest.raises(SettingsError, match="required key SERVING_POD missing value"):
            Settings.from_environ(environ)

    def test_less_than_one_is_no_limit(self) -> None:
        """And no error."""
        assert Settings.from_environ({**REQUIRED, "CONTAINER_CONCURRENCY": "-5"}).container_concurrency == 0

    @pytest.mark.parametrize("probe", ["{", "[]x", "[1]", '[{"tcpSocket":{}}]'])
    def test_a_probe_that_cannot_be_read_ends_the_start(self, probe: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A list is one only with ENABLE_MULTI_CONTAINER_PROBES."""
        assert module.main({**REQUIRED, "SERVING_READINESS_PROBE": probe}) == 1
        assert "Queue container failed to parse readiness probe" in capsys.readouterr().err


class TestAdmin:
    """Port 8022."""

    def test_without_a_signal_the_hook_waits_a_second_and_probes_pass_again(self, queue_proxy: StartProxy) -> None:
        """While it waits they fail."""
        proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=30)
        admin, probe = int(proxy.event("listening")["adminPort"]), proxy.connect()
        give_up, said = time.monotonic() + DEADLINE_S, b""
        while said != b"shutting down\n":  # once more where this test stood still for that second
            assert time.monotonic() < give_up
            hook, begun = Wire.to(admin), time.monotonic()
            hook.send(b"GET /wait-for-drain HTTP/1.1\r\nHost: a\r\n\r\n")
            while said != b"shutting down\n" and time.monotonic() < begun + 2:
                said = probe.ask(PROBE)[1]
            assert hook.read_head().status == 200
            assert time.monotonic() - begun > 0.9
        assert probe.ask(PROBE)[1] == b"queue"

    def test_a_second_hook_joins_the_first(self, queue_proxy: StartProxy) -> None:
        """Both are answered when the first has waited its second, also where the first client has left."""
        proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=30)
        admin = int(proxy.event("listening")["adminPort"])
        first, second = Wire.to(admin), Wire.to(admin)
        begun = time.monotonic()
        first.send(b"GET /wait-for-drain HTTP/1.1\r\nHost: a\r\n\r\n")
        first.close()
        second.send(b"POST /wait-for-drain?x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert second.read_head().status == 200
        assert time.monotonic() - begun > 0.9

    def test_with_one_it_is_answered_when_the_drain_is_over(self, queue_proxy: StartProxy) -> None:
        """And the process ends."""

        def play(_: FakeApp, period_s: int) -> None:  # the signal must come within the second that a hook waits
            proxy = queue_proxy(EMU_DRAIN_QUIET_SECONDS=1 + period_s)
            hook = Wire.to(int(proxy.event("listening")["adminPort"]))
            begun = time.monotonic()
            hook.send(b"GET /wait-for-drain HTTP/1.1\r\nHost: a\r\n\r\n")
            proxy.term()
            assert hook.read_head().status == 200
            assert time.monotonic() - begun > 0.9 + period_s
            assert proxy.wait() == 0

        in_time(play)

    def test_there_is_nothing_else(self, queue_proxy: StartProxy) -> None:
        """404, as Go's mux says."""
        hook = Wire.to(int(queue_proxy().event("listening")["adminPort"]))
        head, body = hook.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (head.status, body) == (404, b"404 page not found\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, as the controller would mount it."""
    folder = tmp_path_factory.mktemp("certs")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    argv = [*words.split(), "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(argv, check=True, capture_output=True)
    return folder


class TestTls:
    """Port 8112, opened when a certificate is mounted."""

    def _connect(
        self, port: int, protocols: list[str], most: ssl.TLSVersion | None = None, curve: str | None = None
    ) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        if curve is not None:
            context.set_ecdh_curve(curve)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(protocols)
        if most is not None:
            context.maximum_version = most
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")

    def test_http_1_and_2_are_spoken_over_it(
        self, queue_proxy: StartProxy, fake_app: FakeApp, certificate: Path
    ) -> None:
        """In TLS 1.3; the app is asked in the clear."""
        proxy = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0)
        port = int(proxy.event("listening")["tlsPort"])
        secure = self._connect(port, ["http/1.1"])
        assert secure.version() == "TLSv1.3"
        wire = Wire(secure)
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        app = fake_app.accept()
        app.read_head()
        app.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert wire.read_body(wire.read_head()) == b"ok"
        second = self._connect(port, ["h2", "http/1.1"])
        assert second.selected_alpn_protocol() == "h2"
        second.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert second.recv(65536)[3] == 4

    def test_older_versions_are_refused_unless_allowed(self, queue_proxy: StartProxy, certificate: Path) -> None:
        """1.3 is the least when nothing is said."""
        old = ssl.TLSVersion.TLSv1_2
        proxy = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0)
        with pytest.raises(ssl.SSLError):
            self._connect(int(proxy.event("listening")["tlsPort"]), ["http/1.1"], old)
        lax = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0, QUEUE_PROXY_TLS_MIN_VERSION="1.2")
        secure = self._connect(int(lax.event("listening")["tlsPort"]), ["http/1.1"], old)
        assert secure.version() == "TLSv1.2"

    @pytest.mark.parametrize("name", ["P-384", " CurveP384 ,"])
    def test_one_curve_is_the_only_one(self, queue_proxy: StartProxy, certificate: Path, name: str) -> None:
        """By its standard name or Go's."""
        proxy = queue_proxy(
            EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0, QUEUE_PROXY_TLS_CURVE_PREFERENCES=name
        )
        port = int(proxy.event("listening")["tlsPort"])
        with pytest.raises(ssl.SSLError):
            self._connect(port, ["http/1.1"], curve="prime256v1")
        assert self._connect(port, ["http/1.1"], curve="secp384r1").version() == "TLSv1.3"

    def test_cipher_suites_have_gos_names(self, queue_proxy: StartProxy, certificate: Path) -> None:
        """They choose in TLS 1.2; where only such of 1.3 are named, there is no 1.2."""
        old = ssl.TLSVersion.TLSv1_2

        def port(suites: str) -> int:
            proxy = queue_proxy(
                EMU_CERT_DIR=certificate,
                QUEUE_SERVING_TLS_PORT=0,
                QUEUE_PROXY_TLS_MIN_VERSION="1.2",
                QUEUE_PROXY_TLS_CIPHER_SUITES=suites,
            )
            return int(proxy.event("listening")["tlsPort"])

        suites = "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,"
        chosen = self._connect(port(suites), ["http/1.1"], old).cipher()
        assert chosen is not None
        assert chosen[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"

    def test_suites_of_which_http_2_takes_none_are_refused(self) -> None:
        """Where 1.2 is allowed, in the words with which the real one ends; once it was started with them."""
        named = {"QUEUE_PROXY_TLS_CIPHER_SUITES": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}
        with pytest.raises(SettingsError, match="missing an HTTP/2-required AES_128_GCM_SHA256 cipher"):
            Settings.from_environ({**REQUIRED, **named, "QUEUE_PROXY_TLS_MIN_VERSION": "1.2"})
        assert Settings.from_environ({**REQUIRED, **named}).tls.cipher_suites

    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_ANSWER),
            (b"SSH-2.0-x\r\n", b""),
            (b"\x80\x2e\x01\x00\x02", b"\x15\x03\x01\x00\x02\x02\x46"),
            (b"\x16\x03\x01\xff\xffhello", b"\x15\x03\x01\x00\x02\x02\x16"),
        ],
        ids=["http", "other", "ssl2", "long"],
    )
    def test_who_does_not_speak_tls_learns_it(
        self, queue_proxy: StartProxy, certificate: Path, said: bytes, answer: bytes
    ) -> None:
        """As from Go's server; once all of them were closed without a byte."""
        proxy = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0)
        wire = Wire.to(int(proxy.event("listening")["tlsPort"]))
        wire.send(said)
        assert wire.read_to_end() == answer

    def test_a_handshake_that_fails_says_why(self, queue_proxy: StartProxy, certificate: Path) -> None:
        """The version, or that none of the protocols is spoken; http/1.1 beside an unknown one is."""
        proxy = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0)
        port = int(proxy.event("listening")["tlsPort"])
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            self._connect(port, ["http/1.1"], ssl.TLSVersion.TLSv1_2)
        with pytest.raises(ssl.SSLError, match=r"(?i)alert no application protocol"):
            self._connect(port, ["http/1.0", "h3"])
        assert self._connect(port, ["foo", "http/1.1"]).selected_alpn_protocol() == "http/1.1"

    def test_who_chose_http_2_speaks_it(self, queue_proxy: StartProxy, certificate: Path) -> None:
        """SETTINGS come before the client has said a word; HTTP/1 ends the connection, once its bytes are enough."""
        proxy = queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0)
        wire = Wire(self._connect(int(proxy.event("listening")["tlsPort"]), ["h2"]))
        assert wire.read_exactly(9)[3] == frames.SETTINGS
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert frames.goaway_frame(0, 1) not in wire.read_to_end()

    def test_a_hello_in_pieces_is_judged_as_a_whole(self, queue_proxy: StartProxy, certificate: Path) -> None:
        """Once what came first was all that was looked at: an alert was lost, and HTTP was not answered."""
        port = int(queue_proxy(EMU_CERT_DIR=certificate, QUEUE_SERVING_TLS_PORT=0).event("listening")["tlsPort"])
        wire = Wire.to(port)
        for piece in (b"G", b"ET", b" / HTTP/1.1\r\n\r\n"):
            wire.send(piece)
            time.sleep(0.05)
        assert wire.read_to_end() == HTTP_ANSWER

    def test_a_pair_that_cannot_be_loaded_ends_the_start(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In the real one's words."""
        for name in ("tls.crt", "tls.key"):
            (tmp_path / name).write_text("x")
        assert module.main({**REQUIRED, "EMU_CERT_DIR": str(tmp_path), "QUEUE_SERVING_TLS_PORT": "0"}) == 1
        assert "failed to create certWatcher" in capsys.readouterr().err

    def test_without_one_the_port_stays_closed(self, queue_proxy: StartProxy, tmp_path: Path) -> None:
        """And the log does not name it."""
        assert "tlsPort" not in queue_proxy(EMU_CERT_DIR=tmp_path).event("listening")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", b"text/plain; charset=utf-8"),
        (b"  <html>", b"text/html; charset=utf-8"),
        (b"<htmlx", b"text/plain; charset=utf-8"),
        (b"<!-- x", b"text/html; charset=utf-8"),
        (b"%PDF-1.7", b"application/pdf"),
        (b"RIFFxxxxWEBPVP8", b"image/webp"),
        (b"\0\0\0\x18ftypisomxxxxmp41xxxx", b"video/mp4"),
        (b"\xff\xd8\xff\xe0", b"image/jpeg"),
        (b"caf\xc3\xa9", b"text/plain; charset=utf-8"),
        (b"a\x07b", b"application/octet-stream"),
    ],
)
def test_content_is_known_by_how_it_begins(body: bytes, kind: bytes) -> None:
    """DetectContentType."""
    assert content_type(body) == kind


def test_grpc_readiness_is_asked_as_grpc(queue_proxy: StartProxy) -> None:
    """SERVING is ready, NOT_SERVING is not."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    state = {"answer": b"\x08\x01"}

    class Health(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if call.method != "/grpc.health.v1.Health/Check":
                return None
            return grpc.unary_unary_rpc_method_handler(lambda request, _: state["answer"])

    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        probe = json.dumps({"grpc": {"port": port}, "periodSeconds": 1, "timeoutSeconds": 60})
        client = queue_proxy(SERVING_READINESS_PROBE=probe).connect()
        assert client.ask(PROBE)[1] == b"queue"
        state["answer"] = b"\x08\x02"
        assert client.ask(PROBE)[0].status == 503
    finally:
        server.stop(0)
