"""`emu explain` and `emu init`: what becomes of manifests. `emu.cli.main` adds them to its group."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emu.cli.scenarios import complete_scenario
from emu.errors import EXIT_BAD_INPUT, EmuError
from emu.machine import output
from emu.report.words import in_columns
from emu.units import format_bytes

if TYPE_CHECKING:
    from emu.manifests.explanation import Explanation
    from emu.policy.kubelet.derived import Value
    from emu.serving.explained import Level, Victim
    from emu.spec import ScenarioSpec


@click.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    shell_complete=complete_scenario,
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change one key of the scenario; repeatable.",
)
@click.option(
    "--on",
    "place",
    type=click.Choice(["auto", "host", "sandbox", "vm"]),
    default="auto",
    show_default=True,
    help="For a scenario: whose memory and swap to compute with.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def explain(files: tuple[Path, ...], settings: Sequence[str], place: str, as_json: bool) -> None:
    """Explain what becomes of a scenario or of manifests, with the source of every value. Nothing is started.

    For a scenario (a file, `-` for standard input, or the name of a built-in one): every control file that the
    kubelet derives from requests and limits, with its formula and the Kubernetes versions that it holds for, as a
    tree of node, class, pod and container. A scenario with variants gets one tree for each.

    For manifests: what KServe, Knative and Kubernetes make of them.

    A file may hold several documents: Knative's Service, Configuration and Revision, KServe's InferenceService and
    ServingRuntime, Deployment, HorizontalPodAutoscaler and Pod. ConfigMaps among them (config-autoscaler,
    config-defaults, config-deployment, config-features, config-network, inferenceservice-config) are taken as the
    cluster's. What a webhook refuses is quoted in its words, with file, line and column; what is accepted and ignored
    is a note.

    The exit status is 2 if anything is refused.

    \b
    Examples:
      emu explain queue-proxy-oom
      emu explain mine.yaml --set 'node.kubernetes="1.26"'
      emu init service.yaml | emu explain -
      emu explain service.yaml
      emu explain inferenceservice.yaml
      emu explain service.yaml config-features.yaml
      kubectl get ksvc hello -o yaml | emu explain -
      emu explain --json service.yaml | jq '.objects[].values'
    """
    from emu.files.named import STDIN, read_once, read_text, source_name
    from emu.scenario.manifests import kind_of
    from emu.scenario.reading import load_scenario, read_scenario

    read_once(files)
    piped = {path: read_text(path, "scenario or manifest") for path in files if str(path) == STDIN or path.is_fifo()}
    first = files[0]
    scenario = next(
        (one for one in files if (kind_of(piped[one]) == "scenario" if one in piped else _is_scenario(one))), None
    )
    if scenario is not None:
        if len(files) > 1:
            why = f"{len(files)} files were given, and {source_name(scenario)} is a scenario"
            raise EmuError("a scenario is explained by itself", why, "give it alone, or manifests alone")
        text = piped.get(first)
        spec = (
            load_scenario(str(first), settings) if text is None else read_scenario(text, source_name(first), settings)
        )
        _explain_scenario(spec, place, as_json)
        return
    if settings or place != "auto":
        raise EmuError(
            "--set and --on apply only to a scenario", f"{source_name(first)} is no scenario", "remove them"
        )
    from emu.manifests.explaining import explain_files

    found = explain_files(files, piped)
    if as_json:
        output.echo(output.to_json({"objects": [one.as_json() for one in found]}, indent=2))
    else:
        for number, one in enumerate(found):
            if number:
                output.echo()
            _show(one)
    if any(not one.accepted for one in found):
        sys.exit(EXIT_BAD_INPUT)


@click.command()
@click.argument(
    "files",
    metavar="MANIFEST...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
)
def init(files: tuple[Path, ...]) -> None:
    """Print a scenario for a revision of Knative, for what KServe makes of an InferenceService, for a Deployment with
    its HorizontalPodAutoscaler, or for a Pod: its pods' containers, limits and timeouts, its autoscaler's settings,
    and a load that makes it scale.

    The scenario is a starting point for you to change; `leftOut` says what is left out. The image is run if the
    engine has it (`emu images load`), else emu's own app stands in. `emu run MANIFEST` runs the same scenario without
    printing it. The values of Secrets are masked: put them in, or give them with --set.

    \b
    Example:
      emu init service.yaml > mine.yaml
      emu run mine.yaml
    """
    from emu.manifests.documents import read_manifests
    from emu.manifests.places import put_places
    from emu.manifests.starting import scenario_of
    from emu.manifests.starting_workload import workload_of
    from emu.scenario.reading import read_scenario

    manifests = read_manifests(files)
    places = partial(put_places, workload=workload_of(manifests), manifests=manifests)
    read_scenario(scenario_of(manifests), "the scenario", places=places)
    output.echo(scenario_of(manifests, masked=True).rstrip("\n"))


def _is_scenario(path: Path) -> bool:
    from emu.files.named import read_text
    from emu.scenario.manifests import kind_of
    from emu.scenario.reading import find_scenario

    name = str(path)
    if not path.exists():
        return "/" not in name and path.suffix not in (".yaml", ".yml", ".json") and bool(find_scenario(name))
    return path.is_file() and kind_of(read_text(path)) == "scenario"


def _explain_scenario(spec: ScenarioSpec, place: str, as_json: bool) -> None:
    from emu.doctor.facts import gather_facts
    from emu.doctor.places import places
    from emu.doctor.requirements import possible_place
    from emu.scenario.reading import needs_docker, variants_of
    from emu.serving.explained import explained, victims

    facts = gather_facts()
    where = place if place != "auto" else possible_place(facts, docker=needs_docker(spec)) or "sandbox"
    cpus = next(one.cpus for one in places(facts) if one.name == where)
    trees: dict[str, Level] = {}
    orders: dict[str, list[Victim]] = {}
    for name, play in (variants_of(spec) or {"": spec}).items():
        on_host = where == "host"
        memory = facts.memory_bytes if on_host else play.sandbox.memory
        swap = facts.swap_bytes if on_host else play.sandbox.swap
        rules = play.node.rules(memory, swap, cpus)
        trees[name], orders[name] = explained(play, rules), victims(play, rules)
    if as_json:
        data = {"scenario": spec.name, "place": where}
        plays = {
            name: one.as_json() | {"killed_first": [asdict(victim) for victim in orders[name]]}
            for name, one in trees.items()
        }
        output.echo(output.to_json(data | ({"tree": plays[""]} if "" in plays else {"variants": plays}), indent=2))
        return
    for number, (name, tree) in enumerate(trees.items()):
        output.echo(f"{chr(10) if number else ''}{spec.name}{f', variant {name}' if name else ''}: {spec.question}")
        _show_level(tree, "", "", max(_widths(tree)))
        _show_order(orders[name])
    if where != "host":
        whose = "virtual machine" if where == "vm" else "sandbox"
        output.echo(f"\nThe {whose}'s kernel keeps some of its memory: MemTotal is a little less in the run.")


def _show_order(order: Sequence[Victim]) -> None:
    """Whom the kernel kills when the node is full; with one container there is none to compare it with."""
    if len(order) < 2:
        return
    output.echo("\nOut of memory, the kernel kills the process with the most points: the memory that it holds, and")
    output.echo(
        "oom_score_adj thousandths of the memory and swap that pods may use. If all hold the same, in this order:"
    )
    rows = [
        [
            f"{one.pod}/{one.container}",
            str(one.oom_score_adj),
            _signed(one.head_start_bytes),
            "-" if one.points_at_request_bytes is None else _signed(one.points_at_request_bytes),
        ]
        for one in order
    ]
    for line in in_columns([["CONTAINER", "OOM_SCORE_ADJ", "POINTS WITHOUT MEMORY", "AT ITS REQUEST"], *rows]):
        output.echo(f"  {line}")


def _signed(size: int) -> str:
    return format_bytes(size) if size >= 0 else f"-{format_bytes(-size)}"


def _widths(level: Level) -> Iterator[int]:
    yield from (len(_shown(value)) for value in level.values)
    for below in level.below:
        yield from _widths(below)


def _shown(value: Value) -> str:
    """A value, and its size for people."""
    if value.value.isdecimal() and (value.file.startswith(("memory.", "node.")) or "." not in value.file):
        size = int(value.value)
        return f"{value.value} ({format_bytes(size)})" if size >= 1024 else value.value
    return value.value


def _show_level(level: Level, lead: str, before: str, room: int) -> None:
    kind = "" if level.kind in ("node", "class") else f"{level.kind} "
    output.echo(f"{lead}{kind}{level.name}{f': {level.note}' if level.note else ''}")
    rule = "│ " if level.below else "  "
    for value in level.values:
        why = "" if value.given or not value.how else f"  [{value.rules or 'every version'}]"
        output.echo(f"{before}{rule} {value.file:16}  {_shown(value):{room}}  {value.how}{why}".rstrip())
    for index, below in enumerate(level.below):
        last = index == len(level.below) - 1
        _show_level(below, f"{before}{'└─' if last else '├─'} ", f"{before}{'   ' if last else '│  '}", room)


def _show(one: Explanation) -> None:
    document = one.document
    verdict = "passed over" if one.passed_over else "accepted" if one.accepted else "refused"
    output.echo(f"{document.title} ({document.node.mark}): {verdict}")
    for refusal in one.refusals:
        output.echo(f"  {refusal.mark}: {refusal.by} refuses it")
        for line in refusal.words.split("\n"):
            output.echo(f"    {line}")
        if refusal.fix:
            output.echo(f"    fix: {refusal.fix}")
    if one.values:
        width = max(len(value.name) for value in one.values)
        room = max(len(value.text) for value in one.values if len(value.text) <= _WIDEST) if one.values else 0
        for value in one.values:
            how = f"  ({value.how})" if value.how else ""
            output.echo(f"  {value.name:{width}}  {value.text:{room}}  {value.source}{how}")
    for note in one.notes:
        where = f"{note.mark}: " if note.mark else ""
        output.echo(f"  note: {where}{note.text}")


_WIDEST = 40
