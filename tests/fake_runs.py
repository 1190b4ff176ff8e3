"""Whole made-up runs, each a story that the report must bring out. `ALL` names them; see `tests.fakes`."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from copy import copy
from functools import cache, wraps
from pathlib import Path

from emu.record.events import PodScaled, RequestsHeld
from emu.record.rundir import RunDir
from emu.study.model.study import Study
from emu.study.study import read_study
from tests import fakes
from tests.fakes import MIB, PAGE, FakeRun
from tests.recount import samples_text


@cache
def _folder() -> Path:
    """Where runs are made that are copied then; it is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="emu-fake-runs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _made_once(story: Callable[[Path], RunDir]) -> Callable[[Path], RunDir]:
    """A story writes the same bytes each time, and slowly: it is played once a session, and copied."""

    @wraps(story)
    def copied(path: Path) -> RunDir:
        made = _folder() / f"{story.__name__}-{fakes.INTERVAL_S}"
        if not made.exists():
            story(made)
        return RunDir(shutil.copytree(made, path, copy_function=shutil.copy))

    return copied


def _pod(path: Path, name: str, *, queue_limit: int | None = 64 * MIB, pod_limit: int | None = None) -> FakeRun:
    run = FakeRun(path, name=name, pod_limit=pod_limit)
    run.start("sandbox")
    run.start("app", memory_max=256 * MIB)
    run.start("queue-proxy", memory_max=queue_limit)
    run.live["app"].values.update(anon=20 * MIB, file=8 * MIB, kernel=2 * MIB)
    run.live["queue-proxy"].values.update(anon=8 * MIB, file=4 * MIB, kernel=1 * MIB)
    run.sample()
    run.status("2/2", "Running")
    return run


def _restart(run: FakeRun, after_s: float, delay_s: float) -> None:
    run.status("1/2", "OOMKilled", run.attempts["queue-proxy"])
    if delay_s:
        run.back_off("queue-proxy", run.attempts["queue-proxy"], delay_s)
    run.advance(run.now + after_s)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.live["queue-proxy"].values.update(anon=8 * MIB, file=4 * MIB, kernel=1 * MIB)
    run.status("2/2", "Running", run.attempts["queue-proxy"])


@_made_once
def oom(path: Path) -> RunDir:
    """queue-proxy holds a slow app's requests, reaches its own limit twice, and is restarted with a back-off."""
    run = _pod(path, "queue-proxy-oom")
    run.phase("slow", 1.0, 4.0)
    run.advance(1.0)
    run.requests(800, 1.0, 3.1, phase="slow", done_s=3.12, status=None, error="closed")
    run.advance(
        3.1,
        {"queue-proxy": {"anon": 52 * MIB, "kernel": 5 * MIB, "sock": 3 * MIB, "file": 0}, "app": {"anon": 28 * MIB}},
    )
    run.oom("queue-proxy")
    run.requests(50, 3.13, 3.4, phase="slow", takes_s=0.0005, status=None, error="refused")
    _restart(run, 0.3, 0.0)
    run.requests(700, 3.5, 5.0, phase="slow", done_s=5.02, status=None, error="closed")
    run.advance(5.0, {"queue-proxy": {"anon": 55 * MIB, "kernel": 8 * MIB, "file": 0}})
    run.oom("queue-proxy", docker_flag=False)
    _restart(run, 1.0, 1.0)
    run.requests(10, 6.1, 6.6, phase="slow", takes_s=0.8)
    run.advance(8.0)
    return run.finish()


@_made_once
def rate_limited(path: Path) -> RunDir:
    """Of the second kill the kernel's log kept only the kill line: the rest was rate limited."""
    run = _pod(path, "rate-limited")
    run.requests(100, 0.5, 1.9, done_s=2.01, status=None, error="closed")
    run.advance(2.0, {"queue-proxy": {"anon": 63 * MIB, "file": 0}})
    run.oom("queue-proxy")
    _restart(run, 0.2, 0.0)
    run.advance(3.0, {"queue-proxy": {"anon": 63 * MIB, "file": 0}})
    run.oom("queue-proxy", log="kill", docker_flag=False)
    _restart(run, 0.2, 0.0)
    run.advance(4.0)
    return run.finish()


