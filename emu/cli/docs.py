"""`python -m emu.cli.docs`: writes the parts of docs/ that are made from the code. `--check` writes nothing.

docs/scenario.schema.json and the tables of docs/scenario-file.md come from the models of emu.spec, docs/cli.md from
the commands' --help. A test fails when one of them is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from emu.machine import output, toplevel
from emu.messages.work import FOREVER
from emu.scenario import keys
from emu.spec import NO_LIMIT, Model, ScenarioSpec
from emu.units import format_bytes

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA_ID = "urn:pod-emu:scenario"
"""A name, not an address: the schema is where emu is (`emu schema`)."""
BEGIN = "<!-- begin: made by `python -m emu.cli.docs` from emu/spec; edit there -->"
END = "<!-- end -->"


def schema_json() -> str:
    """JSON Schema of a scenario file, for editors."""
    schema = ScenarioSpec.model_json_schema(by_alias=True, mode="validation")
    names = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    head = {**names, **schema, "title": "emu scenario"}
    return json.dumps(_plain(head), indent=2, ensure_ascii=False) + "\n"


def key_tables() -> str:
    """A table for every mapping of a scenario file: key, type, default, meaning."""
    return "\n".join(_tables())


def scenario_file_md(text: str) -> str:
    """docs/scenario-file.md with its generated part regenerated."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{key_tables()}\n{END}{after}"


def cli_md(group: click.Command) -> str:
    """docs/cli.md: the --help of every command."""
    parts = ["# Commands", "", "Made from `--help` by `python -m emu.cli.docs`; edit the commands.", ""]
    for path, help_text in _helps(group, "emu"):
        parts += [f"{'#' * (path.count(' ') + 2)} {path}", "", "```text", help_text.rstrip(), "```", ""]
    return "\n".join(parts)


def scenario_files() -> dict[Path, str]:
    """The files made from the models, with the text that they should have."""
    by_hand = DOCS / "scenario-file.md"
    return {
        DOCS / "scenario.schema.json": schema_json(),
        by_hand: scenario_file_md(by_hand.read_text(encoding="utf-8")),
    }


def cli_files() -> dict[Path, str]:
    """The file made from the commands, with the text that it should have."""
    # Imported here: the whole of emu hangs on the commands, and the models' files need none of it.
    from emu.cli.main import all_commands
    from emu.cli.main import main as group

    all_commands()
    return {DOCS / "cli.md": cli_md(group)}


def stale(files: dict[Path, str]) -> list[Path]:
    """Those of the files that are not as they should be."""
    return [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def _tables() -> Iterator[str]:
    first: dict[type[Model], str] = {ScenarioSpec: ""}
    for path, key in keys.all_paths():
        if key.below is not None:
            first.setdefault(key.below, path)
    for model, path in first.items():
        yield from (f"### `{path}`" if path else "### At the top", "", " ".join((model.__doc__ or "").split()), "")
        yield from ("| key | type | default | meaning |", "|---|---|---|---|")
        for key in keys.keys_of(model).values():
            own = f"{path}.{key.name}{'[]' if key.many else ''}".removeprefix(".")
            meaning = key.meaning.replace("|", "\\|")
            if key.below is not None and first[key.below] != own:
                meaning += f" Its keys are those of `{first[key.below]}`."
            yield f"| `{key.name}` | {_type(key)} | {_default(key)} | {meaning} |"
        yield ""


def _type(key: keys.Key) -> str:
    return "list of mappings" if key.below and key.many else key.kind


def _default(key: keys.Key) -> str:
    if key.required:
        return "required"
    if key.below is not None or key.default is None:
        return {
            f"size or `{NO_LIMIT}`": f"`{NO_LIMIT}`",
            f"size, or `{NO_LIMIT}`": "the kubelet's",
            f"duration or `{FOREVER}`": f"`{FOREVER}`",
        }.get(key.kind, "")
    if key.default in ((), {}, ""):
        return "none"
    if isinstance(key.default, bool):
        return f"`{str(key.default).lower()}`"
    if key.kind.startswith("size") and key.default:
        return f"`{format_bytes(key.default).replace('iB', 'i').replace(' ', '')}`"
    if key.kind.startswith("duration"):
        return f"`{key.default:g}s`" if key.default else "`0`"
    return f"`{key.default:g}`" if isinstance(key.default, float) else f"`{key.default}`"


def _plain(value: Any) -> Any:
    """Descriptions without the line breaks of the source."""
    if isinstance(value, dict):
        return {
            key: " ".join(below.split()) if key == "description" and isinstance(below, str) else _plain(below)
            for key, below in value.items()
        }
    return [_plain(below) for below in value] if isinstance(value, list) else value


def _helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    names = command.context_settings["help_option_names"]
    context = click.Context(
        command, info_name=path, max_content_width=100, terminal_width=100, help_option_names=names
    )
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            if not below.hidden:
                yield from _helps(below, f"{path} {name}")


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if a file is stale.")
def main(check: bool) -> None:
    """Write the generated parts of docs/."""
    found = 0
    for files in (scenario_files, cli_files):
        made = files()
        for path in stale(made):
            found += 1
            output.echo(f"{'stale: ' if check else 'wrote '}{path}")
            if not check:
                path.write_text(made[path], encoding="utf-8")
    if check and found:
        click.get_current_context().exit(1)


if __name__ == "__main__":
    sys.exit(toplevel.run(main))
