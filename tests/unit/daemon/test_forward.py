"""What a reverse proxy changes in the heads that pass through it."""

from emu.daemon.http import http1
from emu.daemon.http.forward import answer, app_head, route


def request(*headers: tuple[bytes, bytes], target: bytes = b"/", minor: int = 1) -> http1.Head:
    """A GET with these headers and a Host."""
    lines = [b"%b: %b\r\n" % pair for pair in ((b"Host", b"a"), *headers)]
    return http1.parse_head(b"GET %b HTTP/1.%d\r\n%b\r\n" % (target, minor, b"".join(lines)))


def to_app(*headers: tuple[bytes, bytes], target: bytes = b"/") -> list[bytes]:
    """The lines of the head that the app gets, from a client at 10.0.0.9."""
    head = request(*headers, target=target)
    return app_head(route(head, "10.0.0.9"), head, b"127.0.0.1:8080").removesuffix(b"\r\n\r\n").split(b"\r\n")


def test_x_forwarded_for_gains_the_peer() -> None:
    """At the end of what came, all in one header."""
    assert b"X-Forwarded-For: 10.0.0.9" in to_app()
    came = ((b"X-Forwarded-For", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2"))
    assert b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9" in to_app(*came)


def test_forwarded_is_made_of_what_came_if_it_is_absent() -> None:
    """Before the peer is added; IPv6 in brackets and quotes (forwarded_shim.go)."""
    lines = to_app(
        (b"X-Forwarded-For", b"1.1.1.1, ::1"), (b"X-Forwarded-Host", b"h"), (b"X-Forwarded-Proto", b"https")
    )
    assert b'Forwarded: for=1.1.1.1;host=h;proto=https, for="[::1]"' in lines
    assert not [line for line in to_app() if line.startswith(b"Forwarded")]
    kept = to_app((b"X-Forwarded-For", b"1.1.1.1"), (b"Forwarded", b"for=x"))
    assert [line for line in kept if line.startswith(b"Forwarded")] == [b"Forwarded: for=x"]


def test_the_original_host_comes_back() -> None:
    """K-Original-Host, set by the activator, becomes Host and goes."""
    lines = to_app((b"K-Original-Host", b"original"))
    assert lines[1] == b"Host: original"
    assert not [line for line in lines if line.startswith(b"K-")]


def test_an_absolute_target_becomes_a_path_and_a_host() -> None:
    """As net/http does."""
    assert to_app(target=b"http://other:81/x?y")[:2] == [b"GET /x?y HTTP/1.1", b"Host: other:81"]
    assert to_app(target=b"http://other?y")[0] == b"GET /?y HTTP/1.1"


def test_connection_cannot_name_away_what_frames_the_body() -> None:
    """`Connection: content-length` would make the app read a body as the next request."""
    lines = to_app((b"Connection", b"content-length, x-mine"), (b"Content-Length", b"3"), (b"X-Mine", b"1"))
    assert b"Content-Length: 3" in lines
    assert b"X-Mine: 1" not in lines


def test_trailers_may_be_asked_for() -> None:
    """Of TE only this passes."""
    assert b"Te: trailers" in to_app((b"TE", b"gzip, trailers"))
    assert not [line for line in to_app((b"TE", b"gzip")) if line.lower().startswith(b"te:")]


def test_a_probe_is_known_by_its_user_agent() -> None:
    """K-Network-Probe alone is noted, and no health check."""
    for agent in (b"kube-probe/1.30", b"Knative-Activator-Probe", b"Knative-Autoscaling-Probe"):
        assert route(request((b"User-Agent", agent)), "").health_check
    way = route(request((b"K-Network-Probe", b"queue"), (b"User-Agent", b"curl")), "")
    assert (way.health_check, way.network_probe) == (False, b"queue")


def test_an_answer_gains_a_date_unless_it_has_one() -> None:
    """The app's own stays."""
    assert answer(request(), 200, [(b"Content-Length", b"0")]).render(b"", True).count(b"\r\nDate: ") == 1
    dated = answer(request(), 200, [(b"date", b"then"), (b"Content-Length", b"0")]).render(b"", True)
    assert dated.lower().count(b"\r\ndate: ") == 1


def test_http_1_0_learns_whether_its_connection_is_kept() -> None:
    """Kept if it asked and the length is known, else closed."""
    asked = request((b"Connection", b"keep-alive"), minor=0)
    known = answer(asked, 200, [(b"Content-Length", b"2")])
    assert (known.last, b"\r\nConnection: keep-alive\r\n" in known.render(b"", False)) == (False, True)
    unknown = answer(asked, 200, [])
    assert (unknown.last, unknown.chunked) == (True, False)


def test_a_trailer_with_a_blank_in_its_name_is_not_written() -> None:
    """Go reads it, and its server leaves it out."""
    trailers = [(b"X-A ", b"1"), (b"x-b", b"2")]
    assert http1.trailer_lines(trailers, frozenset()) == b"0\r\nX-B: 2\r\n\r\n"
