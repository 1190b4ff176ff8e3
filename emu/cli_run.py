"""`emu run`: read the scenario, choose where, run it there, then study what was recorded and tell it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from emu import images
from emu.cli_scenarios import complete_scenario, complete_set, complete_variant
from emu.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNMET, EmuError
from emu.interrupts import Interrupts
from emu.keys import nearest
from emu.live import Screen
from emu.machine import where
from emu.paths import cache_dir, runs_dir
from emu.rundir import RunDir
from emu.scenario import load_resolved, load_scenario, resolve, variants_of
from emu.spec import ScenarioSpec

DEFAULT_SCENARIO = "queue-proxy-oom"


@click.command()
@click.argument("scenario", default=DEFAULT_SCENARIO, shell_complete=complete_scenario)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=complete_set,
    help="Change one key of the scenario; may be given again.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The run directory to make.  [default: runs/<time>-<name>]"
)
@click.option(
    "--on",
    "place",
    type=click.Choice(["auto", "host", "sandbox"]),
    default="auto",
    show_default=True,
    help="Where to run: this machine, or our own kernel.",
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
    scenario: str, settings: Sequence[str], out: Path | None, place: str, variant: str | None, as_json: bool
) -> None:
    """Run SCENARIO (a file, or the name of a built-in one) and tell what happened.

    Ends with 0 if what the scenario expects came true, 1 if it did not, 2 for bad input or an unmet requirement,
    130 if it was interrupted (what was recorded by then is kept and told).

    \b
    Examples:
      emu run                                   the default scenario
      emu run app-swap
      emu run queue-proxy-oom --set pod.queueProxy.resources.limits.memory=128Mi
      emu run idle-policies --variant reclaim
      emu run my-scenario.yaml --out /tmp/run1 --json
    """
    spec = load_scenario(scenario, settings)
    if variant is not None:
        spec = _only(variant, spec)
    chosen = _choose(place)
    directory = RunDir((out or runs_dir() / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{spec.name}").absolute())
    with Screen(to_stderr=as_json) as screen:
        screen.console.print(f"[bold]{spec.name}[/]: {spec.question}")
        interrupted = _run_there(spec, directory, chosen, screen)
        met = _tell(directory, screen, as_json)
    sys.exit(EXIT_INTERRUPTED if interrupted else EXIT_OK if met else EXIT_UNMET)


@click.command(hidden=True)
@click.argument("scenario", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--to-stderr", is_flag=True)
def record(scenario: Path, out: Path, to_stderr: bool) -> None:
    """The part of `emu run` that happens on the kernel that is looked at; the study is made where it is faster."""
    with Screen(to_stderr=to_stderr) as screen:
        interrupted = _record(load_resolved(scenario), RunDir(out), screen)
    sys.exit(EXIT_INTERRUPTED if interrupted else EXIT_OK)


def _only(name: str, spec: ScenarioSpec) -> ScenarioSpec:
    plays = variants_of(spec)
    if name in plays:
        return plays[name]
    meant = nearest(name, list(plays))
    raise EmuError(
        f"--variant {name}: {spec.name} has no such variant",
        f"it has: {', '.join(plays) or 'none'}",
        f"did you mean {meant}?" if meant else "name one of them" if plays else "leave --variant out",
    )


def _record(spec: ScenarioSpec, run: RunDir, screen: Screen) -> bool:
    """Run it on this kernel, or each of its variants one after the other; True if it was interrupted."""
    from emu.runner import run_scenario

    plays = variants_of(spec)
    if not plays:
        return run_scenario(spec, run, screen)
    run.scenario.write_text(resolve(spec), encoding="utf-8")
    with Interrupts() as interrupts:
        for number, (name, variant) in enumerate(plays.items(), 1):
            own = run.variant(name)
            try:
                interrupts.check()
            except KeyboardInterrupt:
                return True
            screen.console.print(f"[bold]{name}[/], variant {number} of {len(plays)}")
            own.create()
            try:
                if run_scenario(variant, own, screen):
                    return True
            finally:
                if not own.begun():
                    shutil.rmtree(own.path)
    return False


def _choose(place: str) -> str:
    from emu.host import gather_facts
    from emu.requirements import choose_where

    return choose_where(gather_facts(), None if place == "auto" else place)


def _run_there(spec: ScenarioSpec, directory: RunDir, chosen: str, screen: Screen) -> bool:
    """Run it; True if it was interrupted. A run that never began leaves no directory behind."""
    if chosen == "sandbox":
        images.prepare(screen.step)
    directory.create(variants=bool(spec.variants))
    try:
        if chosen == "sandbox":
            return _in_sandbox(spec, directory, screen)
        screen.step(f"running on this machine ({where()})")
        return _record(spec, directory, screen)
    finally:
        if not directory.begun():
            shutil.rmtree(directory.path)


def _in_sandbox(spec: ScenarioSpec, directory: RunDir, screen: Screen) -> bool:
    from emu.sandbox import uml

    cache = cache_dir()
    with tempfile.NamedTemporaryFile("w", dir=cache, prefix=".run-", suffix=".yaml", encoding="utf-8") as resolved:
        resolved.write(resolve(spec))
        resolved.flush()
        argv = [sys.executable, "-m", "emu", "record", resolved.name, "--out", str(directory.path)]
        status = uml.run(
            argv + (["--to-stderr"] if screen.to_stderr else []),
            memory_bytes=spec.sandbox.memory,
            swap_bytes=spec.sandbox.swap,
            shares=[directory.path, cache, *uml.usual_shares()],
            console_log=directory.processes / "console.log",
            say=screen.step,
        )
    if status not in (EXIT_OK, EXIT_INTERRUPTED):
        sys.exit(EXIT_BAD_INPUT)
    return status == EXIT_INTERRUPTED


def _tell(directory: RunDir, screen: Screen, as_json: bool) -> bool:
    """Study the run, write summary.json and report.html, print the verdict; True if every expectation was met."""
    from emu.report.finish import finish, tell

    screen.step("studying the run")
    told = finish(directory)
    summary = told.summary
    tell(told, screen.console)
    screen.console.print(f"report: {directory.report}")
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    return bool(summary["met"])
