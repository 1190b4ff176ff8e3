"""The fields of an exchange: all are set when it is made, and when one is used again it is as new."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from emu.daemon.activator.known import HeldRequests, KnownHeld
from emu.daemon.activator.main import Front as ActivatorFront
from emu.daemon.activator.main import FrontSettings, HeldExchange
from emu.daemon.http import http1
from emu.daemon.http.exchange import Exchange
from emu.daemon.http.server import Server
from emu.daemon.http.upstream import AppConnections
from emu.daemon.loop import Log
from emu.daemon.queue_proxy.admission import Admission
from emu.daemon.queue_proxy.h1_proxy import Http1Exchange
from emu.daemon.queue_proxy.h2_proxy import ProxiedStream
from emu.daemon.queue_proxy.known_exchange import KnownExchange, KnownRequests
from emu.daemon.queue_proxy.probe import Prober
from emu.daemon.queue_proxy.proxy import Proxy
from emu.messages.endpoints import Endpoint, Endpoints
from emu.policy.breaker import Breaker
from emu.policy.draining import Draining
from emu.policy.timeouts import RequestTimeouts
from emu.record.events import EventLog, PodLoad, read_events
from tests.unit.daemon.daemon_wire import DEADLINE_S

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 03:00:00 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
)
OFTEN = 6
"""More than the two times after which a message is known."""
BEGUN = {"begun_at", "way", "_may_repeat"}
"""Fields that `begin` and `send` set for each request, before anything reads them."""


def fields(exchange: Exchange) -> dict[str, Any]:
    """All slots that have a value."""
    names = {name for each in type(exchange).__mro__ for name in each.__dict__.get("__slots__", ())}
    return {name: getattr(exchange, name) for name in names if hasattr(exchange, name)}


def slots(exchange: Exchange) -> set[str]:
    """All slots."""
    return {name for each in type(exchange).__mro__ for name in each.__dict__.get("__slots__", ())}


def made_proxy(limit: int, port: int) -> Proxy:
    """What requests to an app on this port share; nobody looks on."""
    admission = Admission(Breaker(limit), RequestTimeouts(300.0, 0.0, 0.0), Prober(""), Log("t"), Draining(0.0))
    admission.settle()
    return Proxy(admission, AppConnections("127.0.0.1", port, 10))


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An app: the same answer to each."""
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def asked(port: int, times: int) -> None:
    """A client that asks so often, one request after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nok")
    writer.close()


async def played(limit: int, clients: int) -> KnownRequests:
    """Requests that become known, and then come from so many clients at once under this containerConcurrency."""
    app = await asyncio.start_server(served, "127.0.0.1", 0)
    proxy = made_proxy(limit, app.sockets[0].getsockname()[1])
    requests = KnownRequests(proxy)
    proxy.learn = requests.learn
    server = Server(partial(Http1Exchange, proxy), known=requests.known)
    port = await server.listen("127.0.0.1", 0, 10)
    await asked(port, OFTEN)
    await asyncio.gather(*(asked(port, OFTEN) for _ in range(clients)))
    await server.stop(0.0)
    proxy.app.close()
    app.close()
    return requests


@pytest.mark.parametrize(("limit", "clients"), [(0, 1), (1, 5)], ids=["at once", "after a wait in the breaker"])
def test_a_known_exchange_is_as_new_once_it_is_reset(limit: int, clients: int) -> None:
    """Whatever a request whose answer came at once has changed, `reset` sets, or the next request's begin."""
    requests = asyncio.run(asyncio.wait_for(played(limit, clients), DEADLINE_S))
    known: Any = requests.known.get(GET)
    conn: Any = object()
    assert requests.spare
    for exchange in requests.spare:
        exchange.reset(conn, known)
        new = KnownExchange(requests.proxy, conn, http1.Head(b"GET", b"/", 1, []))
        new.reset(conn, known)
        now, fresh = fields(exchange), fields(new)
        assert {name for name in slots(new) if now.get(name, ...) != fresh.get(name, ...)} <= BEGUN


