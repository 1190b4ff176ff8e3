"""The story of one run, readable from top to bottom: build, record, start, drive, stop. Its study comes after it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import psutil

from cgroups.mount import find_cgroup2
from emu import __version__
from emu.errors import EmuError
from emu.files.profiles import profile_of
from emu.helpers.freezer import RunFreezer
from emu.helpers.recorder import RunRecorder
from emu.kubelet import iolimits, ioweight
from emu.kubelet.eviction import Evictions
from emu.kubelet.host import Host
from emu.kubelet.node import Node
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.pods import Pods
from emu.kubelet.resizing import Resizing
from emu.kubelet.template import PodTemplate
from emu.kubelet.volumes import Volumes
from emu.machine import pagecache
from emu.machine.owner import owner
from emu.policy.kubelet.derived import NodeRules
from emu.record.events import EventLog, Note, RunBegan, now
from emu.record.rundir import FORMAT, RunDir
from emu.run import manifest_images
from emu.run.driving import Driving, PlannedPod
from emu.run.ending import Ending
from emu.run.interrupts import Interrupts
from emu.run.journal import keep_journal, log_driver
from emu.run.machine import machine_facts, not_applied, where
from emu.run.registry import registered
from emu.run.screen import Screen
from emu.run.sharing import shared
from emu.run.swapping import swapping
from emu.runtime import images
from emu.runtime.api import LABEL_OWNER, EngineFacts, Runtime
from emu.runtime.choosing import open_runtime
from emu.runtime.podcgroup import run_cgroup
from emu.scenario.reading import has_secrets, resolve
from emu.serving.names import pod_name, replica_set_name
from emu.serving.template import REVISION, Serving, pod_template
from emu.spec import ScenarioSpec
from emu.spec.starts import StartImage
from emu.units import format_bytes

if TYPE_CHECKING:
    from emu.run.start_image import AppImage
    from emu.run.starts import Starts

_PULSE_S = 10.0


def run_scenario(spec: ScenarioSpec, run: RunDir, screen: Screen) -> int:
    """Run a scenario on this machine and record it in `run`, which exists. The exit status: EXIT_OK,
    EXIT_INTERRUPTED, or EXIT_BAD_INPUT where it could not continue (the engine went away, the load generator died);
    why is on record then.

    EmuError when something is missing (an image, the engine, a controller); what was made by then is undone. The
    report is not made here: `emu.report` studies the directory afterwards.
    """
    with Interrupts() as interrupts:
        try:
            return _run(spec, run, screen, interrupts)
        except EmuError:
            interrupts.check()  # what is interrupted while it starts does not start
            raise


def _run(spec: ScenarioSpec, run: RunDir, screen: Screen, interrupts: Interrupts) -> int:
    log = EventLog(run.events)
    engine, facts = open_runtime(next(iter(spec.each_pod.values())).runtime, screen.step, _own_images(spec))
    spec, foreign = _with_images(spec, engine)
    run.write_scenario(resolve(spec, masked=True), private=has_secrets(spec))
    interrupts.check()
    run_id = f"emu-{spec.name[:30]}-{secrets.token_hex(3)}"
    cgroup = run_cgroup(facts.cgroup_driver, find_cgroup2(), run_id)
    end = Ending(run, log, screen)
    began = now()
    with end, swapping(spec) as zswap, ExitStack() as stack:
        # First in, last out: whatever is undone below can still be recorded.
        stack.callback(log.close)
        stack.enter_context(registered(run_id))
        freezer = _start_freezer(spec, engine, run, run_id, log, stack)
        image = None if spec.starts is None else _build_app_image(spec, engine, run_id, log, screen, stack)
        templates = _templates(spec, freezer, image)
        volumes = {
            name: stack.enter_context(Volumes(engine, one, run_id, name or REVISION, owner()))
            for name, one in templates.items()
        }
        disks = iolimits.find_disks(Path(facts.root_dir))
        host = Host(engine, run_id, _node_rules(spec), owner(), disks, zswap, log_driver())
        pods = stack.enter_context(Pods(host, cgroup, log))
        _limit_io(spec, disks, pods.cgroup, stack)

        def plan(name: str) -> Pod:
            of = spec.each_revision.get(name)
            called = name if of is None else pod_name(replica_set_name(of.name, of.spec), SystemRandom())
            return pods.plan(templates[name], called, volumes[spec.holder_of_files(name)])

        with end.early(lambda: interrupts.asked):
            _prepare(spec, templates, volumes, engine, log, screen, interrupts)
            began = now()
            log.append(_began(spec, run_id, facts, disks, began=began, cgroup=pods.cgroup))
            end.begun = True
            _say_what_is_not_applied(spec, foreign, log, screen)
            # Before any pod is made: a cgroup's first sample is of its beginning.
            recorder = stack.enter_context(RunRecorder(run, log, spec.recorder.interval))
            if spec.watches_node:
                recorder.follow_node(pods.cgroup)
            _announce(pods, recorder, freezer)
            keep = partial(_keep_going, recorder, freezer, interrupts, _Pulse(run))
            if spec.starts is not None and image is not None:
                pod = plan("")
                pods.place(pod)
                stack.enter_context(_starts(spec, pod, image, engine, run, log, screen, keep)).measure()
            else:
                resizing = Resizing(_node_rules(spec), log, on_done=pods.update)
                evictions = _evictions(spec, pods.cgroup, log)
                node = stack.enter_context(Node(engine, log, run, run_id, evictions, resizing))
                driving = Driving(
                    spec, run, node, pods, log, screen, began=began, keep=keep, resizing=resizing, asks=recorder.asks
                )
                driving.drive(_planned(spec, templates, plan), engine, stack)
        screen.end_live()
        screen.step("stopping the pod and cleaning up")
    # Only now: the journal and the end of the record are what that room was kept for.
    run.release()
    _keep_journal(run, run_id, pods, began, log)
    end.write()
    return end.status


def _planned(
    spec: ScenarioSpec, templates: Mapping[str, PodTemplate], plan: Callable[[str], Pod]
) -> dict[str, PlannedPod]:
    """Each pod of the scenario, by its name there."""
    return {
        name: PlannedPod(one, templates[name], partial(plan, name), spec.each_revision.get(name))
        for name, one in spec.each_pod.items()
    }


def _starts(
    spec: ScenarioSpec,
    pod: Pod,
    image: AppImage,
    engine: Runtime,
    run: RunDir,
    log: EventLog,
    screen: Screen,
    keep: Callable[[], None],
) -> Starts:
    from emu.run.starts import Starts

    return Starts(spec, pod, image, engine, run, log.of_pod(pod.name), say=screen.step, check=keep)


def _evictions(spec: ScenarioSpec, cgroup: Path, log: EventLog) -> Evictions | None:
    """The kubelet's, where the node has a threshold."""
    rules = _node_rules(spec)
    return Evictions(rules, find_cgroup2().path, cgroup, log, now()) if rules.eviction else None


