"""The app does what requests ask of it, and the kernel counts it as what it is."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from emu.daemon.app.kernel_memory import KernelMemory
from emu.daemon.app.main import main
from emu.daemon.app.memory import reserve, touch
from emu.daemon.app.work import RefusedWorkError, check, read_file
from emu.messages.work import Work
from emu.policy.app_metrics import IN_FLIGHT
from emu.policy.promql.text import samples_of
from tests.unit.daemon.daemon_wire import ROOT, Daemon, FakeApp, Head, app_with, in_time, wait_for

MIB = 1 << 20


def ask(app: Daemon, work: Work, method: str = "GET", body: bytes = b"") -> tuple[Head, bytes]:
    """One request on a connection of its own."""
    wire = app.connect()
    head = f"{method} /?{work.to_query()} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    answer, answered = wire.ask(head.encode() + body)
    wire.close()
    return answer, answered


def health(app: Daemon) -> tuple[int, bytes]:
    """What a probe would get."""
    answer, body = app.connect().ask(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    return answer.status, body


def test_healthz_is_200(app: Daemon) -> None:
    """Unless a request made it unhealthy."""
    assert health(app) == (200, b"ok\n")


def test_a_request_makes_the_app_unhealthy(app: Daemon) -> None:
    """For ever or for so long; only /healthz shows it, other requests are answered as before."""
    assert ask(app, Work(unhealthy_for=None))[0].status == 200
    assert health(app) == (503, b"unhealthy\n")
    assert ask(app, Work())[0].status == 200
    ask(app, Work(unhealthy_for=0.05))
    wait_for(lambda: health(app)[0] == 200, "it to be healthy again")


def test_prometheus_finds_the_usual_metrics(app: Daemon) -> None:
    """Requests by method and status, those under way, and how long they took; a probe and a scrape are none."""
    ask(app, Work())
    ask(app, Work(status=503), "POST")
    health(app)
    for _ in range(2):
        answer, body = app.connect().ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    found = {(one.name, one.labels): one.value for one in samples_of(body.decode())}
    assert answer.status == 200
    assert found["http_requests_total", (("code", "200"), ("method", "GET"))] == 1
    assert found["http_requests_total", (("code", "503"), ("method", "POST"))] == 1
    assert found["http_requests_in_flight", ()] == 0
    assert found["http_request_duration_seconds_count", ()] == 2
    assert found["http_request_duration_seconds_bucket", (("le", "+Inf"),)] == 2


def test_held_memory_is_private_and_anonymous_and_goes_after_its_time(app: Daemon) -> None:
    """RssAnon grows by what was asked, RssShmem by nothing; hold_for 0 gives it back with the answer."""
    ask(app, Work(hold=MIB))
    before = app.memory("RssAnon")
    answer, _ = ask(app, Work(hold=64 * MIB, hold_for=None))
    assert answer.status == 200
    assert 60 * MIB < app.memory("RssAnon") - before < 68 * MIB
    ask(app, Work(hold=64 * MIB, hold_for=0.2))
    assert app.memory("RssShmem") == 0
    wait_for(lambda: app.memory("RssAnon") - before < 68 * MIB, "the end of hold_for")
    ask(app, Work(hold=64 * MIB))
    wait_for(lambda: app.memory("RssAnon") - before < 68 * MIB, "the answer's end")


def test_the_kernel_holds_what_a_request_asks_for(app: Daemon) -> None:
    """Threads, page tables, full sockets and full pipes are there; with hold_for 0 all of them go with the answer."""
    ask(app, Work(dentries=10))  # which makes the thread that does the work
    before = _of_the_kernel(app)
    work = Work(dentries=1000, threads=20, page_tables=MIB, sockets=4, pipes=30, hold_for=None)
    assert ask(app, work)[0].status == 200
    threads, tables, sockets, pipes = (now - was for now, was in zip(_of_the_kernel(app), before, strict=True))
    assert pipes == 60
    assert 20 <= threads <= 22  # with one more that does work for each request
    assert tables >= MIB
    assert sockets >= 7  # one of before may have gone
    ask(app, replace(work, hold_for=0.0))
    wait_for(lambda: _of_the_kernel(app)[3] == before[3] + 60, "the answer's end")
    wait_for(lambda: _of_the_kernel(app)[0] <= before[0] + 22, "the end of its threads")


def _of_the_kernel(app: Daemon) -> tuple[int, int, int, int]:
    """Its threads, bytes of page tables, sockets, and ends of pipes."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{app.pid}/status").read_text().splitlines())
    kinds = [_kind(path) for path in Path(f"/proc/{app.pid}/fd").iterdir()]
    tables = int(status["VmPTE"].split()[0]) * 1024
    return int(status["Threads"]), tables, kinds.count("socket"), kinds.count("pipe")


