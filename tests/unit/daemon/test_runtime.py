"""The log that a container writes: JSON lines that never stop the process."""

import json
import os

from emu.daemon.loop import Log


def lines(fd: int) -> list[dict[str, object]]:
    """What was written to a pipe so far."""
    return [json.loads(line) for line in os.read(fd, 1 << 20).decode().splitlines()]


def test_an_event_is_one_json_line_with_who_and_when() -> None:
    """And its facts."""
    read, write = os.pipe()
    Log("app", write).event("listening", port=8080)
    (line,) = lines(read)
    assert (line["who"], line["event"], line["port"]) == ("app", "listening", 8080)
    assert isinstance(line["t"], float)


def test_what_happens_often_is_logged_seldom_with_its_number() -> None:
    """Ten in a row make one line; the next one that is logged says how many were not."""
    read, write = os.pipe()
    log = Log("queue-proxy", write)
    for _ in range(10):
        log.seldom("refused", every_s=1000)
    log.seldom("refused", every_s=0)
    assert [line.get("more") for line in lines(read)] == [None, 9]


def test_a_full_pipe_loses_lines_and_says_so() -> None:
    """Rather than stop the process."""
    read, write = os.pipe()
    log = Log("app", write)
    for _ in range(2000):
        log.event("noise", text="x" * 100)
    written = lines(read)
    assert 0 < len(written) < 2000
    log.event("last")
    (last,) = lines(read)
    assert last["lost"] == 2000 - len(written)


def test_a_reader_that_is_gone_is_no_error() -> None:
    """Nobody listens; nothing happens."""
    read, write = os.pipe()
    os.close(read)
    Log("app", write).event("alone")
