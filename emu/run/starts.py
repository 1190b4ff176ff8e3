"""Starts from each temperature, one by one: the pod is brought to it, a request comes, and what happens from there to
its answer is stamped. Nothing is judged here: the stamps go on record, and `emu.report` says where time went.

Between two trials the pod's cgroup stays and its containers go or stay, as the next temperature wants it. The app has
an image of its own in a single layer, as an app on a node shares none with queue-proxy: it can be absent, its archive
on this machine stands for a registry, and its pages can be dropped without touching anyone else's.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from cgroups.errors import CgroupError
from cgroups.group import Cgroup
from emu.daemon.freezer.methods import held, is_frozen, reclaim
from emu.daemon.freezer.pods import Target
from emu.daemon.load.sender import content_of, request_head
from emu.errors import EmuError
from emu.helpers.activator import RunActivator, Traced
from emu.kubelet.pod import SANDBOX, Instance, Pod
from emu.machine import pagecache
from emu.messages import ActivatorReport, Endpoint, Endpoints, RequestDone, RequestSent, to_line
from emu.policy import starts as policy
from emu.policy.starts import Found
from emu.record.events import ContainerReady, EventLog, MemoryReclaimed, Note, StartMeasured, now
from emu.record.rundir import RunDir
from emu.run.start_client import Answer, Asking
from emu.runtime.api import LABEL_RUN, Runtime
from emu.scenario.load_plan import request_spec
from emu.serving.template import APP, QUEUE_PROXY
from emu.spec import ScenarioSpec

_TRIES = 3
"""How often a temperature is prepared again that did not hold until the request came."""
_LOOK_S = 0.01
_TURN_S = 0.25
"""How long reports are waited for before the run is looked after again."""
_LAG_S = 1.0
"""How long after its answer a request's reports are waited for."""
_GRACE_S = 60.0
"""How much longer than the deadline the activator holds a request."""
_HOST = "app.default.example.com"
_RECLAIM_ALL = "all"
_NO_COUNTS: dict[str, int | None] = dict.fromkeys(
    ("pgfault", "pgmajfault", "swap_in_pages", "io_read_bytes", "io_write_bytes"), 0
)


class AppImage:
    """The app's image by itself in one layer, and an archive of it. Made by `app_image`."""

    def __init__(self, engine: Runtime, tag: str, archive: Path, log: EventLog) -> None:
        self._engine = engine
        self._log = log
        self._archive = archive
        self.tag = tag

    @property
    def there(self) -> bool:
        """Whether the engine has it."""
        return self._engine.image_labels(self.tag) is not None

    def load(self) -> None:
        """Have the engine take it in from the archive."""
        self._engine.load_image(self._archive)

    def remove(self) -> None:
        """Have the engine forget it; its files are deleted."""
        self._engine.remove_image(self.tag)

    def read_in(self, check: Callable[[], None]) -> None:
        """Its files are in the page cache afterwards."""
        pagecache.read_in(self._folders(), check)

    def drop(self) -> None:
        """Its files are not in the page cache afterwards; those of others stay. Where the engine does not say which
        files are its own, the whole machine's page cache is dropped.
        """
        folders = self._folders()
        if folders:
            pagecache.drop(folders)
            return
        try:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        except OSError as error:
            self._log.append(Note(t=now(), what="the page cache could not be dropped before a start", why=str(error)))

    def cached(self) -> pagecache.Cached | None:
        """How much of its files is in the page cache; None where the engine does not say which they are."""
        folders = self._folders()
        return pagecache.cached(folders) if folders else None

    def _folders(self) -> list[Path]:
        return [folder for folder in self._engine.image_folders(self.tag) if folder.is_dir()]


@contextmanager
def app_image(engine: Runtime, source: str, run_id: str, owner: dict[str, str], log: EventLog) -> Iterator[AppImage]:
    """A copy of the image `source` for one run. It and its archive are gone at the end."""
    tag = f"emu/start-{run_id}"
    with tempfile.TemporaryDirectory(prefix="emu-start-") as scratch:
        archive = Path(scratch) / "image.tar"
        try:
            engine.flatten(source, tag, {LABEL_RUN: run_id, **owner}, Path(scratch))
            engine.save_image(tag, archive)
            yield AppImage(engine, tag, archive, log)
        finally:
            engine.remove_image(tag)


