"""`emu run`: read the scenario, choose where, run it there, then study the record and print the results."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import click

from emu.cli.scenarios import complete_scenario, complete_set, complete_variant
from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNMET, EmuError, raise_all
from emu.files.named import STDIN, read_once, read_text, source_name
from emu.files.nearest import nearest
from emu.machine import output
from emu.machine.paths import TRACEBACKS, own_cache_dir, runs_dir
from emu.record.rundir import AlreadyRecorded, RunDir
from emu.run.ending import cut_short
from emu.run.interrupts import Interrupts
from emu.run.machine import where
from emu.run.screen import Screen
from emu.runtime import images
from emu.scenario.manifests import kind_of
from emu.scenario.reading import (
    DEFAULT_SCENARIO,
    find_scenario,
    has_secrets,
    needs_docker,
    read_scenario,
    resolve,
    variants_of,
)
from emu.spec import ScenarioSpec
from emu.spec.values import UNDESCRIBED

_QUIET_S = 1800.0
"""emu gives up a run that shows no progress for this long; its longest step (unpacking images) may take half of it.
"""
_ENDED_EARLY = ("the run ended early", "its process in the guest was killed")
_BY_SIGNAL = 128
"""The exit status of a process that a signal ended is above this by the signal's number."""


@click.command()
@click.argument("scenarios", metavar="[SCENARIO|MANIFEST...]", nargs=-1, shell_complete=complete_scenario)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_set,
    help="Change one key of the scenario; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run directory to create.  [default: runs/<time>-<name>]"
)
@click.option(
    "--on",
    "place",
    type=click.Choice(["auto", "host", "sandbox", "vm"]),
    default="auto",
    show_default=True,
    help="Where to run: this machine, the User-Mode Linux sandbox, or a virtual machine (QEMU) with a whole "
    "distribution: its first run downloads that. auto is this machine if it can, else the sandbox.",
)
@click.option(
    "--variant",
    metavar="NAME",
    shell_complete=complete_variant,
    help="Play only this variant of the scenario, as a run of its own.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print summary.json on standard output, and nothing else there."
)
def run(
    scenarios: tuple[str, ...],
    settings: Sequence[str],
    out: Path | None,
    place: str,
    variant: str | None,
    as_json: bool,
) -> None:
    """Run SCENARIO (a file, or the name of a built-in one) and report what happened.

    For a manifest (a Service of Knative, an InferenceService, a Deployment with its autoscaler, a Pod), in one file
    or several, it runs the scenario that `emu init` prints.

    Exits 0 if every expectation of the scenario was met, 1 if not, 2 for bad input or an unmet requirement, including
    one lost during the run (the engine goes away), 130 if interrupted. The record up to that point is kept and
    reported.

    The virtual machine has what the sandbox lacks: PSI, several CPUs and io.weight. It is fast where KVM works, and
    emulated and about ten times slower elsewhere (emu doctor says which). Its first run, which root has to make,
    downloads 200 MB of packages from this machine's package sources and the Python packages that emu imports, and
    makes its disks of them in emu's cache.

    \b
    Examples:
      emu run                                   the default scenario
      emu run app-swap
      emu run queue-proxy-oom --set pod.queueProxy.resources.limits.memory=128Mi
      emu run idle-policies --variant reclaim
      emu run app-oom --on vm --set pod.runtime=process
      emu run inferenceservice.yaml
      emu run deployment.yaml hpa.yaml
      kubectl get ksvc hello -o yaml | emu run -
      emu run my-scenario.yaml --out /tmp/run1 --json
    """
    spec = _load(scenarios or (DEFAULT_SCENARIO,), settings)
    if variant is not None:
        spec = _only(variant, spec)
    chosen = _choose(place, spec)
    with Screen(to_stderr=as_json) as screen:
        screen.title(spec.name, f": {spec.question}")
        directory = _create(out, spec)
        status = _run_there(spec, directory, chosen, screen)
        if not directory.begun():
            if status == EXIT_OK:
                raise EmuError(
                    f"the record of the run is gone: {directory.path}",
                    "it was removed or renamed during the run",
                    "run it again, and leave its directory alone until it has ended",
                )
            sys.exit(status)  # an interrupt came before anything was recorded
        summary = _report(directory, screen, as_json)
    failed = summary["failed"]
    if failed is not None:
        raise EmuError(failed["what"], failed["why"], failed["fix"])
    sys.exit(status or (EXIT_OK if summary["met"] else EXIT_UNMET))