def _kind(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except FileNotFoundError:
        return "closed meanwhile"


def test_what_the_kernel_refuses_is_given_back(tmp_path: Path) -> None:
    """Of a thousand pipes with too few descriptors none is left, and the answer would say why."""
    gc.collect()  # what tests before this one left open is closed now, and not while descriptors are counted
    before = _descriptors()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = KernelMemory(Work(pipes=1000))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 100, limits[1]))
    try:
        with pytest.MonkeyPatch.context() as patched, pytest.raises(OSError, match="Too many open files"):
            patched.setattr("emu.daemon.app.kernel_memory._raise_the_limit_of_descriptors", lambda: None)
            held.take(tmp_path)
        held.close()
        assert _descriptors() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_held_pages_differ_and_none_is_zero(app: Daemon) -> None:
    """The kernel cannot merge or compress them away: two pages of what is held, read back."""
    ask(app, Work(hold=4 * MIB, hold_for=None))
    size = 4 * MIB
    with Path(f"/proc/{app.pid}/maps").open() as maps, Path(f"/proc/{app.pid}/mem").open("rb", 0) as memory:
        spans = [line.split()[0].split("-") for line in maps if line.split()[4] == "0" and "rw-p" in line]
        starts = [int(a, 16) for a, b in spans if int(b, 16) - int(a, 16) >= size]
        pages = set()
        for start in starts:
            memory.seek(start)
            data = memory.read(size)
            found = {data[at : at + 4096] for at in range(0, MIB, 4096)}
            if len(found) == MIB // 4096:
                pages |= found
    assert pages
    assert bytes(4096) not in pages