class _Pulse:
    """Shows now and then that the run is alive, to who waits for it outside of the sandbox."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._next_at = 0.0

    def beat(self) -> None:
        """Another turn."""
        if now() >= self._next_at:
            self._next_at = now() + _PULSE_S
            self._run.beat()


def _keep_going(recorder: RunRecorder, freezer: RunFreezer | None, interrupts: Interrupts, pulse: _Pulse) -> None:
    """The checks at every turn of a run."""
    pulse.beat()
    interrupts.check()
    recorder.check()
    if freezer is not None:
        freezer.keep()


def _start_freezer(
    spec: ScenarioSpec, engine: Runtime, run: RunDir, run_id: str, log: EventLog, stack: ExitStack
) -> RunFreezer | None:
    if spec.pod.freezer is None:
        return None
    user = engine.image_user(spec.pod.queue_proxy.image or images.QUEUE_PROXY)
    return stack.enter_context(RunFreezer(spec.pod.freezer, run, run_id, log, user))


def _build_app_image(
    spec: ScenarioSpec, engine: Runtime, run_id: str, log: EventLog, screen: Screen, stack: ExitStack
) -> AppImage:
    from emu.run.start_image import app_image

    screen.step("building the app's own image and its archive")
    source, added = spec.pod.app.image or images.APP, StartImage() if spec.starts is None else spec.starts.image
    return stack.enter_context(app_image(engine, source, run_id, {LABEL_OWNER: owner()}, log, added))


def _began(
    spec: ScenarioSpec, run_id: str, facts: EngineFacts, disks: iolimits.Disks, *, began: float, cgroup: Path
) -> RunBegan:
    return RunBegan(
        t=began,
        run_id=run_id,
        scenario=spec.name,
        where=where(),
        wall_time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        machine={
            **machine_facts(facts),
            "kubernetes": spec.node.kubernetes,
            "node_io_max": [str(one) for one in disks.lines(spec.node.io)],
            "io_weights": ioweight.weights(spec) if ioweight.asked(spec) else {},
        },
        cgroup=str(cgroup),
        clock_ticks=os.sysconf("SC_CLK_TCK"),
        emu=__version__,
        format=FORMAT,
        time_scale=spec.time_scale,
    )


def _keep_journal(run: RunDir, run_id: str, pods: Pods, began: float, log: EventLog) -> None:
    try:
        keep_journal(run, run_id, pods.containers, began)
    except EmuError as error:
        log.append(Note(t=now(), what=error.what, why=error.why))


def _templates(spec: ScenarioSpec, freezer: RunFreezer | None, image: AppImage | None) -> dict[str, PodTemplate]:
    """What each pod of the scenario is made from. `image`: the app's own, where its starts are measured."""
    access, tag = None if freezer is None else freezer.access, None if image is None else image.tag
    return {
        name: pod_template(one, freezer=access, app_image=tag, of=_serving(spec, name), time_scale=spec.time_scale)
        for name, one in spec.each_pod.items()
    }


