"""`emu run`: read the scenario, choose where, run it there, then study the record and print the results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from emu.cli.scenarios import complete_scenario, complete_set, complete_variant
from emu.errors import EXIT_OK, EXIT_UNMET, EmuError
from emu.files.named import STDIN, read_once, read_text, source_name
from emu.files.nearest import nearest
from emu.machine import output
from emu.record.rundir import RunDir
from emu.run import play
from emu.run.screen import Screen
from emu.scenario.manifests import kind_of
from emu.scenario.reading import (
    DEFAULT_SCENARIO,
    find_scenario,
    read_scenario,
    variants_of,
)
from emu.spec import ScenarioSpec


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
    chosen = play.choose(place, spec, lambda words: output.echo(words, err=True))
    with Screen(to_stderr=as_json) as screen:
        screen.title(spec.name, f": {spec.question}")
        directory = play.create(out, spec)
        made = directory.identity()
        status = play.play(spec, directory, chosen, screen)
        if not directory.begun() or directory.identity() != made:
            if status == EXIT_OK:
                raise EmuError(
                    f"the record of the run is gone: {directory.path}",
                    "it was removed, renamed or replaced during the run",
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
        status = play.record(spec, RunDir(out), screen)
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
    from emu.manifests.places import put_places
    from emu.manifests.starting import scenario_of
    from emu.manifests.starting_workload import workload_of

    source = ", ".join(map(source_name, paths))
    manifests = manifests_in(texts)
    text = scenario_of(manifests)
    places = partial(put_places, workload=workload_of(manifests), manifests=manifests)
    spec = read_scenario(text, f"the scenario of {source}", settings, places=places)
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