def test_a_child_holds_memory_in_the_apps_place(app: Daemon) -> None:
    """The app's own memory does not grow by it."""
    before = app.memory("RssAnon")
    answer, _ = ask(app, Work(hold=64 * MIB, hold_for=None, child=True))
    assert answer.status == 200
    assert app.memory("RssAnon") - before < 16 * MIB
    assert _resident(_children(app)[0]) >= 64 * MIB


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (40, "SIGRTMIN+6")])
def test_a_child_that_is_killed_makes_a_500_and_the_app_lives(app: Daemon, number: int, name: str) -> None:
    """The answer has the child's fate."""
    wire = app.connect()
    wire.send(f"GET /?{Work(hold=4 * MIB, sleep=600, child=True).to_query()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    child = wait_for(lambda: _children(app), "a child")[0]
    os.kill(child, number)
    answer = wire.read_head()
    assert (answer.status, wire.read_body(answer)) == (500, f"child killed by {name}\n".encode())
    assert ask(app, Work())[0].status == 200


def _children(app: Daemon) -> list[int]:
    found: list[str] = []
    for task in Path(f"/proc/{app.pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended since
            found += (task / "children").read_text().split()
    return [int(pid) for pid in found]


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def test_a_file_is_read_without_growing_by_it(app: Daemon, tmp_path: Path) -> None:
    """The bytes read are reported, and only the page cache holds them."""
    (tmp_path / "weights").write_bytes(b"x" * (32 * MIB + 5))
    ask(app, Work(read_file="weights"))
    before = app.memory("RssAnon")
    for _ in range(3):
        answer, _ = ask(app, Work(read_file="weights"))
        assert answer.get("x-emu-read-bytes") == str(32 * MIB + 5)
        assert float(answer.get("x-emu-work-seconds")) > 0
    assert app.memory("RssAnon") - before < 8 * MIB


def test_a_part_of_a_file_is_read_where_the_last_one_stopped(app: Daemon, tmp_path: Path) -> None:
    """After the file's end from its beginning. A request without a size reads all of it."""
    (tmp_path / "weights").write_bytes(b"x" * (2 * MIB + 5))
    for size in (MIB, MIB, MIB, 5 * MIB):
        assert ask(app, Work(read_file="weights", read_bytes=size))[0].get("x-emu-read-bytes") == str(size)
    assert ask(app, Work(read_file="weights"))[0].get("x-emu-read-bytes") == str(2 * MIB + 5)
    (tmp_path / "empty").touch()
    assert ask(app, Work(read_file="empty", read_bytes=5))[0].get("x-emu-read-bytes") == "0"


def test_a_file_is_read_as_if_it_had_no_end(tmp_path: Path) -> None:
    """From any place on, for any number of bytes: what there is of it is read, each time."""
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert [read_file(tmp_path / "a", size, begin) for size, begin in ((3, 0), (3, 8), (25, 99), (0, 0))] == [
        3,
        3,
        25,
        10,
    ]


def test_what_is_held_is_gone_through(app: Daemon) -> None:
    """What earlier requests left, and its own, round after round; nothing where nothing is held."""
    assert ask(app, Work(touch=5))[0].get("x-emu-touched-bytes") == "0"
    ask(app, Work(hold=2 * MIB, hold_for=None))
    for work in (Work(touch=3 * MIB), Work(touch=MIB, hold=MIB), Work(touch=MIB, hold=MIB, child=True)):
        assert ask(app, work)[0].get("x-emu-touched-bytes") == f"{work.touch}"


def test_each_page_that_is_held_is_touched_in_its_turn() -> None:
    """From any place on, in all that is held; what was closed meanwhile is left out."""
    spaces = [reserve(3 * 4096), reserve(5 * 4096)]
    for begin, size in ((0, 3), (7, 2), (17, 30)):
        assert touch(["no memory", *spaces], size * 4096, begin * 4096) == size * 4096
    spaces[0].close()
    assert touch(spaces, 9 * 4096, 2 * 4096) == 9 * 4096
    assert touch(spaces, 9 * 4096, 0, lambda: False) == 0
    assert touch(spaces[:1], 4096, 0) == 0


def test_memory_may_be_given_back_while_it_is_touched() -> None:
    """Between two looks at it: its rest is left out, and the others' is touched."""
    spaces = [reserve(3 * 4096), reserve(5 * 4096)]

    def wanted() -> bool:
        spaces[0].close()
        return True

    assert touch(spaces, 9 * 4096, 0, wanted) == 9 * 4096


def test_a_file_is_written_to_its_length(app: Daemon, tmp_path: Path) -> None:
    """With bytes that do not repeat from page to page."""
    answer, _ = ask(app, Work(write_file="out", write_bytes=3 * MIB + 7))
    assert answer.get("x-emu-written-bytes") == str(3 * MIB + 7)
    data = (tmp_path / "out").read_bytes()
    assert len(data) == 3 * MIB + 7
    assert data[:4096] != data[4096:8192]


def test_burning_cpu_uses_the_cpu_and_leaves_the_loop_free(app: Daemon) -> None:
    """Another request is answered meanwhile."""

    def play(_: FakeApp, period_s: int) -> None:
        wire = app.connect()
        begun = time.monotonic()
        wire.send(f"GET /?{Work(cpu=period_s).to_query()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert ask(app, Work())[0].status == 200
        assert wire.quiet()
        assert wire.read_head().status == 200
        assert time.monotonic() - begun >= period_s

    in_time(play)


def test_an_answer_has_the_length_and_status_asked_for(app: Daemon) -> None:
    """Streamed from one block, however long."""
    answer, body = ask(app, Work(answer=5 * MIB + 1, status=418))
    assert (answer.status, len(body)) == (418, 5 * MIB + 1)


def test_a_long_answer_to_a_client_that_does_not_read_stays_out_of_memory(app: Daemon) -> None:
    """The app waits for the client."""
    ask(app, Work())
    before = app.memory("VmRSS")
    wire = app.connect()
    wire.send(f"GET /?{Work(answer=200 * MIB).to_query()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    wire.read_head()
    assert ask(app, Work())[0].status == 200
    assert app.memory("VmHWM") - before < 16 * MIB


def test_a_body_is_read_slowly_or_not_at_all(app: Daemon) -> None:
    """Slowly takes bytes/rate at least; ignored, the answer comes before the body."""
    begun = time.monotonic()
    assert ask(app, Work(body="slow", body_rate=200_000), "POST", bytes(100_000))[0].status == 200
    assert time.monotonic() - begun >= 0.25
    wire = app.connect()
    query = Work(body="ignore").to_query()
    wire.send(f"POST /?{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".encode())
    assert wire.read_head().status == 200


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("sleep=7200", "sleep is 7200 s; at most 3600"),
        ("hold=99999999999999", "hold is 1e+14 bytes; at most 6.87195e+10"),
        ("read_file=..%2Fpasswd", "file '../passwd' must be a name within the data directory"),
        ("read_file=%2Fetc%2Fpasswd", "file '/etc/passwd' must be a name within the data directory"),
        ("page_tables=99999999999", "page_tables is 1e+11 bytes; at most 6.71089e+07"),
        ("threads=1000000", "threads is 1e+06 threads; at most 30000"),
        ("status=99", "status is 99; it must be 200 to 599"),
        ("sleep=long", "sleep='long': must be a number"),
        ("child=maybe", "child='maybe': must be true or false"),
        ("nap=1", "unknown work 'nap'; known: "),
    ],
)
def test_work_beyond_its_bounds_says_which_value_is_wrong(query: str, reason: str) -> None:
    """In one line."""
    with pytest.raises((ValueError, RefusedWorkError)) as caught:
        check(Work.from_query(query))
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("query", ["sleep=7200", "sleep=long"])
def test_work_that_is_refused_is_a_400(app: Daemon, query: str) -> None:
    """With the reason as its body."""
    answer, body = app.connect().ask(f"GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert answer.status == 400
    assert body.startswith(b"sleep")


def test_a_file_that_is_not_there_is_a_404(app: Daemon) -> None:
    """By its name."""
    answer, body = ask(app, Work(read_file="nothing"))
    assert answer.status == 404
    assert b"nothing" in body


def test_exit_ends_the_process_once_the_answer_is_out(app: Daemon) -> None:
    """With the code asked for."""
    answer, body = ask(app, Work(exit=7, answer=MIB))
    assert (answer.status, len(body)) == (200, MIB)
    assert app.wait() == 7


def test_sigterm_lets_what_is_in_flight_finish(app: Daemon) -> None:
    """Then the exit status is 0."""
    wire = app.connect()
    wire.send(f"GET /?{Work(sleep=0.5).to_query()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert ask(app, Work())[0].status == 200
    app.term()
    app.event("stopping")
    assert wire.read_head().status == 200
    assert app.wait() == 0


def test_make_file_leaves_a_file_of_that_length(tmp_path: Path) -> None:
    """On its disk, for a run to read."""
    path = tmp_path / "deep" / "file"
    argv = [sys.executable, "-m", "emu.daemon.app", "make-file", str(path), str(2 * MIB + 1)]
    subprocess.run(argv, check=True, cwd=ROOT)
    assert path.stat().st_size == 2 * MIB + 1


def test_make_file_says_in_a_line_why_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """No room, no right, no number."""
    assert main(["make-file", "/proc/none/file", "10"], {}) == 1
    assert capsys.readouterr().err.startswith("cannot make a file of 10 bytes: ")
    assert main(["make-file", "x", "many"], {}) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_work_survives_its_query() -> None:
    """Every field of it."""
    work = Work(child=True, hold=5, hold_for=None, read_file="a b", sleep=0.5, exit=0, body="ignore")
    assert Work.from_query(work.to_query()) == work


def test_work_ends_with_its_client(tmp_path: Path) -> None:
    """A client that leaves ends a sleep, and what was to follow is not done."""

    def play(_: FakeApp, period_s: int) -> None:  # it must have left before the sleep is over
        with closing(app_with(tmp_path)) as app:
            wire = app.connect()
            query = Work(sleep=0.2 * period_s, exit=7).to_query()
            wire.send(f"GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wire.close()
            assert ask(app, Work(sleep=0.6 * period_s))[0].status == 200

    in_time(play)


@pytest.mark.parametrize("work", ["sleep=0.2", "cpu=0.1", "hold=1048576&sleep=0.1"])
def test_detached_work_goes_on_without_its_client(app: Daemon, work: str) -> None:
    """To its end, of which here the whole app takes notice."""
    wire = app.connect()
    wire.send(f"GET /?{work}&exit=7&detached=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    wire.close()
    assert app.wait() == 7


def in_flight(app: Daemon) -> float:
    """How many requests the app has, by its own metrics."""
    _, body = app.connect().ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    return next(one.value for one in samples_of(body.decode()) if one.name == IN_FLIGHT)


def test_work_stops_at_the_step_in_which_its_client_leaves(app: Daemon, tmp_path: Path) -> None:
    """The steps after it do not begin: a file that was to be written then is not there."""
    os.mkfifo(tmp_path / "slow")
    wire = app.connect()
    wire.send(b"GET /?read_file=slow&write_file=left&write_bytes=10 HTTP/1.1\r\nHost: x\r\n\r\n")
    with (tmp_path / "slow").open("wb"):  # returns once the app reads
        wire.close()
        wait_for(lambda: in_flight(app) == 0, "the app to see that the client left")
    assert ask(app, Work(write_file="after", write_bytes=1))[0].status == 200
    assert not (tmp_path / "left").exists()


def test_detached_work_that_fails_is_no_longer_in_flight(app: Daemon, tmp_path: Path) -> None:
    """Its client is gone by then, so no answer counts it."""
    os.mkfifo(tmp_path / "slow")
    wire = app.connect()
    wire.send(b"GET /?read_file=slow&write_file=no/such&write_bytes=1&detached=true HTTP/1.1\r\nHost: x\r\n\r\n")
    with (tmp_path / "slow").open("wb"):
        wire.close()
        assert in_flight(app) == 1
    wait_for(lambda: in_flight(app) == 0, "the failed work to be over")