def _serving(spec: ScenarioSpec, pod: str) -> Serving:
    of = spec.each_revision.get(pod)
    return Serving() if of is None else Serving(of.service, of.name)


def _node_rules(spec: ScenarioSpec) -> NodeRules:
    return spec.node.rules(psutil.virtual_memory().total, psutil.swap_memory().total, os.cpu_count() or 1)


def _own_images(spec: ScenarioSpec) -> list[str]:
    containers = (one for pod in spec.each_pod.values() for one in pod.containers.values())
    own = [container.image for container in containers if container.image is not None]
    return [*own, *manifest_images.names(spec)]


def _limit_io(spec: ScenarioSpec, disks: iolimits.Disks, cgroup: Path, stack: ExitStack) -> None:
    """Write the node's io.max, once all that the scenario asks for is known to be possible, and have the disk shared
    by weight until the stack is closed. EmuError.
    """
    asked = [spec.node.io, *(one.io for pod in spec.each_pod.values() for one in pod.containers.values())]
    iolimits.check(asked, disks, cgroup)
    iolimits.limit(cgroup, disks.lines(spec.node.io))
    root = find_cgroup2().path
    stack.enter_context(shared(spec, disks.files, root, cgroup, own_machine=where() != "host"))


def _with_images(spec: ScenarioSpec, engine: Runtime) -> tuple[ScenarioSpec, Sequence[manifest_images.Running]]:
    """With the images of manifests that the engine has. EmuError for one that must be there and is not."""
    spec, foreign = manifest_images.decide(spec, engine.image_names)
    _see_images(spec, engine)
    return spec, foreign


