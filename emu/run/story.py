"""The story of one run, readable from top to bottom: build, record, start, drive, stop, study, report."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cgroups import parse
from cgroups.mount import find_cgroup2
from emu import __version__
from emu.errors import EmuError
from emu.files.profiles import profile_of
from emu.helpers.freezer import RunFreezer
from emu.helpers.load import RunLoad
from emu.helpers.recorder import RunRecorder
from emu.kubelet.node import Node
from emu.kubelet.pod import SANDBOX, Instance, Pod
from emu.kubelet.worker import PodWorker
from emu.machine import pagecache
from emu.machine.owner import owner
from emu.policy.lifecycle import ContainerState
from emu.policy.starts import Found, temperature_of
from emu.record.events import EventLog, KubeletEvent, Note, RunBegan, now
from emu.record.rundir import FORMAT, RunDir
from emu.run.ending import Ending
from emu.run.interrupts import Interrupts
from emu.run.journal import keep_journal, log_driver
from emu.run.machine import machine_facts, not_applied, where
from emu.run.podfacts import PodWitness
from emu.run.registry import registered
from emu.run.screen import MemoryNow, Now, Screen
from emu.runtime import images
from emu.runtime.api import LABEL_OWNER, EngineFacts, Runtime
from emu.runtime.choosing import open_runtime
from emu.runtime.podcgroup import pod_cgroup
from emu.scenario.load_plan import load_plan
from emu.scenario.reading import has_secrets, resolve
from emu.serving.template import APP, pod_template
from emu.spec import ScenarioSpec
from emu.units import format_bytes

if TYPE_CHECKING:  # what few runs need is imported where they do: in the sandbox an import takes its time
    from emu.serving.autoscaler import ScaledPod

_TURN_S = 0.1
_PULSE_S = 10.0
_WORTH_A_LINE = ("Started", "Killing")
"""What the kubelet does to plan and is shown all the same."""


def run_scenario(spec: ScenarioSpec, run: RunDir, screen: Screen) -> int:
    """Run a scenario on this machine and record it in `run`, which exists. The exit status: EXIT_OK,
    EXIT_INTERRUPTED, or EXIT_BAD_INPUT where it could not go on (the engine went away, the load generator died);
    why is on record then.

    EmuError when something is missing (an image, the engine, a controller); what was made by then is undone. The
    report is not made here: `emu.report` studies the directory afterwards.
    """
    with Interrupts() as interrupts:
        return _run(spec, run, screen, interrupts)


def _run(spec: ScenarioSpec, run: RunDir, screen: Screen, interrupts: Interrupts) -> int:
    log = EventLog(run.events)
    run.write_scenario(resolve(spec, masked=True), private=has_secrets(spec))
    engine, facts = open_runtime(spec.pod.runtime, screen.step, _own_images(spec))
    _see_images(spec, engine)
    interrupts.check()
    run_id = f"emu-{spec.name[:30]}-{secrets.token_hex(3)}"
    cgroup = pod_cgroup(facts.cgroup_driver, find_cgroup2(), run_id)
    end = Ending(run, log, screen)
    began = now()
    with end, ExitStack() as stack:
        stack.callback(log.close)
        stack.enter_context(registered(run_id))
        freezer = None
        if spec.pod.freezer is not None:
            user = engine.image_user(spec.pod.queue_proxy.image or images.QUEUE_PROXY)
            freezer = stack.enter_context(RunFreezer(spec.pod.freezer, run, run_id, log, user))
        image = None
        if spec.starts is not None:
            from emu.run.starts import app_image

            screen.step("building the app's own image and its archive")
            source = spec.pod.app.image or images.APP
            image = stack.enter_context(app_image(engine, source, run_id, {LABEL_OWNER: owner()}, log))
        template = pod_template(
            spec.pod,
            freezer=None if freezer is None else freezer.access,
            app_image=None if image is None else image.tag,
        )
        pod = Pod(
            template,
            run_id,
            engine,
            cgroup,
            log.of_pod(run_id),
            machine_memory_bytes=psutil.virtual_memory().total,
            owner=owner(),
            log_driver=log_driver(),
        )
        stack.enter_context(pod)
        with end.early():
            _prepare(spec, pod, engine, log, screen, interrupts)
            began = now()
            log.append(_began(spec, run_id, facts, began, cgroup.path))
            end.begun = True
            _say_what_is_not_applied(spec, log, screen)
            recorder = stack.enter_context(RunRecorder(run, pod, log, spec.recorder.interval))
            pod.on_create = _announcing(recorder, freezer, pod)
            keep = partial(_keep_going, recorder, freezer, interrupts, _Pulse(run))
            if spec.starts is not None and image is not None:
                from emu.run.starts import Starts

                starts = Starts(
                    spec.starts, pod, image, engine, run, log.of_pod(pod.name),
                    ready_timeout_s=spec.pod.ready_timeout, say=screen.step, check=keep,
                )  # fmt: skip
                stack.enter_context(starts).measure()
            else:
                _supervise(spec, run, pod, engine, keep, log, screen, began, stack)
        screen.end_live()
        screen.step("stopping the pod and cleaning up")
    run.release()
    try:
        keep_journal(run, run_id, [instance.name for instance in pod.instances], began)
    except EmuError as error:
        log.append(Note(t=now(), what=error.what, why=error.why))
    end.write()
    return end.status


def _supervise(
    spec: ScenarioSpec,
    run: RunDir,
    pod: Pod,
    engine: Runtime,
    keep: Callable[[], None],
    log: EventLog,
    screen: Screen,
    began: float,
    stack: ExitStack,
) -> None:
    """Start the pod, keep it running, and send it its load."""
    witness = PodWitness(pod)

    def on_exit(name: str, state: ContainerState) -> None:
        witness.saw_exit(name, state)
        _show_exit(screen, now() - began, name, state)

    node = stack.enter_context(Node(engine, log, run, pod.run_id))
    admit = partial(
        node.admit,
        pod,
        on_exit=on_exit,
        on_event=_Events(screen, began).show,
        hold_frozen=spec.pod.freezer is None or spec.pod.freezer.mode != "knative",
    )
    workload: PodWorker | ScaledPod
    if spec.pod.autoscaling is None:
        workload = admit()
        turn = node.turn
        stack.callback(node.stop)
    else:
        from emu.helpers.activator import RunActivator
        from emu.serving.autoscaler import ScaledPod

        activator = stack.enter_context(RunActivator(spec.pod, run, log, node.wake))
        workload = scaled = ScaledPod(
            spec.pod,
            pod,
            log.of_pod(pod.name),
            activator,
            node,
            lambda first: admit(first=first),
            found=partial(_warmth, pod, engine),
            say=lambda text: screen.event(f"{now() - began:6.1f} s  {text}", "yellow"),
        )
        stack.enter_context(scaled)
        stack.callback(node.stop)
        stack.callback(scaled.end_drain)

        def turn(wait_s: float) -> None:
            node.turn(wait_s)
            scaled.turn()

    watch = _Watch(pod, workload, screen, began)
    try:
        _drive(spec, run, pod, workload, turn, keep, log, watch, witness)
    except KeyboardInterrupt:
        workload.hurry()
        raise


def _warmth(pod: Pod, engine: Runtime) -> str:
    """What a start from zero finds: the app's image in the page cache, or on the disk alone."""
    folders = [folder for folder in engine.image_folders(pod.image(APP)) if folder.is_dir()]
    share = pagecache.cached(folders).share if folders else 0.0
    return temperature_of(Found(image=True, cached_share=share))


