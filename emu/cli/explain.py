"""`emu explain` and `emu init`: what becomes of manifests. `emu.cli.main` adds them to its group."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emu.errors import EXIT_BAD_INPUT
from emu.machine import output

if TYPE_CHECKING:
    from emu.manifests.explanation import Explanation


@click.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def explain(files: tuple[Path, ...], as_json: bool) -> None:
    """Explain manifests: what KServe, Knative and Kubernetes make of them, with the source of every value.

    A file may hold several documents: Knative's Service, Configuration and Revision, KServe's InferenceService and
    ServingRuntime, Deployment, HorizontalPodAutoscaler and Pod. ConfigMaps among them (config-autoscaler,
    config-defaults, config-deployment, config-features, inferenceservice-config) are the cluster's. What a webhook
    refuses is quoted in its words, with file, line and column; what is accepted and ignored is a note. Nothing is
    started.

    The exit status is 2 if anything is refused.

    \b
    Examples:
      emu explain service.yaml
      emu explain inferenceservice.yaml
      emu explain service.yaml config-features.yaml
      kubectl get ksvc hello -o yaml | emu explain -
      emu explain --json service.yaml | jq '.objects[].values'
    """
    from emu.manifests.explaining import explain_files

    found = explain_files(files)
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
    """Print a scenario for one pod of a Knative revision: its containerConcurrency, timeouts, requests and limits,
    queue-proxy's resources, and a load that comes from its target.

    It is a beginning, to be changed. The image is not run: emu's own app stands in.

    \b
    Example:
      emu init service.yaml > mine.yaml
      emu run mine.yaml
    """
    from emu.manifests.documents import read_manifests
    from emu.manifests.starting import scenario_of
    from emu.scenario.reading import read_scenario

    text = scenario_of(read_manifests(files))
    read_scenario(text, "the scenario")
    output.echo(text.rstrip("\n"))


def _show(one: Explanation) -> None:
    document = one.document
    verdict = "accepted" if one.accepted else "refused"
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