def _see_images(spec: ScenarioSpec, engine: Runtime) -> None:
    placed = ((pod, *item) for pod, one in spec.each_pod.items() for item in one.placed)
    for pod, place, container in placed:
        several = "services" if spec.services else "pods"
        key = ".".join((*((several, pod) if pod else ("pod",)), *map(str, place), "image"))
        if container.image is None:
            continue
        if engine.image_labels(container.image) is None:
            have = ", ".join(tag for tag, _ in engine.image_tags() if not tag.startswith("<none>")) or "none"
            raise EmuError(
                f"{key}: there is no image {container.image!r}",
                f"the engine does not have it, and emu pulls none (it has: {have})",
                f"load it first: emu images load FILE.tar, or emu images load --from-docker {container.image}",
            )
        if not (container.command or container.args or engine.image_runs(container.image)):
            raise EmuError(
                f"{key}: the image {container.image!r} has no entrypoint",
                "nor has its container a `command`: Kubernetes would show CreateContainerError, no command specified",
                "give it a `command`, or build the image with an ENTRYPOINT",
            )


def _prepare(
    spec: ScenarioSpec,
    templates: Mapping[str, PodTemplate],
    volumes: Mapping[str, Volumes],
    engine: Runtime,
    log: EventLog,
    screen: Screen,
    interrupts: Interrupts,
) -> None:
    for name, pod in spec.each_pod.items():
        if pod.own_files:
            whose = f"the files of {name}" if name else "the app's files"
            screen.step(f"creating {whose}: " + ", ".join(f"{file.name}" for file in pod.own_files))
            volumes[name].make_files(interrupts.check)
        profile, limit = profile_of(pod.queue_proxy.footprint), pod.queue_proxy.resources.limits.memory
        if profile is not None and limit is not None and limit < profile.exact_from_bytes:
            what = f"under {format_bytes(limit)} queue-proxy uses more memory than {profile.name} would"
            why = f"the memory of emu's own process shows below {format_bytes(profile.exact_from_bytes)}"
            log.append(Note(t=now(), what=what, why=why, level="warning"))
    if spec.node.image_cache == "warm":
        tags = {images.BASE, *(one.image for template in templates.values() for one in template.containers)}
        folders = {folder for tag in tags for folder in engine.image_folders(tag)}
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


def _say_what_is_not_applied(
    spec: ScenarioSpec, foreign: Sequence[manifest_images.Running], log: EventLog, screen: Screen
) -> None:
    why = not_applied(spec.sandbox, psutil.virtual_memory().total, psutil.swap_memory().total)
    if why is not None:
        log.append(
            Note(t=now(), what="the machine does not have the size given in `sandbox`", why=why, level="warning")
        )
        screen.event(f"`sandbox` is ignored, because this machine is already running: {why}", "yellow")
    for name, of in {**{one.name: one for one in spec.services}, "": spec.pod}.items():
        if of.left_out:
            what, why = f"left out of the manifest{' of ' if name else ''}{name}", "; ".join(of.left_out)
            log.append(Note(t=now(), what=what, why=why, level="warning"))
            screen.event(f"{what}: {why}", "yellow")
    for image in foreign:
        why = image.about_requests
        log.append(Note(t=now(), what=image.words, why=why, level="warning" if why else "info"))
        screen.event(f"{image.words}{f'; {why}' if why else ''}", "yellow" if why else "dim")


def _announce(pods: Pods, recorder: RunRecorder, freezer: RunFreezer | None) -> None:
    """Have the recorder and the freezer know of each pod and each container in time."""

    def make(pod: Pod) -> None:
        recorder.follow(pod)
        if freezer is not None:
            freezer.follow(pod.name)

    def create(instance: Instance) -> None:
        recorder.announce(instance)
        if freezer is not None and instance.role != "init":
            freezer.announce(instance)

    pods.on_make, pods.on_create = make, create
    if freezer is not None:
        pods.on_remove = freezer.forget