class _Pulse:
    """Shows now and then that the run goes on, to who waits for it outside of the sandbox."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._next_at = 0.0

    def beat(self) -> None:
        """Another turn."""
        if now() >= self._next_at:
            self._next_at = now() + _PULSE_S
            self._run.beat()


def _keep_going(recorder: RunRecorder, freezer: RunFreezer | None, interrupts: Interrupts, pulse: _Pulse) -> None:
    """What is seen to at every turn of a run."""
    pulse.beat()
    interrupts.check()
    recorder.check()
    if freezer is not None:
        freezer.keep()


def _began(spec: ScenarioSpec, run_id: str, facts: EngineFacts, began: float, cgroup: Path) -> RunBegan:
    return RunBegan(
        t=began,
        run_id=run_id,
        scenario=spec.name,
        where=where(),
        wall_time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        machine=machine_facts(facts),
        pod_cgroup=str(cgroup),
        clock_ticks=os.sysconf("SC_CLK_TCK"),
        emu=__version__,
        format=FORMAT,
    )


def _own_images(spec: ScenarioSpec) -> list[str]:
    return [container.image for container in spec.pod.containers.values() if container.image is not None]


def _see_images(spec: ScenarioSpec, engine: Runtime) -> None:
    keys = {"queue-proxy": "pod.queueProxy.image", "app": "pod.app.image"}
    for name, container in spec.pod.containers.items():
        key = keys.get(name, f"pod.sidecars.{name}.image")
        if container.image is not None and engine.image_labels(container.image) is None:
            have = ", ".join(tag for tag, _ in engine.image_tags() if not tag.startswith("<none>")) or "none"
            raise EmuError(
                f"{key}: there is no image {container.image!r}",
                f"the engine does not have it, and emu pulls none (it has: {have})",
                f"load it first: emu images load FILE.tar, or emu images load --from-docker {container.image}",
            )


def _prepare(
    spec: ScenarioSpec, pod: Pod, engine: Runtime, log: EventLog, screen: Screen, interrupts: Interrupts
) -> None:
    if spec.pod.app.files:
        screen.step("creating the app's files: " + ", ".join(f"{file.name}" for file in spec.pod.app.files))
        pod.make_files(interrupts.check)
    profile, limit = profile_of(spec.pod.queue_proxy.footprint), spec.pod.queue_proxy.resources.limits.memory
    if profile is not None and limit is not None and limit < profile.exact_from_bytes:
        what = f"under {format_bytes(limit)} queue-proxy uses more memory than {profile.name} would"
        why = f"the memory of emu's own process shows below {format_bytes(profile.exact_from_bytes)}"
        log.append(Note(t=now(), what=what, why=why, level="warning"))
    if spec.node.image_cache == "warm":
        folders = {folder for name in (SANDBOX, *pod.containers) for folder in engine.image_folders(pod.image(name))}
        if not pagecache.read_in(sorted(folders), interrupts.check):
            log.append(
                Note(
                    t=now(),
                    what="the images' files could not be read ahead",
                    why="their layers are not files on this machine",
                )
            )
    else:
        _drop_caches(log)


def _drop_caches(log: EventLog) -> None:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError as error:
        log.append(Note(t=now(), what="the page cache could not be dropped before the run", why=str(error)))


def _show_exit(screen: Screen, elapsed_s: float, name: str, state: ContainerState) -> None:
    wait = f"; next start in {state.delay_s:.1f} s" if state.delay_s else ""
    screen.event(f"{elapsed_s:6.1f} s  {name} ended: {state.last_reason}, exit code {state.last_exit_code}{wait}")


class _Events:
    """The kubelet's warnings, starts and kills on the screen, each text once: the record has them all."""

    def __init__(self, screen: Screen, began: float) -> None:
        self._screen = screen
        self._began = began
        self._shown: set[tuple[str, str]] = set()

    def show(self, event: KubeletEvent) -> None:
        """Show it if it is news."""
        known = (event.container, event.message)
        if known in self._shown or (event.type == "Normal" and event.reason not in _WORTH_A_LINE):
            return
        self._shown.add(known)
        text = f"{event.t - self._began:6.1f} s  {event.reason} {event.container}: {event.message}"
        if event.reason == "Started":
            text = f"{event.t - self._began:6.1f} s  {event.message}"
        self._screen.event(text, "dim" if event.type == "Normal" else "yellow")