@_made_once
def pod_level(path: Path) -> RunDir:
    """The app eats the pod's memory; the kernel kills queue-proxy, whose oom_score_adj is higher."""
    run = _pod(path, "pod-level", queue_limit=None, pod_limit=128 * MIB)
    run.requests(20, 0.5, 1.9, takes_s=0.05)
    run.advance(2.0, {"app": {"anon": 100 * MIB, "file": 0}})
    run.oom("queue-proxy", level="pod", invoker="app")
    run.advance(3.0, {"app": {"anon": 60 * MIB}})
    return run.finish()


@_made_once
def host_level(path: Path) -> RunDir:
    """The whole machine ran out: no cgroup counts `oom`, only the victim's counts `oom_kill`."""
    run = _pod(path, "host-level")
    run.advance(2.0, {"app": {"anon": 200 * MIB}})
    run.oom("app", level="host", invoker="kswapd-helper")
    run.advance(3.0)
    return run.finish()


@_made_once
def child_killed(path: Path) -> RunDir:
    """A worker process of the app is killed; its main process lives on, and ends well at the end."""
    run = _pod(path, "child-killed")
    run.live["app"].pids.append(9999)
    run.advance(2.0, {"app": {"anon": 245 * MIB}})
    run.oom("app", child=True)
    run.advance(2.5, {"app": {"anon": 20 * MIB}})
    run.advance(3.0)
    return run.finish()


@_made_once
def group_killed(path: Path) -> RunDir:
    """memory.oom.group: all three processes of the app die, the first one is logged twice."""
    run = _pod(path, "group-killed")
    run.live["app"].pids.extend([9998, 9999])
    run.advance(2.0, {"app": {"anon": 245 * MIB}})
    run.oom("app", group=True)
    run.advance(3.0)
    return run.finish()


@_made_once
def docker_kill(path: Path) -> RunDir:
    """Someone ran `docker kill` on queue-proxy: exit 137, and no OOM anywhere."""
    run = _pod(path, "docker-kill")
    run.requests(20, 0.5, 1.9, takes_s=0.05)
    run.advance(2.0)
    run.exit("queue-proxy", 137)
    run.status("1/2", "Error")
    run.advance(3.0)
    return run.finish()


@_made_once
def unseen(path: Path) -> RunDir:
    """The cgroup went before its counters were read, and the kernel's log cannot be read at all."""
    run = _pod(path, "unseen")
    run.note("the kernel's log cannot be read", "/dev/kmsg: Operation not permitted")
    run.advance(2.0, {"queue-proxy": {"anon": 63 * MIB, "file": 0}})
    run.oom("queue-proxy", seen=False, log="none", docker_flag=False)
    run.advance(3.0)
    return run.finish()


@_made_once
def page_cache(path: Path) -> RunDir:
    """The app reads a 256 MiB file twice under a 64 MiB limit: both passes come from the disk, nothing dies."""
    run = FakeRun(path, name="page-cache")
    group = run.start("app", memory_max=64 * MIB)
    run.start("queue-proxy", memory_max=64 * MIB)
    group.values.update(anon=12 * MIB, kernel=2 * MIB)
    run.phase("first", 0.5, 2.0)
    run.requests(1, 0.5, 0.6, phase="first", takes_s=1.4)
    run.phase("again", 2.0, 4.0)
    run.requests(1, 2.0, 2.1, phase="again", takes_s=1.4)
    run.advance(0.5)
    run.advance(1.0, {"app": {"file": 49 * MIB, "read": 49 * MIB}})
    run.count("app", max=600)
    run.advance(1.9, {"app": {"read": 256 * MIB}})
    run.advance(2.0)
    run.advance(3.4, {"app": {"read": 512 * MIB, "refault_file": 256 * MIB / PAGE, "pgmajfault": 10}})
    run.count("app", max=900)
    run.advance(4.0)
    return run.finish()


