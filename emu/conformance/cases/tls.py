"""TLS: what is agreed in a handshake, what is refused and how, and HTTP/1.1 and HTTP/2 over it."""

from __future__ import annotations

from typing import Any

from emu.conformance.case import OK, OVER_TLS, Agreed, Answer, Case, End, Hello, Pause, Renew, Seen
from emu.conformance.cases.wire import PROBE_UA, SWITCHED, UP, answered, ask, chunked, h2_get, post

HTTP1 = Hello()
ALLOWS_12 = {**OVER_TLS, "QUEUE_PROXY_TLS_MIN_VERSION": "1.2"}
NEW, OLD = "TLSv1.3", "TLSv1.2"
GIVEN = Agreed(NEW, "http/1.1")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
SETTINGS = rb"\x00\x00.\x04\x00\x00\x00\x00\x00"
H2_OK = rb".*\x00\x00\x02\x00.\x00\x00\x00\x01ok"
HTTP_TO_TLS = rb"HTTP/1\.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server\.\n$"
PIECES = tuple(step for at in (1, 4, 5, 6, 40, 100, 200) for step in (at, Pause(0.05)))


def over(name: str, about: str, hello: Hello = HTTP1, agreed: Agreed = GIVEN, **more: Any) -> Case:
    """A GET over TLS that is answered."""
    settings: dict[str, Any] = {"send": (ask(),), "expect": (Answer(200, b"ok"),), "settings": OVER_TLS, **more}
    return Case(name, about, tls=hello, agreed=agreed, **settings)


def refused(name: str, about: str, hello: Hello, alert: str, settings: dict[str, str] = OVER_TLS) -> Case:
    """A handshake that fails."""
    return Case(name, about, (), tls=hello, alert=alert, settings=settings, reached=0)


def bare(name: str, about: str, *send: bytes | Pause | End, raw: bytes | None = None) -> Case:
    """What is sent without TLS to the port for it; the connection ends."""
    return Case(name, about, send, raw=raw, closed=True, settings=OVER_TLS, reached=0)