class Starts:
    """The trials of a run. A context manager; leaving it ends what follows the containers' output."""

    def __init__(
        self,
        spec: ScenarioSpec,
        pod: Pod,
        image: AppImage,
        engine: Runtime,
        run: RunDir,
        log: EventLog,
        *,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        assert spec.starts is not None
        self._spec = spec.starts
        self._pod = pod
        self._image = image
        self._engine = engine
        self._run = run
        self._log = log
        self._ready_timeout_s = spec.pod.ready_timeout
        self._say = say
        self._check = check
        self._news = threading.Event()
        """The activator has reported something."""
        traced = Traced(self._ready_timeout_s + _GRACE_S)
        self._activator = RunActivator(spec.pod, run, log, self._news.set, traced=traced)
        self._pods: tuple[Endpoint, ...] = ()
        """What the activator was sent last."""
        self._instances: dict[str, Instance] = {}
        self._started: set[str] = set()
        self._attempt = -1
        self._asked = 0
        self._followers: list[threading.Thread] = []
        request = request_spec(self._spec.request)
        body = content_of(request)
        self._request = request_head(request, _HOST, False) + (b"x" * request.body_bytes if body is None else body)

    def __enter__(self) -> Starts:
        self._activator.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._activator.__exit__(None, None, None)
        for follower in self._followers:
            follower.join(5.0)

    def measure(self) -> None:
        """All trials, in their order."""
        trials = policy.order(self._spec.temperatures, self._spec.trials, self._spec.seed)
        for number, wanted in enumerate(trials):
            self._check()
            measured = self._trial(number, wanted)
            took = "no answer" if measured.first_byte is None else f"{(measured.first_byte - measured.arrived):.3f} s"
            self._say(f"start {number + 1} of {len(trials)}: {measured.temperature}, first byte after {took}")

    def _trial(self, number: int, wanted: str) -> StartMeasured:
        cached: pagecache.Cached | None = None
        for _ in range(_TRIES):
            self._prepare(wanted)
            cached = self._image.cached() if APP not in self._instances and self._image.there else None
            found = self._look(cached)
            if policy.temperature_of(found) == wanted:
                break
        temperature = policy.temperature_of(found)
        memory = [self._held(instance) for instance in self._instances.values()]
        before = self._counts() if found.running else dict(_NO_COUNTS)
        stamps: list[tuple[str, float]] = []
        arrived, answer = self._ask(temperature, temperature, stamps)
        measured = StartMeasured(
            t=answer.done,
            trial=number,
            wanted=wanted,
            temperature=answer.temperature or temperature,
            attempt=self._attempt,
            arrived=arrived,
            stamps=stamps,
            first_byte=answer.first_byte,
            status=answer.status,
            error=answer.error,
            before=before,
            after=self._counts(),
            held_bytes=sum(one for one, _ in memory),
            held_swap_bytes=sum(swap for _, swap in memory),
            image_cached_bytes=None if cached is None else cached.cached,
            image_bytes=None if cached is None else cached.size,
        )
        self._log.append(measured)
        if not answer.served:
            self._clear()
        return measured

    # --- the way to a temperature

    def _prepare(self, wanted: str) -> None:
        if wanted in policy.RUNNING:
            self._prepare_running(wanted)
            return
        self._clear()
        if wanted == policy.COLD:
            self._image.remove()
            return
        if not self._image.there:
            self._image.load()
        if wanted == policy.WARM_DISK:
            self._image.drop()
            return
        self._image.read_in(self._check)
        if wanted == policy.CREATED:
            self._open()
            for name in self._pod.containers:
                self._create(name)

    def _prepare_running(self, wanted: str) -> None:
        """A pod that has just answered; frozen, and its memory reclaimed, as is wanted. One that was in swap before
        is made again: what is not asked for stays there.
        """
        if APP in self._instances and self._held(self._instances[APP])[1]:
            self._clear()
        _, answer = self._ask("prepare", policy.temperature_of(self._look(None)), [])
        if not answer.served:
            self._clear()  # the temperature does not hold then, and is prepared again
            return
        if wanted == policy.WARM_CPU:
            return
        deadline = now() + self._ready_timeout_s
        target = self._target()
        while not is_frozen(target):
            self._check()
            if now() > deadline:
                raise EmuError(
                    "the app is not frozen",
                    f"{self._ready_timeout_s:g} s after its last answer it is still running",
                    "see processes/freezer.log",
                )
            time.sleep(_LOOK_S)
        if wanted == policy.WARM_SWAP:
            got = reclaim(target, _RECLAIM_ALL, lambda: False)
            self._log.append(
                MemoryReclaimed(
                    t=now(),
                    container=target.name,
                    attempt=target.attempt,
                    id=target.id,
                    wanted_bytes=got.wanted_bytes,
                    before=asdict(got.before),
                    after=asdict(got.after),
                    took_s=got.took_s,
                    why=got.why,
                )
            )

    def _look(self, cached: pagecache.Cached | None) -> Found:
        """What a request would find now."""
        share = 0.0 if cached is None else cached.share
        if APP not in self._instances:
            return Found(self._image.there, cached_share=share)
        if APP not in self._started:
            return Found(True, created=True)
        target = self._target()
        memory, swap = self._held(self._instances[APP])
        return Found(
            True, created=True, running=True, frozen=is_frozen(target), app_bytes=memory, app_swap_bytes=swap
        )

    # --- the way from there to an answer

    def _ask(self, phase: str, temperature: str, stamps: list[tuple[str, float]]) -> tuple[float, Answer]:
        """A client asks: when its request arrived, and what it saw, which is on record among the requests."""
        deadline = now() + self._ready_timeout_s
        self._publish(temperature)
        self._await("updated", deadline)
        with Asking(self._activator.port, self._request) as asking:
            report = self._await("arrived", deadline, asking)
            arrived = asking.answer.sent if report is None else report.t
            self._serve(asking, temperature, stamps, deadline)
        answer = asking.answer
        number = self._asked
        self._asked += 1
        error = answer.error or (None if answer.status is not None else "closed")
        with self._run.requests.open("a", encoding="utf-8") as lines:
            lines.write(to_line(RequestSent(number, phase, answer.sent, answer.sent)))
            lines.write(
                to_line(RequestDone(number, answer.done, answer.first_byte, answer.status, error, answer.bytes))  # type: ignore[arg-type]
            )
        return arrived, answer

    def _serve(self, asking: Asking, temperature: str, stamps: list[tuple[str, float]], deadline: float) -> None:
        """See that there is a pod, and that the request is answered; the client hangs up where it is not."""

        def stamp(stage: str, at: float | None = None) -> None:
            stamps.append((stage, now() if at is None else at))

        try:
            if APP not in self._started:
                self._bring_up(temperature, asking, stamp, deadline)
            forwarded = self._await("forwarded", deadline, asking)
            if forwarded is not None:
                stamp(policy.FORWARD, forwarded.t)
            while not asking.over(_TURN_S):
                self._check()
                if now() > deadline:
                    raise EmuError("no answer", f"none came within {self._ready_timeout_s:g} s", "see logs/")
        except (EmuError, OSError) as error:
            what = error.what if isinstance(error, EmuError) else str(error)
            self._log.append(
                Note(
                    t=now(),
                    what=f"a {temperature} start failed: {what}",
                    why=getattr(error, "why", ""),
                    level="error",
                )
            )

    def _publish(self, temperature: str) -> None:
        """Send the activator where the pod is, if it runs."""
        self._pods = (Endpoint(self._pod.address, start=temperature),) if APP in self._started else ()
        self._activator.update(Endpoints(self._pods))

    def _await(self, what: str, deadline: float, asking: Asking | None = None) -> ActivatorReport | None:
        """The activator's next report of this kind; None where the client's request is over and there is none. Others
        are passed over: each kind is waited for in the order in which they come.
        """
        since = 0.0 if asking is None else asking.answer.sent
        over_at = None
        while True:
            self._news.clear()
            if over_at is None and asking is not None and asking.over():
                over_at = now()
            for report in self._activator.reports():
                if report.what == what and report.t >= since:
                    return report
            if over_at is not None and now() > over_at + _LAG_S:
                return None
            self._check()
            if now() > deadline:
                raise EmuError(
                    "the pod did not become ready" if what == "ready" else "the activator does not report",
                    f"there was no {what!r} within {self._ready_timeout_s:g} s",
                    "see logs/ and processes/activator.log, or raise pod.readyTimeout",
                )
            self._news.wait(_TURN_S)

    def _bring_up(self, temperature: str, asking: Asking, stamp: Callable[..., None], deadline: float) -> None:
        if not self._image.there:
            self._image.load()
            stamp(policy.IMAGE)
        if SANDBOX not in self._instances:
            self._open()
            stamp(policy.SANDBOX)
        for name in self._pod.containers:
            self._check()
            if name not in self._instances:
                self._create(name)
                if name == APP:
                    stamp(policy.CREATE)
            self._start(name)
            stamp(policy.START if name == APP else name)
        self._publish(temperature)
        ready = self._await("ready", deadline, asking)
        if ready is None:
            raise EmuError("the request ended before the pod was ready", "see processes/activator.log", "")
        stamp(policy.READINESS, ready.t)
        for name in (QUEUE_PROXY, APP):
            self._log.append(ContainerReady(t=now(), container=name, attempt=self._attempt, ready=True))

    def _open(self) -> None:
        self._attempt += 1
        self._instances[SANDBOX] = self._pod.open(self._attempt)

    def _create(self, name: str) -> None:
        self._instances[name] = self._pod.create(name, self._attempt)

    def _start(self, name: str) -> None:
        instance = self._instances[name]
        self._pod.start(instance)
        self._started.add(name)
        follower = threading.Thread(target=self._follow_output, args=(instance,), daemon=True)
        follower.start()
        self._followers.append(follower)

    def _clear(self) -> None:
        """No container is left; queue-proxy goes first, so that it asks nothing of the freezer for those that go."""
        if self._pods:
            self._pods = ()
            self._activator.update(Endpoints())
        for name in (QUEUE_PROXY, *(name for name in self._instances if name not in (QUEUE_PROXY, SANDBOX)), SANDBOX):
            if name in self._instances:
                self._pod.remove(self._instances.pop(name))
        self._started.clear()

    def _follow_output(self, instance: Instance) -> None:
        try:
            path = self._run.new_log(instance.pod, instance.container, instance.attempt)
            with path.open("ab", buffering=0) as file:
                for part in self._engine.logs(instance.id):
                    file.write(part)
        except Exception as error:
            self._log.append(
                Note(t=now(), what=f"the output of {instance.name} could not be followed", why=str(error))
            )

    # --- what is read

    def _target(self) -> Target:
        app = self._instances[APP]
        return Target(app.container, app.attempt, app.id, self._pod.cgroup.container_path(app.id))

    def _held(self, instance: Instance) -> tuple[int, int]:
        """memory.current and memory.swap.current of a container; 0 where it has no cgroup."""
        try:
            now_held = held(Cgroup(self._pod.cgroup.container_path(instance.id)))
        except CgroupError:
            return 0, 0
        return now_held.current, now_held.swap or 0

    def _counts(self) -> dict[str, int | None]:
        """The counters of the app's cgroup."""
        if APP not in self._instances:
            return dict(_NO_COUNTS)
        group = Cgroup(self._pod.cgroup.container_path(self._instances[APP].id))
        counts: dict[str, int | None] = dict.fromkeys(_NO_COUNTS)
        try:
            stat, devices = group.memory.stat, group.io.stat
        except CgroupError:
            return counts
        if stat is None or devices is None:
            return counts
        return {
            "pgfault": stat.pgfault,
            "pgmajfault": stat.pgmajfault,
            "swap_in_pages": stat.workingset_refault_anon,
            "io_read_bytes": sum(device.rbytes or 0 for device in devices.values()),
            "io_write_bytes": sum(device.wbytes or 0 for device in devices.values()),
        }
