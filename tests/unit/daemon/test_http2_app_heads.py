"""What an app gets for a request's head in HTTP/2, as seen on Knative's queue-proxy and activator.

Knative Serving 1.23 at commit 98e5ef90, built with Go 1.27.3.
"""

from __future__ import annotations

import pytest

from emu.daemon.http import forward
from emu.daemon.http import h2_frames as frames
from emu.daemon.http.h2_frames import MalformedError
from emu.daemon.queue_proxy.h2_known import app_headers, made_of, read_head

ALWAYS = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")]
PASSED = [
    # Go's transport writes each part of a Cookie on its own, and nothing for an empty one.
    ([(b"cookie", b"a=b"), (b"cookie", b"c=d")], [(b"cookie", b"a=b"), (b"cookie", b"c=d")]),
    ([(b"cookie", b"a=b;  c=d;")], [(b"cookie", b"a=b"), (b"cookie", b"c=d")]),
    ([(b"cookie", b"")], []),
    ([(b"cookie", b""), (b"cookie", b"c=d")], [(b"cookie", b""), (b"cookie", b"c=d")]),
    # Its server answers what expects 100 itself, and passes on any other expectation.
    ([(b"expect", b"100-Continue")], []),
    ([(b"expect", b"x, 100-continue")], []),
    ([(b"expect", b"x")], [(b"expect", b"x")]),
    # Of announced trailers it forgets those that frame the message.
    ([(b"trailer", b"content-length")], []),
    ([(b"trailer", b"x-t, content-length, y")], [(b"trailer", b"X-T,Y")]),
]


def head_of(*headers: tuple[bytes, bytes]) -> tuple[forward.Route, list[tuple[bytes, bytes]]]:
    """Where a request with these headers goes, and what the app gets besides what each app gets."""
    pairs = [*ALWAYS, *headers]
    head = read_head(pairs, frames.check(pairs))
    way = forward.route(head, "127.0.0.1")
    got = app_headers(way, head, bodiless=True, address=b"127.0.0.1:8080")
    return way, [pair for pair in got if pair not in ALWAYS and pair[0] != b"x-forwarded-for"]


@pytest.mark.parametrize(("came", "passed"), PASSED)
def test_an_app_gets_these(came: list[tuple[bytes, bytes]], passed: list[tuple[bytes, bytes]]) -> None:
    """Each as the real one passed it on."""
    assert head_of(*came)[1] == passed


@pytest.mark.parametrize("name", [b"", b"a b"])
def test_a_trailer_that_is_no_name_is_refused(name: bytes) -> None:
    """An empty one too, which HTTP/1 passes over."""
    assert head_of((b"trailer", name))[0].trailer_fault == name


def test_connect_is_a_request_that_nobody_takes() -> None:
    """With an authority and nothing else it is well-formed, and answered 502; nothing is learnt of it."""
    pseudo = {b":method": b"CONNECT", b":authority": b"a:1"}
    head = read_head([*pseudo.items()], pseudo)
    assert made_of(head, forward.route(head, ""), True, None, b"") is None
    for more in ({b":path": b"/"}, {b":scheme": b"http"}, {b":authority": b""}):
        with pytest.raises(MalformedError):
            read_head([], pseudo | more)


def test_a_host_that_is_empty_is_the_apps_address() -> None:
    """Of an :authority without one the Host stands for it; where that is none either, the app's address does."""
    for host, wanted in ((b"b.example", b"b.example"), (b"", b"127.0.0.1:8080")):
        pairs = [*ALWAYS[:3], (b":authority", b""), (b"host", host)]
        head = read_head(pairs, frames.check(pairs))
        way = forward.route(head, "127.0.0.1")
        made = made_of(head, way, True, None, b"127.0.0.1:8080")
        assert (b":authority", wanted) in app_headers(way, head, bodiless=True, address=b"127.0.0.1:8080")
        assert made is not None
        assert made.block.startswith(frames.field(b":authority", wanted))


@pytest.mark.parametrize(
    ("said", "length"), [([b"3"], 3), ([b"3", b"3"], 3), ([b"+3"], 0), ([b"9223372036854775808"], 0), ([], None)]
)
def test_a_length_that_is_no_number_is_0(said: list[bytes], length: int | None) -> None:
    """Go's server reads it so, and data after it is then too much."""
    pairs = [*ALWAYS, *((b"content-length", value) for value in said)]
    assert read_head(pairs, frames.check(pairs)).content_length == length
