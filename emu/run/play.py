"""Plays a scenario: chooses the place, makes the run directory, runs it there, each of its variants in turn."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EmuError, raise_all
from emu.machine.paths import TRACEBACKS, own_cache_dir, runs_dir
from emu.record.rundir import AlreadyRecorded, RunDir
from emu.run.ending import cut_short
from emu.run.interrupts import Interrupts
from emu.run.machine import where
from emu.run.screen import Screen
from emu.runtime import images
from emu.scenario.reading import has_secrets, needs_docker, resolve, variants_of
from emu.spec import ScenarioSpec
from emu.spec.values import UNDESCRIBED

_QUIET_S = 1800.0
"""emu gives up a run that shows no progress for this long; its longest step (unpacking images) may take half of it.
"""
_ENDED_EARLY = "the run ended early"
_BY_SIGNAL = 128
"""The exit status of a process that a signal ended is above this by the signal's number."""


def choose(place: str, spec: ScenarioSpec, say: Callable[[str], None]) -> str:
    """Where it runs; `say` gets what is good to know beforehand. EmuError if no place qualifies, or the machine there
    is too small for it.
    """
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
        say(f"{spec.name} {words}")
    if (words := long_record(list(plays.values()))) is not None:
        say(f"emu: {words}")
    return chosen


def create(out: Path | None, spec: ScenarioSpec) -> RunDir:
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


def play(spec: ScenarioSpec, directory: RunDir, chosen: str, screen: Screen) -> int:
    """Run it in the place that was chosen; EXIT_OK if it was played to its end. A run that never began leaves no
    directory behind.
    """
    made = directory.identity()
    try:
        if chosen == "sandbox":
            from emu.sandbox.uml import terminal

            with terminal.interrupting_signals():
                images.prepare(screen.step)  # which takes minutes where it is the first time
            return _in_sandbox(spec, directory, screen)
        if chosen == "vm":
            return _in_vm(spec, directory, screen)
        screen.done(f"running on this machine ({where()})")
        return record(spec, directory, screen)
    finally:
        if not directory.begun():
            directory.discard(made)


def record(spec: ScenarioSpec, run: RunDir, screen: Screen) -> int:
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
            made = own.identity()
            try:
                if status := run_scenario(variant, own, screen):
                    return status
            finally:
                if not own.begun():
                    own.discard(made)
    return EXIT_OK


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
    from emu.sandbox.qemu.runs import Run
    from emu.sandbox.qemu.runs import record as record_there
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
            status = record_there(asked, screen.step, screen.end_step)
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
        how = "was killed" if status > _BY_SIGNAL else f"ended with status {status}: see what it said above"
        why = f"its process in the guest {how}"
        cut_short(directory, EmuError(_ENDED_EARLY, why, f"run it again; see {directory.processes}"))
        return EXIT_BAD_INPUT
    if status - _BY_SIGNAL in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # before it took note of them
        raise KeyboardInterrupt
    if status > _BY_SIGNAL:
        fix = "run it again; if it recurs, give the guest more memory (sandbox.memory)"
        raise EmuError(_ENDED_EARLY, "its process in the guest was killed", fix)
    return EXIT_BAD_INPUT  # it has said why


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
