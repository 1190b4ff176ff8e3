"""Headers on their way through."""

from __future__ import annotations

from emu.conformance.case import Answer, Case, Seen
from emu.conformance.cases.wire import answered, ask

FINE = Answer(200, b"ok")


def _to_app(
    name: str, about: str, *headers: bytes, has: tuple[bytes, ...] = (), lacks: tuple[bytes, ...] = ()
) -> Case:
    return Case(name, about, (ask(*headers),), (FINE,), seen=(Seen(lines=has, lacks=lacks),))


NAMES_AND_ORDER: tuple[Case, ...] = (
    Case(
        "canonical",
        "Header names reach the app as Go writes them",
        (ask(b"x-lower: 1", b"X-UPPER-CASE: 2"),),
        (FINE,),
        seen=(Seen(lines=(b"X-Lower: 1", b"X-Upper-Case: 2"), sorted=True),),
    ),
    Case(
        "sorted",
        "And sorted",
        (ask(b"B: 1", b"A: 2", b"C: 3"),),
        (FINE,),
        seen=(Seen(sorted=True, lines=(b"A: 2",)),),
    ),
    Case(
        "answer-canonical",
        "So do those of the answer reach the client",
        (ask(),),
        (),
        app=(answered(b"x-b: 1", b"x-a: 2"),),
        raw=rb"HTTP/1.1 200 OK\r\n.*X-A: 2\r\nX-B: 1\r\n",
    ),
    Case(
        "answer-order",
        "The answer's own headers come first, what Go adds after them",
        (ask(),),
        (Answer(200, order=("content-length", "z-mine", "date", "content-type")),),
        app=(answered(b"z-mine: 1"),),
    ),
    Case(
        "repeated",
        "Repeated headers keep their order",
        (ask(b"X-A: 2", b"X-A: 1"),),
        (FINE,),
        seen=(Seen(lines=(b"X-A: 2", b"X-A: 1")),),
    ),
)

TO_THE_APP = (
    _to_app("no-agent", "No User-Agent is made up", lacks=(b"user-agent", b"accept-encoding")),
    _to_app("agent", "User-Agent passes", b"user-agent: curl/8", has=(b"User-Agent: curl/8",)),
    _to_app(
        "hop-by-hop",
        "Hop-by-hop headers go no further",
        b"Keep-Alive: 5",
        b"Proxy-Connection: x",
        b"Proxy-Authorization: y",
        b"Te: gzip",
        b"Proxy-Authenticate: z",
        lacks=(
            b"keep-alive",
            b"proxy-connection",
            b"proxy-authorization",
            b"te",
            b"proxy-authenticate",
            b"connection",
        ),
    ),
    _to_app(
        "named",
        "Nor do those that Connection names",
        b"Connection: X-Mine, close",
        b"X-Mine: 1",
        lacks=(b"x-mine", b"connection"),
    ),
    _to_app("te-trailers", "Of TE only trailers pass", b"TE: gzip, trailers", has=(b"Te: trailers",)),
    _to_app(
        "xff",
        "X-Forwarded-For gains the peer",
        b"X-Forwarded-For: 1.1.1.1",
        has=(b"X-Forwarded-For: 1.1.1.1, 127.0.0.1",),
    ),
    _to_app(
        "xff-several",
        "In one header",
        b"X-Forwarded-For: 1.1.1.1",
        b"x-forwarded-for: 2.2.2.2",
        has=(b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1",),
    ),
    _to_app("xff-none", "Even if it is the first", has=(b"X-Forwarded-For: 127.0.0.1",), lacks=(b"forwarded",)),
    _to_app(
        "forwarded",
        "Forwarded is made of X-Forwarded-*",
        b"X-Forwarded-For: 1.1.1.1, ::1",
        b"X-Forwarded-Host: h",
        b"X-Forwarded-Proto: https",
        has=(b'Forwarded: for=1.1.1.1;host=h;proto=https, for="[::1]"',),
    ),
    _to_app("forwarded-proto", "Of whatever there is", b"X-Forwarded-Proto: https", has=(b"Forwarded: proto=https",)),
    _to_app(
        "forwarded-own",
        "Unless there is one",
        b"X-Forwarded-For: 1.1.1.1",
        b"Forwarded: for=x",
        has=(b"Forwarded: for=x",),
    ),
    _to_app(
        "original-host",
        "K-Original-Host becomes Host",
        b"K-Original-Host: first.example.com",
        has=(b"Host: first.example.com",),
        lacks=(b"k-original-host",),
    ),
    _to_app(
        "revision",
        "The ingress's revision headers stay behind",
        b"Knative-Serving-Revision: r",
        b"Knative-Serving-Namespace: n",
        lacks=(b"knative-serving-revision", b"knative-serving-namespace"),
    ),
    _to_app(
        "proxy-request",
        "K-Proxy-Request passes",
        b"K-Proxy-Request: activator",
        has=(b"K-Proxy-Request: activator",),
    ),
    _to_app("tag", "The route's tag passes", b"Knative-Serving-Tag: blue", has=(b"Knative-Serving-Tag: blue",)),
    _to_app("expect-kept", "Cookies pass", b"Cookie: a=b; c=d", has=(b"Cookie: a=b; c=d",)),
)

ANSWERS: tuple[Case, ...] = (
    Case(
        "answer-hop-by-hop",
        "Hop-by-hop headers of an answer stay behind",
        (ask(),),
        (Answer(200, lacks=("keep-alive", "proxy-authenticate", "x-mine", "connection")),),
        app=(answered(b"Keep-Alive: 5", b"Proxy-Authenticate: z", b"Connection: X-Mine", b"X-Mine: 1"),),
    ),
    Case(
        "cookies",
        "Each Set-Cookie stays one",
        (ask(),),
        (),
        app=(answered(b"Set-Cookie: a=1", b"Set-Cookie: b=2"),),
        raw=rb".*Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
    ),
)

CASES = (*NAMES_AND_ORDER, *TO_THE_APP, *ANSWERS)