@_made_once
def stalled(path: Path) -> RunDir:
    """queue-proxy's anonymous memory leaves its executable no room: it reads it again and again, and lives."""
    run = FakeRun(path, name="stalled")
    run.start("app", memory_max=256 * MIB)
    group = run.start("queue-proxy", memory_max=32 * MIB)
    group.values.update(anon=12 * MIB, kernel=2 * MIB, file=16 * MIB)
    run.requests(720, 0.5, 8.0, done_s=30.0, status=None, error="unanswered")
    run.advance(8.0, {"queue-proxy": {"anon": 25 * MIB, "kernel": 3 * MIB, "file": 4 * MIB}})
    run.count("queue-proxy", max=4000)
    run.advance(28.0, {"queue-proxy": {"refault_file": 1_500_000, "pgmajfault": 40_000}})
    run.advance(30.0)
    return run.finish()


@_made_once
def swap(path: Path) -> RunDir:
    """The app wants 200 MiB under a 64 MiB limit, and lives on swap."""
    run = FakeRun(path, name="swap")
    group = run.start("app", memory_max=64 * MIB, swap_max=256 * MIB)
    group.values.update(anon=12 * MIB, kernel=2 * MIB)
    run.requests(10, 0.5, 3.0, takes_s=0.4)
    run.advance(0.5)
    run.advance(1.0, {"app": {"anon": 62 * MIB}})
    run.advance(2.5, {"app": {"swap": 150 * MIB, "swap_out": 180 * MIB}})
    run.count("app", max=538)
    run.advance(3.5, {"app": {"swap_in": 40 * MIB, "refault_anon": 40 * MIB / PAGE, "pgmajfault": 9000}})
    return run.finish()


@_made_once
def refused(path: Path) -> RunDir:
    """A containerConcurrency protects queue-proxy: most requests are answered 503 at once, nothing dies."""
    run = _pod(path, "refused")
    run.requests(300, 1.0, 3.0, takes_s=0.5)
    run.requests(2700, 1.0, 3.0, takes_s=0.001, status=503)
    run.advance(3.6, {"queue-proxy": {"anon": 15 * MIB, "kernel": 2 * MIB}})
    return run.finish()


@_made_once
def cut_off(path: Path) -> RunDir:
    """The machine lost power in the middle: no end, and the last line of each file is torn."""
    run = _pod(path, "cut-off")
    run.requests(100, 0.5, 1.9, ended=False)
    run.advance(2.0, {"queue-proxy": {"anon": 30 * MIB}})
    where = run.cut()
    for file, torn in ((where.events, 7), (where.samples, 14), (where.requests, 7)):  # a frame's own end has 7
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) - torn])
    return where


@_made_once
def probe_killed(path: Path) -> RunDir:
    """The app fails its liveness probe and ignores SIGTERM, twice; it waits for its third start when the run ends."""
    run = _pod(path, "probe-killed")
    refused = "Liveness probe failed: dial tcp 10.0.0.2:8080: connect: connection refused"
    for _ in range(2):
        for _ in range(3):
            run.advance(run.now + 0.5)
            run.pod_event("app", "Unhealthy", refused)
        run.pod_event("app", "Killing", "Container app failed liveness probe, will be restarted", kind="Normal")
        run.stop("app", "liveness", 2.0)
        run.signal("app", 15)
        run.advance(run.now + 2.0)
        run.signal("app", 9)
        run.exit("app", 137, killed_for="liveness")
        if run.attempts["app"] == 0:
            run.start("app", memory_max=256 * MIB)
    run.back_off("app", 1, 10.0)
    run.pod_event("app", "BackOff", "Back-off restarting failed container app in pod fake_default")
    run.advance(run.now + 1.0)
    return run.finish()