AGREED: tuple[Case, ...] = (
    over(
        "tls-http1",
        "HTTP/1.1 over TLS 1.3; the app is asked in the clear, and no header says so",
        seen=(Seen(b"GET / HTTP/1.1", (b"Host: app.example.com",), (b"x-forwarded-proto", b"forwarded")),),
        send=(ask(), Pause(0.1), ask()),
        expect=(Answer(200, b"ok"), Answer(200, b"ok")),
        closed=False,
    ),
    over("tls-no-alpn", "Without ALPN it is HTTP/1.1", Hello(()), Agreed(NEW, None)),
    over(
        "tls-h2",
        "HTTP/2 where the client asks for it, and the app is asked in HTTP/2",
        Hello(("h2",)),
        Agreed(NEW, "h2"),
        send=(h2_get((b"user-agent", b"kube-probe/1.30"), (b"k-network-probe", b"queue")),),
        expect=(),
        raw=rb".*\x00\x00\x05\x00.\x00\x00\x00\x01queue",
        reached=0,
    ),
    over(
        "tls-h2-first",
        "HTTP/2 is chosen before HTTP/1.1, whatever the client's order is",
        Hello(("http/1.1", "h2")),
        Agreed(NEW, "h2"),
        send=(PREFACE,),
        expect=(),
        raw=SETTINGS,
    ),
    over("tls-alpn-among", "A protocol that is not known is passed over", Hello(("x", "http/1.1", "y")), GIVEN),
    over(
        "tls-h2-unsaid",
        "HTTP/2 is spoken without ALPN, too",
        Hello(()),
        Agreed(NEW, None),
        send=(PREFACE,),
        expect=(),
        raw=SETTINGS,
    ),
    over(
        "tls-h2-after-http1",
        "… and where HTTP/1.1 was agreed",
        send=(PREFACE,),
        expect=(),
        raw=SETTINGS,
    ),
    over(
        "tls-http1-after-h2",
        "HTTP/1.1 where HTTP/2 was agreed ends the connection",
        Hello(("h2",)),
        Agreed(NEW, "h2"),
        send=(ask(),),
        expect=(),
        raw=SETTINGS,
        reached=0,
    ),
    over("tls-no-sni", "No server name is needed", Hello(server_name=None)),
    over("tls-other-sni", "… and none matters", Hello(server_name="other.example.org")),
    over(
        "tls-hello-pieces",
        "A ClientHello that comes in pieces",
        Hello(cuts=PIECES),
    ),
    over("tls-hello-records", "A ClientHello in three records", Hello(records=3)),
    over("tls-hello-records-pieces", "… that come in pieces", Hello(records=3, cuts=PIECES)),
    over("tls-p384", "A curve that the certificate has not", Hello(curve="secp384r1")),
    over("tls-p256", "… and the one that it has", Hello(curve="prime256v1")),
    over("tls-x25519", "… and the usual one", Hello(curve="X25519")),
    over("tls-12", "TLS 1.2 where it is allowed", Hello(most="1.2"), Agreed(OLD, "http/1.1"), settings=ALLOWS_12),
    over("tls-12-13", "… and 1.3 for who has it", HTTP1, GIVEN, settings=ALLOWS_12),
    over(
        "tls-12-most",
        "No 1.3 where 1.2 is the most",
        HTTP1,
        Agreed(OLD, "http/1.1"),
        settings={**ALLOWS_12, "QUEUE_PROXY_TLS_MAX_VERSION": "1.2"},
    ),
    over(
        "tls-12-suite",
        "A suite of TLS 1.2 that is named is chosen",
        Hello(most="1.2"),
        Agreed(OLD, "http/1.1", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        settings={
            **ALLOWS_12,
            "QUEUE_PROXY_TLS_CIPHER_SUITES": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,"
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        },
    ),
    over(
        "tls-12-cbc",
        "The older suites of Go's are spoken",
        Hello(most="1.2", suites="ECDHE-ECDSA-AES256-SHA"),
        Agreed(OLD, "http/1.1", "ECDHE-ECDSA-AES256-SHA"),
        settings=ALLOWS_12,
    ),
    over(
        "tls-12-chacha",
        "… and ChaCha20",
        Hello(most="1.2", suites="ECDHE-ECDSA-CHACHA20-POLY1305"),
        Agreed(OLD, "http/1.1", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        settings=ALLOWS_12,
    ),
    over(
        "tls-curve",
        "A curve that is preferred is spoken with who has it",
        Hello(curve="secp384r1"),
        settings={**OVER_TLS, "QUEUE_PROXY_TLS_CURVE_PREFERENCES": "P-384"},
    ),
)

REFUSED: tuple[Case, ...] = (
    refused("tls-alpn-unknown", "Only protocols that are not spoken", Hello(("h3", "x")), "no_application_protocol"),
    refused(
        "tls-alpn-unknown-pieces",
        "… in a ClientHello that comes in pieces",
        Hello(("h3", "x"), cuts=PIECES),
        "no_application_protocol",
    ),
    refused(
        "tls-alpn-unknown-records",
        "… and in several records",
        Hello(("h3", "x"), records=4),
        "no_application_protocol",
    ),
    refused("tls-too-old", "TLS 1.2 unless it is allowed", Hello(most="1.2"), "protocol_version"),
    refused(
        "tls-too-new",
        "TLS 1.3 alone where 1.2 is the most",
        Hello(least="1.3"),
        "protocol_version",
        {**ALLOWS_12, "QUEUE_PROXY_TLS_MAX_VERSION": "1.2"},
    ),
    refused(
        "tls-no-suite",
        "Suites of TLS 1.2 of which none is spoken",
        Hello(most="1.2", suites="ECDHE-ECDSA-AES128-SHA256"),
        "handshake_failure",
        ALLOWS_12,
    ),
    refused(
        "tls-no-certificate-for-it",
        "… or that want a certificate of another kind",
        Hello(most="1.2", suites="ECDHE-RSA-AES128-GCM-SHA256"),
        "handshake_failure",
        ALLOWS_12,
    ),
    refused(
        "tls-no-curve",
        "Another curve than the only one",
        Hello(curve="prime256v1"),
        "handshake_failure",
        {**OVER_TLS, "QUEUE_PROXY_TLS_CURVE_PREFERENCES": "P-384"},
    ),
)

BARE: tuple[Case, ...] = (
    bare("tls-port-http", "HTTP to the port for TLS", ask(), raw=HTTP_TO_TLS),
    bare("tls-port-http-post", "… a POST", post(b"Content-Length: 2", body=b"ok"), raw=HTTP_TO_TLS),
    bare(
        "tls-port-http-pieces",
        "… in pieces",
        b"GE",
        Pause(0.1),
        b"T / HT",
        Pause(0.1),
        b"TP/1.1\r\n",
        raw=HTTP_TO_TLS,
    ),
    bare("tls-port-http-short", "Five bytes are enough to know it", b"GET /", raw=HTTP_TO_TLS),
    bare("tls-port-patch", "A method that is not known there is closed without a byte", b"PATCH / HTTP/1.1\r\n\r\n"),
    bare("tls-port-preface", "… and so is HTTP/2 without TLS", PREFACE),
    bare("tls-port-ssh", "… and any other protocol", b"SSH-2.0-x\r\n"),
    bare(
        "tls-port-ssl2",
        "SSL 2 learns that its version is refused",
        b"\x80\x2e\x01\x00\x02",
        raw=rb"\x15\x03\x01\x00\x02\x02\x46$",
    ),
    bare(
        "tls-port-long",
        "A record that is too long",
        b"\x16\x03\x01\xff\xffhello",
        raw=rb"\x15\x03\x01\x00\x02\x02\x16$",
    ),
    bare("tls-port-silent", "A client that leaves before it has said anything", End.SHUT),
    bare("tls-port-cut", "… or amid a record's head", b"\x16\x03", Pause(0.05), End.SHUT),
    bare(
        "tls-port-cut-hello",
        "… or amid its ClientHello",
        b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03abc",
        Pause(0.05),
        End.SHUT,
    ),
    bare("tls-port-alert", "A client's alert ends the connection", b"\x15\x03\x01\x00\x02\x02\x28"),
)

OVER: tuple[Case, ...] = (
    over(
        "tls-close",
        "Connection: close ends with close_notify",
        send=(ask(b"Connection: close"),),
        expect=(Answer(200, b"ok", {"connection": "close"}),),
        closed=True,
        notified=True,
    ),
    over(
        "tls-upload",
        "A body of many records",
        send=(post(b"Content-Length: 300000", body=b"x" * 300_000),),
        seen=(Seen(body=b"x" * 300_000),),
    ),
    over(
        "tls-upload-chunked",
        "… and a chunked one",
        send=(post(b"Transfer-Encoding: chunked", body=chunked(b"a" * 20_000, b"b" * 20_000)),),
        seen=(Seen(body=b"a" * 20_000 + b"b" * 20_000),),
    ),
    over(
        "tls-download",
        "A large answer",
        expect=(Answer(200, b"y" * 500_000),),
        app=(answered(body=b"y" * 500_000),),
    ),
    over(
        "tls-pipeline",
        "Two requests in one record",
        send=(ask() + ask(),),
        expect=(Answer(200, b"ok"), Answer(200, b"ok")),
        closed=False,
    ),
    over(
        "tls-upgrade",
        "An upgrade passes, and what comes after it",
        send=(UP, Pause(0.2), b"ping"),
        expect=(),
        app=(SWITCHED, b"hello"),
        raw=rb"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\nhello",
    ),
    over(
        "tls-probe",
        "A probe is answered",
        send=(ask(PROBE_UA, b"K-Network-Probe: queue"),),
        expect=(Answer(200, b"queue"),),
        reached=0,
    ),
    over(
        "tls-bad-request",
        "What is no request is a 400",
        send=(b"GET  / HTTP/1.1\r\n\r\n",),
        expect=(Answer(400, b"400 Bad Request"),),
        closed=True,
        reached=0,
    ),
    over(
        "tls-timeout",
        "A timeout keeps the connection",
        send=(ask(), Pause(1.2), ask(line=b"GET /again HTTP/1.1")),
        expect=(Answer(504, b"request timeout"), Answer(200, b"ok")),
        app=(Pause(3.0),),
        then=(OK,),
        settings={**OVER_TLS, "REVISION_TIMEOUT_SECONDS": "1"},
    ),
)

RENEWED: tuple[Case, ...] = tuple(
    over(
        name,
        about,
        renew=renew,
        settings={**OVER_TLS, "EMU_CERT_RELOAD_SECONDS": "0.2"},
        closed=False,
    )
    for name, about, renew in (
        ("tls-renewed", "A new certificate is used for new connections, and old ones go on", Renew.PAIR),
        ("tls-renewed-badly", "One whose key is another's is not", Renew.CERT_ALONE),
    )
)

CASES = (*AGREED, *REFUSED, *BARE, *OVER, *RENEWED)
