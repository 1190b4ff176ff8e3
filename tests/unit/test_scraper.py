"""Queue-proxies are asked, and what those of a sample say stands for all. The pods are this test's servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from emu.policy.autoscaling.scraping import PodStat
from emu.policy.stats import Stat
from emu.serving import scraper
from emu.serving.scraper import Ready, Scraper, scrape


@pytest.fixture
def queue_proxy() -> Iterator[int]:
    """The port of one that serves 3 requests, 1 of them through the activator, and 5 in a second; ended with the
    test.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    body = Stat("pod", 3.0, 1.0, 5.0, 2.0, 9.0).encoded()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(head + body)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_queue_proxy_says_what_it_serves(queue_proxy: int) -> None:
    """Requests under way and per second, and those of them that came through the activator."""
    assert scrape("127.0.0.1", queue_proxy) == PodStat(3.0, 1.0, 5.0, 2.0)


def test_who_does_not_answer_says_nothing() -> None:
    """A pod that is just gone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert scrape("127.0.0.1", taken.getsockname()[1]) is None


def asking(monkeypatch: pytest.MonkeyPatch, dead: set[str]) -> tuple[Scraper, list[str]]:
    """A scraper of pods that have 2 requests each, and whom it has asked; those in `dead` do not answer."""
    asked: list[str] = []

    def answer(address: str, _: int) -> PodStat | None:
        asked.append(address)
        return None if address in dead else PodStat(2.0)

    monkeypatch.setattr(scraper, "scrape", answer)
    return Scraper(60.0), asked


PODS = tuple(Ready(f"10.0.0.{number}", 0.0) for number in range(10))


def test_some_speak_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven of ten are asked; their mean counts ten times."""
    one, asked = asking(monkeypatch, set())
    assert one.ask(PODS) == PodStat(20.0)
    assert len(asked) == len(set(asked)) == 7


def test_another_is_asked_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there are others; then there is no sample, and nothing is recorded."""
    one, asked = asking(monkeypatch, {"10.0.0.1", "10.0.0.2", "10.0.0.3"})
    assert one.ask(PODS) == PodStat(20.0)
    assert one.ask(PODS[:4]) is None
    assert one.ask(PODS[:1]) == PodStat(2.0)
    assert len(asked) >= 7


def test_pods_are_asked_each_second_until_it_ends(queue_proxy: int) -> None:
    """What is found comes with its time; without pods nobody is asked."""
    one = Scraper(60.0, queue_proxy)
    one.pods = (Ready("127.0.0.1", 0.0),)
    one.begin()
    found: list[tuple[float, PodStat]] = []
    waited = threading.Event()
    for _ in range(1200):
        found += one.found()
        if found or waited.wait(0.1):
            break
    one.end()
    assert found[0][1] == PodStat(3.0, 1.0, 5.0, 2.0)