@click.command(hidden=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--to-stderr", is_flag=True)
def record(out: Path, to_stderr: bool) -> None:
    """The part of `emu run` that happens on the kernel under test; the study runs where it is faster.
    The resolved scenario arrives on standard input, so no file holds its secrets.
    """
    spec = read_scenario(sys.stdin.read(), "the scenario", expectations=False)
    with Screen(to_stderr=to_stderr) as screen:
        status = _record(spec, RunDir(out), screen)
    sys.exit(status)


def _load(names: Sequence[str], settings: Sequence[str]) -> ScenarioSpec:
    """The scenario; of manifests, the one that `emu init` prints. Each is read once: it may be a pipe."""
    paths = [Path(name) if name == STDIN else find_scenario(name) for name in names]
    read_once(paths)
    texts = [(path, read_text(path)) for path in paths]
    for path, text in texts:
        if kind_of(text) == "manifest":
            continue
        if len(paths) == 1:
            return read_scenario(text, source_name(path), settings)
        why = f"{len(paths)} files were given, and {source_name(path)} is no manifest"
        raise EmuError("emu run takes one scenario, or manifests", why, "run one after the other")
    from emu.manifests.documents import manifests_in
    from emu.manifests.starting import scenario_of

    source = ", ".join(map(source_name, paths))
    spec = read_scenario(scenario_of(manifests_in(texts)), f"the scenario of {source}", settings)
    is_one = f"{source} is a manifest" if len(paths) == 1 else f"{source} are manifests"
    output.echo(f"emu: {is_one}; `emu init` prints the scenario that is made of it", err=True)
    return spec


def _only(name: str, spec: ScenarioSpec) -> ScenarioSpec:
    plays = variants_of(spec)
    if name in plays:
        return plays[name]
    meant = nearest(name, list(plays))
    raise EmuError(
        f"--variant {name}: {spec.name} has no such variant",
        f"it has: {', '.join(plays) or 'none'}",
        f"did you mean {meant}?" if meant else "name one of them" if plays else "remove --variant",
    )


def _record(spec: ScenarioSpec, run: RunDir, screen: Screen) -> int:
    """Run it on this kernel, or each of its variants in turn; EXIT_OK if all of it was played to its end."""
    from emu.run.story import run_scenario

    plays = variants_of(spec)
    if not plays:
        return run_scenario(spec, run, screen)
    run.write_scenario(resolve(spec, masked=True), private=has_secrets(spec))
    with Interrupts() as interrupts:
        for number, (name, variant) in enumerate(plays.items(), 1):
            own = run.variant(name)
            try:
                interrupts.check()
            except KeyboardInterrupt:
                return EXIT_INTERRUPTED
            screen.title(name, f", variant {number} of {len(plays)}")
            own.create()
            try:
                if status := run_scenario(variant, own, screen):
                    return status
            finally:
                if not own.begun():
                    shutil.rmtree(own.path)
    return EXIT_OK


def _choose(place: str, spec: ScenarioSpec) -> str:
    """Where it runs. EmuError if no place qualifies, or the machine there is too small for it."""
    from emu.doctor.facts import gather_facts
    from emu.doctor.requirements import choose_where
    from emu.sandbox.qemu.runs import room_bytes as vm_disk_bytes
    from emu.sandbox.uml.disk import room_bytes as sandbox_disk_bytes
    from emu.scenario.capacity import SANDBOX, VM, lacking, long_record
    from emu.scenario.needs import needs

    facts = gather_facts()
    chosen = choose_where(facts, None if place == "auto" else place, docker=needs_docker(spec))
    plays = {f"{spec.name}, variant {name}": play for name, play in variants_of(spec).items()} or {spec.name: spec}
    room = {SANDBOX: sandbox_disk_bytes, VM: vm_disk_bytes}.get(chosen)
    disk = None if room is None else room()
    raise_all(lacking(plays, chosen, facts.memory_bytes, facts.swap_bytes, disk))
    if (words := needs(list(plays.values()), chosen, facts.memory_bytes, facts.swap_bytes, disk)) is not None:
        output.echo(f"{spec.name} {words}", err=True)
    if (words := long_record(list(plays.values()))) is not None:
        output.echo(f"emu: {words}", err=True)
    return chosen


def _create(out: Path | None, spec: ScenarioSpec) -> RunDir:
    """The run directory that was named; else a new one, also where another run began within the same second."""
    variants = bool(spec.variants)
    if out is not None:
        named = RunDir(out.absolute())
        named.create(variants=variants)
        return named
    first = runs_dir().absolute() / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{spec.name}"
    numbers = count(2)
    run = RunDir(first)
    while True:
        try:
            run.create(variants=variants)
        except AlreadyRecorded:
            run = RunDir(first.with_name(f"{first.name}-{next(numbers)}"))
        else:
            return run


def _run_there(spec: ScenarioSpec, directory: RunDir, chosen: str, screen: Screen) -> int:
    """Run it; EXIT_OK if it was played to its end. A run that never began leaves no directory behind."""
    try:
        if chosen == "sandbox":
            from emu.sandbox.uml import terminal

            with terminal.interrupting_signals():
                images.prepare(screen.step)  # which takes minutes where it is the first time
            return _in_sandbox(spec, directory, screen)
        if chosen == "vm":
            return _in_vm(spec, directory, screen)
        screen.done(f"running on this machine ({where()})")
        return _record(spec, directory, screen)
    finally:
        if not directory.begun():
            shutil.rmtree(directory.path, ignore_errors=True)  # somebody may have removed it


def _in_sandbox(spec: ScenarioSpec, directory: RunDir, screen: Screen) -> int:
    from emu.sandbox.uml import terminal
    from emu.sandbox.uml.console import SandboxError
    from emu.sandbox.uml.guest import Guest

    argv = [sys.executable, "-m", "emu", "record", "--out", str(directory.path)]
    tracebacks = own_cache_dir() / TRACEBACKS
    tracebacks.mkdir(mode=0o700, exist_ok=True)
    guest = Guest(
        spec.sandbox.memory,
        spec.sandbox.swap,
        [directory.path, tracebacks],
        directory.processes / "console.log",
        screen.step,
        docker=needs_docker(spec),
        shown=[own_cache_dir()],
        kernel=spec.sandbox.kernel,
    )
    try:
        with _in_memory(resolve(spec)) as scenario, terminal.interrupting_signals(), guest:
            screen.end_step()  # from here on the guest writes
            words = argv + (["--to-stderr"] if screen.to_stderr else [])
            bare = {**os.environ, UNDESCRIBED: "1"}
            status = guest.run(words, env=bare, stdin=scenario, quiet_s=_QUIET_S, pulse=directory.pulse)
            screen.step("stopping the sandbox")
    except SandboxError as lost:
        if not directory.begun():
            raise
        cut_short(directory, EmuError(lost.what, lost.cause, lost.fix))
        return EXIT_BAD_INPUT
    return _ended(status, directory)


def _in_vm(spec: ScenarioSpec, directory: RunDir, screen: Screen) -> int:
    from emu.sandbox.qemu.listener import GuestError
    from emu.sandbox.qemu.runs import Run, record
    from emu.sandbox.uml import terminal

    argv = ["python3", "-m", "emu", "record", "--out", str(directory.path)]
    asked = Run(
        argv + (["--to-stderr"] if screen.to_stderr else []),
        resolve(spec),
        directory.path,
        spec.sandbox.memory,
        spec.sandbox.swap,
        needs_docker(spec),
        directory.pulse,
        _QUIET_S,
    )
    try:
        with terminal.interrupting_signals():
            status = record(asked, screen.step, screen.end_step)
    except GuestError as lost:
        if not directory.begun():
            raise EmuError(lost.what, lost.why, lost.fix) from lost
        console = directory.processes / "console.log"
        console.write_text(f"{lost.why}\n")
        cut_short(directory, EmuError(lost.what, lost.cause, f"run it again; the end of its console is in {console}"))
        return EXIT_BAD_INPUT
    return _ended(status, directory)


def _ended(status: int, directory: RunDir) -> int:
    """What a run in a guest comes to, by the status of its process there."""
    if status in (EXIT_OK, EXIT_INTERRUPTED):
        return status
    if directory.begun():
        cut_short(directory, EmuError(*_ENDED_EARLY, f"run it again; see {directory.processes}"))
        return EXIT_BAD_INPUT
    if status - _BY_SIGNAL in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # before it took note of them
        raise KeyboardInterrupt
    if status > _BY_SIGNAL:
        raise EmuError(*_ENDED_EARLY, "run it again; if it recurs, give the guest more memory (sandbox.memory)")
    sys.exit(EXIT_BAD_INPUT)  # it has said why


@contextmanager
def _in_memory(text: str) -> Iterator[int]:
    """A descriptor from which to read the text, without a file."""
    fd = os.memfd_create("emu")
    try:
        os.write(fd, text.encode())
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _report(directory: RunDir, screen: Screen, as_json: bool) -> dict[str, Any]:
    """Study the run, write summary.json and report.html, print the verdict; returns the summary."""
    from emu.report.finish import finish, look, render

    screen.step("studying the run")
    try:
        report = finish(directory)
    except EmuError:  # the files are not written: print the results anyway
        render(look(directory), screen.console)
        raise
    summary = report.summary
    render(report, screen.console)
    screen.console.print(f"report: {directory.report}")
    if as_json:
        output.echo(output.to_json(summary, indent=2))
    return summary