@_made_once
def scaled(path: Path) -> RunDir:
    """A pod that goes at 3 s and is gone at 4 s, and comes back for a request at 7 s; gone again at the end."""
    run = _pod(path, "scaled")
    run.event(PodScaled(t=run.t, pods=1, reached=False, why="initial scale"))
    run.phase("first", 1.0, 2.0)
    run.requests(5, 1.0, 2.0, phase="first")
    run.advance(3.0, {"app": {"cpu_usec": 4e6, "pgmajfault": 10}})
    run.scale_to_zero()
    run.advance(7.0)
    run.phase("second", 7.0, 10.0)
    run.requests(2, 7.0, 7.2, phase="second", done_s=9.1)
    run.scale_from_zero()
    run.advance(8.0)
    run.start("sandbox", ready=False)
    run.start("queue-proxy", memory_max=64 * MIB)
    run.start("app", memory_max=256 * MIB)
    run.live["app"].values.update(anon=10 * MIB)
    run.advance(9.0, {"app": {"cpu_usec": 1e6, "pgmajfault": 3}})
    run.event(RequestsHeld(t=run.t, outcome="forwarded", waited_s=[2.0, 1.9]))
    run.event(PodScaled(t=run.t, pods=1, reached=True, waiting=2))
    run.status("2/2", "Running")
    run.advance(11.0)
    run.scale_to_zero()
    run.advance(14.0)
    return run.finish()


@_made_once
def asked_to_end(path: Path) -> RunDir:
    """The pod is asked to end under load: queue-proxy ends in order, the app must be killed."""
    run = _pod(path, "asked-to-end")
    run.requests(100, 0.5, 2.0, takes_s=0.05)
    run.advance(1.0)
    for container in ("queue-proxy", "app"):
        run.pod_event(container, "Killing", f"Stopping container {container}", kind="Normal")
        run.stop(container, "pod", 5.0)
        run.signal(container, 15)
    run.status("0/2", "Terminating")
    run.advance(3.0)
    run.exit("queue-proxy", 0, asked=True)
    run.advance(6.0)
    run.signal("app", 9)
    run.exit("app", 137, asked=True)
    return run.finish()


@_made_once
def engine_lost(path: Path) -> RunDir:
    """The engine is stopped: it ends all containers, queue-proxy on SIGTERM and the app not yet, and is gone."""
    run = _pod(path, "engine-lost")
    run.requests(20, 0.5, 1.9, takes_s=0.05)
    run.advance(2.0)
    for container in ("queue-proxy", "app", "sandbox"):
        run.signal(container, 15)
    run.advance(2.5)
    run.exit("queue-proxy", 0)
    run.fail("the Docker engine went away", "the stream of its events ended")
    return run.finish()


@_made_once
def neighbours(path: Path) -> RunDir:
    """Two pods: one is OOM-killed at its own limit and restarted, the other is not disturbed."""
    run = _pod(path, "neighbours")
    other = run.beside("bystander")
    other.start("sandbox")
    other.start("app", memory_max=128 * MIB)
    other.live["app"].values.update(anon=30 * MIB, file=6 * MIB, kernel=1 * MIB)
    other.status("1/1", "Running")
    run.advance(1.0)
    other.sample()
    run.phase("load", 1.0, 4.0)
    run.requests(20, 1.0, 1.9, takes_s=0.05, to=run.name, container="queue-proxy")
    run.requests(60, 1.0, 4.0, takes_s=0.02, to=other.name, container="app")
    run.advance(2.0, {"app": {"anon": 250 * MIB, "file": 0}})
    run.oom("app")
    run.status("1/2", "OOMKilled", 0)
    run.advance(2.3)
    run.start("app", memory_max=256 * MIB)
    run.live["app"].values.update(anon=20 * MIB, kernel=2 * MIB)
    run.status("2/2", "Running", 1)
    other.advance(5.0, {"app": {"anon": 40 * MIB}})
    return run.finish()