def _say_what_is_not_applied(spec: ScenarioSpec, log: EventLog, screen: Screen) -> None:
    why = not_applied(spec.sandbox, psutil.virtual_memory().total, psutil.swap_memory().total)
    if why is not None:
        log.append(
            Note(t=now(), what="the machine does not have the size given in `sandbox`", why=why, level="warning")
        )
        screen.event(f"`sandbox` is ignored, because this machine is already running: {why}", "yellow")


def _announcing(recorder: RunRecorder, freezer: RunFreezer | None, pod: Pod) -> Callable[[Instance], None]:
    def announce(instance: Instance) -> None:
        recorder.announce(instance)
        if freezer is not None:
            freezer.announce(instance, pod.cgroup.container_path(instance.id))

    return announce


def _drive(
    spec: ScenarioSpec,
    run: RunDir,
    pod: Pod,
    workload: PodWorker | ScaledPod,
    wait_for_pods: Callable[[float], None],
    keep: Callable[[], None],
    log: EventLog,
    watch: _Watch,
    witness: PodWitness,
) -> None:
    def turn(phase: str, load: RunLoad | None) -> None:
        wait_for_pods(_TURN_S)
        keep()
        if load is not None:
            load.hear()
        watch.look(phase, load)

    watch.screen.step("starting the pod")
    pod.open()
    keep()
    workload.start()
    deadline = now() + spec.pod.ready_timeout
    while now() < deadline and workload.coming:
        turn("waiting for readiness", None)
    plan = load_plan(spec.load, *workload.entrance)
    if not plan.phases:
        return
    watch.screen.step(f"sending requests: {', '.join(phase.name for phase in plan.phases)}")
    with RunLoad(plan, run, log) as load:
        while load.running:
            turn(load.phase, load)
            if load.waits:
                load.look(witness.facts(workload))
            if spec.pod.stop_after is not None and load.has_run_for(spec.pod.stop_after):
                workload.begin_stop(hooks=True)
        settled = now() + spec.load.settle
        while now() < settled:
            turn("recording the settle time", load)
        watch.screen.show(watch.moment("done", load))
        load.check()


