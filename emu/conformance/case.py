"""What a wire case is: bytes in, what must come out, what the app must have seen. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Do(Enum):
    """What the app does besides writing bytes."""

    READ_BODY = "read the request's body to its end"
    CLOSE = "close"
    RESET = "close with a RST"
    HOLD = "keep the connection, and say nothing more"


@dataclass(frozen=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


class End(Enum):
    """What the client does besides writing bytes."""

    SHUT = "close its direction of the connection"
    CLOSE = "close"


class Renew(Enum):
    """What happens to the mounted certificate once a connection has used it."""

    PAIR = "another pair is mounted"
    CERT_ALONE = "another certificate is mounted, to which the key does not belong"


@dataclass(frozen=True)
class Hello:
    """What a client over TLS offers."""

    protocols: tuple[str, ...] = ("http/1.1",)
    """By ALPN, in its order."""
    least: str = "1.2"
    most: str = ""
    suites: str = ""
    """Of TLS 1.2, by OpenSSL's names."""
    curve: str = ""
    """The only one, by OpenSSL's name."""
    server_name: str | None = "app.example.com"
    cuts: tuple[int | Pause, ...] = ()
    """Its first message is sent up to each of these bytes, with pauses between."""
    records: int = 0
    """Its first message comes in so many records."""


@dataclass(frozen=True)
class Agreed:
    """What both sides of a handshake chose; in a case None is anything."""

    version: str | None = None
    protocol: str | None = None
    suite: str | None = None


@dataclass(frozen=True)
class Answer:
    """What an answer must be. A header's value may be a compiled expression; None for anything is anything."""

    status: int | None = None
    body: bytes | re.Pattern[bytes] | None = None
    headers: Mapping[str, str | re.Pattern[str]] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    line: bytes | None = None
    """The status line, whole."""
    trailers: dict[str, str] | None = None
    order: tuple[str, ...] = ()
    """These headers come in this order."""
    cut: bool = False
    """The connection ends before the body does."""
    to: str = "GET"
    """The method that it answers: one to HEAD has no body."""


@dataclass(frozen=True)
class Seen:
    """What the app must have read of a request."""

    line: bytes | None = None
    lines: tuple[bytes, ...] = ()
    """Header lines that it must hold, as they are written."""
    lacks: tuple[bytes, ...] = ()
    """Header names, in lower case, that it must not hold."""
    not_lines: tuple[bytes, ...] = ()
    """Header lines that it must not hold, while it may hold their names."""
    body: bytes | None = None
    no_trailers: bool = False
    """Nothing came between the last chunk and the end."""
    sorted: bool = False
    """The headers after those that Go writes first are in order."""


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
HOLD_PATH = b"/hold"
"""A request to this path is never answered by the app."""


class Known(Enum):
    """How it is known what a case expects."""

    SEEN = "seen on the real one"
    READ = "read in its sources"
    CHOSEN = "chosen: the real one does something else"


SEEN_ON = "Knative Serving 1.23, commit 98e5ef90, built with Go 1.27.3"
"""The one that cases were played against."""
APP_PORT = "APP_PORT"
"""Stands for the app's port in a setting."""
CERTS = "CERTS"
"""Stands in a setting for a folder with a certificate and its key. With it a case needs the TLS port."""
OVER_TLS = {"EMU_CERT_DIR": CERTS}
"""Settings of what is played there; a real queue-proxy has the folder at /var/lib/knative/certs."""


@dataclass(frozen=True)
class Case:
    """One exchange, or several, on one connection of a client's."""

    name: str
    about: str
    send: tuple[bytes | Pause | End, ...]
    expect: tuple[Answer, ...] = ()
    app: tuple[bytes | Pause | Do, ...] = (Do.READ_BODY, OK)
    """What the app does with each request after it has read its head."""
    then: tuple[bytes | Pause | Do, ...] | None = None
    """What it does with the second and later ones, if that is something else."""
    closed: bool | None = None
    """Whether the connection is closed after the answers; None is not looked at."""
    raw: bytes | None = None
    """An expression for all that comes, instead of answers: for what is not HTTP/1."""
    seen: tuple[Seen, ...] = ()
    reached: int | None = None
    """How many requests reach the app."""
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of queue-proxy that the case needs."""
    crowd: int = 0
    """So many other clients hold a request to /hold each, before the case begins."""
    within_s: tuple[float, float] | None = None
    """When the last answer ends, since the case's begin: no sooner than, no later than."""
    app_http1: bool = False
    """The app takes for a request what begins a connection in HTTP/2; else it waits for more and says nothing."""
    fresh: bool = False
    """The app ends all its connections before."""
    app_down: bool = False
    """Nothing listens at the app's port."""
    tls: Hello | None = None
    """The client speaks TLS, to the port for that; what it sends and expects goes over it."""
    agreed: Agreed = Agreed()
    """What the handshake has to end in; of a protocol None is none."""
    alert: str | None = None
    """The handshake fails, with this alert (empty: with none)."""
    notified: bool | None = None
    """Whether close_notify comes before the connection ends."""
    renew: Renew | None = None
    """The request is sent, the certificate replaced, and the request sent again on the same connection."""
    why_ours: str = ""
    """Where the real one is known to differ: what it does."""
    read_only: str = ""
    """Why the case cannot be played against a real one: what it expects was read in the sources."""

    @property
    def over_tls(self) -> bool:
        """Whether it is played at the port for TLS, in TLS or not."""
        return CERTS in self.settings.values()

    @property
    def known(self) -> Known:
        """What the expected answer rests on: a run of the real one, its source, or a choice of emu's."""
        return Known.CHOSEN if self.why_ours else Known.READ if self.read_only else Known.SEEN