@_made_once
def plain_killed(path: Path) -> RunDir:
    """Two plain pods: one is OOM-killed as it answers, and restarted; the other is never disturbed."""
    run = FakeRun(path, name="plain-killed", pod="greedy")
    other = run.beside("quiet")
    for pod, container in ((run, "hoarder"), (other, "web")):
        pod.start("sandbox")
        pod.start(container, memory_max=64 * MIB)
        pod.live[container].values.update(anon=10 * MIB, file=6 * MIB, kernel=1 * MIB)
        pod.status("1/1", "Running")
        pod.sample()
    run.phase("grow", 1.0, 4.0)
    asked = "hoarder"
    run.requests(30, 1.0, 4.0, phase="grow", takes_s=0.02, to="quiet", container="web")
    run.requests(
        3, 1.0, 1.9, phase="grow", done_s=2.01, status=None, error="closed", to="greedy", container="hoarder"
    )
    run.requests(
        2, 2.1, 2.2, phase="grow", takes_s=0.001, status=None, error="refused", to="greedy", container="hoarder"
    )
    run.requests(1, 3.0, 3.1, phase="grow", status=500, to="greedy", container=asked)
    run.advance(2.0, {"hoarder": {"anon": 62 * MIB, "file": 0}})
    run.oom("hoarder")
    run.status("0/1", "OOMKilled", 0)
    run.advance(2.5)
    run.start("hoarder", memory_max=64 * MIB)
    run.status("1/1", "Running", 1)
    other.advance(5.0, {"web": {"anon": 12 * MIB}})
    return run.finish()


REPLICAS = "app-00001-deployment-5d8f9c7b6d"


@_made_once
def replicas(path: Path) -> RunDir:
    """Three pods of one revision, two at a time: the second is OOM-killed, the third takes the first one's place."""
    first = run = FakeRun(path, name="replicas", pod=f"{REPLICAS}-aaaaa")
    second = run.beside(f"{REPLICAS}-bbbbb")
    for pod in (first, second):
        _serve(pod)
    run.phase("load", 0.5, 6.0)
    run.requests(40, 0.5, 5.5, takes_s=0.05)
    run.advance(2.0)
    second.advance(3.0, {"app": {"anon": 250 * MIB, "file": 0}})
    second.oom("app")
    second.status("1/2", "OOMKilled", 0)
    run.advance(3.2)
    second.start("app", memory_max=256 * MIB)
    second.status("2/2", "Running", 1)
    first.remove()
    third = run.beside(f"{REPLICAS}-ccccc")
    run.advance(4.5)
    _serve(third)
    run.advance(6.5)
    return run.finish()


def _serve(pod: FakeRun) -> None:
    pod.start("sandbox")
    pod.start("app", memory_max=256 * MIB)
    pod.start("queue-proxy", memory_max=64 * MIB)
    pod.live["app"].values.update(anon=20 * MIB, file=8 * MIB, kernel=2 * MIB)
    pod.live["queue-proxy"].values.update(anon=8 * MIB, file=4 * MIB, kernel=1 * MIB)
    pod.status("2/2", "Running")
    pod.sample()


ALL: dict[str, Callable[[Path], RunDir]] = {
    story.__name__: story
    for story in (
        oom,
        rate_limited,
        pod_level,
        host_level,
        child_killed,
        group_killed,
        docker_kill,
        unseen,
        page_cache,
        stalled,
        swap,
        refused,
        probe_killed,
        asked_to_end,
        scaled,
        cut_off,
        engine_lost,
        neighbours,
        plain_killed,
        replicas,
    )
}


def study_of(name: str) -> Study:
    """The study of one of `ALL`, made once a session. A test may give it other lists; what they hold is shared."""
    return copy(_studied(name))


@cache
def _studied(name: str) -> Study:
    return read_study(ALL[name](_folder() / f"{name}-to-study"))


def unpack_samples(run: Path) -> bytes:
    """Make the samples those of an older run, which are not packed; their text."""
    text = samples_text(run)
    (run / "samples.raw.zst").unlink(missing_ok=True)
    (run / "samples.raw").write_bytes(text)
    return text


def rewrite_samples(run: Path, old: bytes, new: bytes) -> None:
    """Replace a text in the samples."""
    (run / "samples.raw").write_bytes(unpack_samples(run).replace(old, new))
