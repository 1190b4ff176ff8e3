"""`python -m emu.conformance.manifests DIR`: manifests against a table of what must happen with them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from emu.conformance.expected import Row, faults, rows
from emu.errors import EXIT_OK, EXIT_UNMET, EmuError
from emu.files.named import read_text
from emu.files.yamlfile import parse_documents
from emu.machine import output, toplevel
from emu.manifests.documents import Manifests, read_manifests
from emu.manifests.explaining import explain

TABLE = "expected.md"


def play(directory: Path, row: Row) -> list[str]:
    """The differences from the rows; a manifest that cannot be read is a fault too."""
    files = sorted(directory.glob(f"{row.number}[-_]*.y*ml"))
    if not files:
        return [f"no manifest in {directory} begins with {row.number}-"]
    try:
        manifests = read_manifests(files)
        return faults(row, explain(_with_features(manifests, row.features)))
    except EmuError as error:
        return [error.what, error.why]


def _with_features(manifests: Manifests, features: tuple[str, ...]) -> Manifests:
    if features:
        flags = "".join(f"\n  {name}: Enabled" for name in features)
        text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-features}}\ndata:{flags}\n"
        manifests.maps["config-features"] = parse_documents(text, TABLE)[0]
    return manifests


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@output.to_a_reader()
def main(directory: Path) -> int:
    """Play the manifests of a directory: its expected.md has a table with a row for each, `| NN title | accepted or
    refused | words |`, about the file NN-….yaml. Each phrase in backticks and each number of the words must be in
    what emu says of the manifest; a refusal must have no line more.

    The exit status is 1 if any fails, 2 if there is no such table.
    """
    played = list(rows(read_text(directory / TABLE, "table of what must happen")))
    if not played:
        raise EmuError(f"{directory / TABLE} has no rows", "a row is `| 01 title | accepted | words |`", "write some")
    failed = 0
    for row in played:
        wrong = play(directory, row)
        failed += bool(wrong)
        output.echo(f"{'FAILED' if wrong else 'passed'}  {row.name}: {row.verdict}")
        for line in wrong:
            output.echo(f"        {line}")
    output.echo(f"{len(played) - failed} of {len(played)} passed, {failed} failed")
    return EXIT_UNMET if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(toplevel.run(lambda: main(standalone_mode=False)))