class _Watch:
    """Looks at the pod a few times a second, for the screen only; the record is the recorder's."""

    def __init__(self, pod: Pod, workload: PodWorker | ScaledPod, screen: Screen, began: float) -> None:
        self._pod = pod
        self._workload = workload
        self.screen = screen
        self._began = began
        self._next_at = 0.0

    def look(self, phase: str, load: RunLoad | None) -> None:
        moment = now()
        if moment < self._next_at:
            return
        self._next_at = moment + 0.25
        self.screen.show(self.moment(phase, load))

    def moment(self, phase: str, load: RunLoad | None) -> Now:
        """The state now."""
        moment = now()
        view = self._workload.view
        said = load.status if load is not None else {}
        return Now(
            elapsed_s=moment - self._began,
            phase=phase,
            ready=view.ready,
            status=view.status,
            restarts=view.restarts,
            age_s=moment - self._began,
            sent=said.get("sent", 0),
            in_flight=said.get("in_flight", 0),
            connecting=said.get("connecting", 0),
            by_status=said.get("by_status", {}),
            errors=said.get("errors", {}),
            memory=tuple(self._memory(name) for name in self._pod.containers),
        )

    def _memory(self, name: str) -> MemoryNow:
        state = self._workload.states[name]
        instance = self._workload.instance(name)
        stat: dict[str, int] = {}
        current = swap = kills = 0
        if instance is not None:
            path = self._pod.cgroup.container_path(instance.id)
            try:
                stat = parse.parse_flat((path / "memory.stat").read_text())
                current = int((path / "memory.current").read_text())
                swap = int((path / "memory.swap.current").read_text())
                kills = parse.parse_flat((path / "memory.events").read_text()).get("oom_kill", 0)
            except (OSError, ValueError):
                stat = {}
        shmem = stat.get("shmem", 0)
        return MemoryNow(
            name,
            "ready" if state.ready else state.phase,
            stat.get("anon", 0),
            stat.get("file", 0) - shmem,
            shmem,
            stat.get("sock", 0),
            stat.get("kernel", 0),
            swap,
            current,
            self._pod.template.container(name).resources.limits.memory,
            kills,
        )