async def played_through_an_activator(folder: Path, limit: int, clients: int) -> HeldRequests:
    """The same, with an activator in the middle."""
    app = await asyncio.start_server(ready_and_served, "127.0.0.1", 0)
    log = Log("t", fd=os.open(os.devnull, os.O_WRONLY))
    front = ActivatorFront(FrontSettings(concurrency=limit), log, log, EventLog(folder / "events.jsonl"))
    requests = HeldRequests(front)
    front.learn = requests.learn
    server = Server(partial(HeldExchange, front), full_duplex=False, known=requests.known)
    port = await server.listen("127.0.0.1", 0, 10)
    front.update(Endpoints((Endpoint("127.0.0.1", app.sockets[0].getsockname()[1], pod="a"),)))
    await asked(port, OFTEN)
    await asyncio.gather(*(asked(port, OFTEN) for _ in range(clients)))
    await server.stop(0.0)
    front.update(Endpoints())
    app.close()
    return requests


async def ready_and_served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A pod: the activator's probe and its requests."""
    first = await reader.readuntil(b"\r\n\r\n")
    if b"K-Network-Probe" in first:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nqueue")
        writer.close()
    else:
        writer.write(ANSWER)
        await served(reader, writer)


@pytest.mark.parametrize(("limit", "clients"), [(0, 1), (1, 5)], ids=["at once", "after a wait for room"])
def test_a_known_exchange_of_the_activator_is_as_new(tmp_path: Path, limit: int, clients: int) -> None:
    """The same of the activator's."""
    requests = asyncio.run(asyncio.wait_for(played_through_an_activator(tmp_path, limit, clients), DEADLINE_S))
    known: Any = requests.known.get(GET)
    conn: Any = object()
    assert requests.spare
    for exchange in requests.spare:
        exchange.reset(conn, known)
        new = KnownHeld(requests, conn, http1.Head(b"GET", b"/", 1, []))
        new.reset(conn, known)
        now, fresh = fields(exchange), fields(new)
        assert {name for name in slots(new) if now.get(name, ...) != fresh.get(name, ...)} <= BEGUN


def test_the_most_requests_are_put_to_the_pod_that_had_them(tmp_path: Path) -> None:
    """Also where a new pod has its address before the next report."""

    async def play() -> None:
        log, events = Log("t", fd=os.open(os.devnull, os.O_WRONLY)), EventLog(tmp_path / "events.jsonl")
        front = ActivatorFront(FrontSettings(), log, log, events)
        for name in ("a", "b"):
            front.update(Endpoints((Endpoint("127.0.0.1", 1, pod=name),)))
            next(iter(front._pods.values())).healthy = True
            front._open(0.0)
            for _ in range(3 if name == "a" else 1):
                front.throttler.enter(cast(Any, object()), 0.0)
            front.update(Endpoints())
        events.close()

    asyncio.run(asyncio.wait_for(play(), DEADLINE_S))
    loads = [one for one in read_events(tmp_path / "events.jsonl") if isinstance(one, PodLoad)]
    assert [(one.pod, one.most) for one in loads] == [("a", 3), ("b", 1)]


def test_every_field_is_set_when_an_exchange_is_made(tmp_path: Path) -> None:
    """None is found missing by the first request that needs it."""
    conn: Any = object()
    head = http1.Head(b"GET", b"/", 1, [])
    proxy = made_proxy(0, 1)
    log, events = Log("t"), EventLog(tmp_path / "events.jsonl")
    held = HeldExchange(ActivatorFront(FrontSettings(), log, log, events), conn, head)
    made = [Http1Exchange(proxy, conn, head), ProxiedStream(proxy, conn, head), held]
    for exchange in made:
        assert slots(exchange) - fields(exchange).keys() == set(), type(exchange).__name__
