"""`emu scenarios`: the built-in scenarios, and tab completion for scenarios and `--set`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem
from rich.table import Table

from emu.errors import EmuError
from emu.files.named import read_text
from emu.files.yamlfile import Node, parse
from emu.machine import output
from emu.machine.paths import SCHEMA, schema_file
from emu.scenario import keys
from emu.scenario.reading import builtin_scenarios, find_scenario
from emu.spec import Model, ScenarioSpec


def complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in scenarios whose names begin so, with their questions; else files."""
    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    found = [
        CompletionItem(builtin.name, help=builtin.question)
        for builtin in builtin_scenarios()
        if builtin.name.startswith(incomplete)
    ]
    return found or [CompletionItem(incomplete, type="file")]


def complete_set(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys that can follow in a `--set` path: `pod.` before more keys, `pod.timeoutSeconds=` before a value."""
    path, equals, begun = incomplete.partition("=")
    *before, last = path.split(".")
    root = _scenario_of(ctx)
    if equals:
        key = _walk([*before, last], root)[1]
        choices = key.choices if key is not None else ()
        return [CompletionItem(f"{path}={choice}") for choice in choices if choice.startswith(begun)]
    lead = "".join(f"{step}." for step in before)
    return [
        CompletionItem(f"{lead}{name}{end}", help=meaning)
        for name, end, meaning in _next_steps(before, root)
        if name.startswith(last)
    ]


def complete_variant(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The variants of the scenario typed before."""
    root = _scenario_of(ctx)
    variants = root.child("variants") if root is not None else None
    names = variants.value if variants is not None and isinstance(variants.value, dict) else ()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _scenario_of(ctx: click.Context) -> Node | None:
    # An option that still lacks its value ends the parsing; what was given before it is left in `args` then.
    name = ctx.args[0] if ctx.args else next(iter(ctx.params.get("scenarios") or ()), None)
    try:
        return parse(read_text(path), str(path)) if name and (path := find_scenario(str(name))) else None
    except EmuError:
        return None


def _next_steps(before: list[str], root: Node | None) -> list[tuple[str, str, str]]:
    model, key, node = _walk(before, root)
    if key is not None and key.many:
        items = node.value if node is not None and isinstance(node.value, list) else []
        names = [str(name.value) if (name := item.child("name")) else str(at) for at, item in enumerate(items)]
        return [(name, "." if key.below else "=", "") for name in names]
    below = keys.keys_of(model) if model is not None else {}
    return [(key.name, "." if key.below or key.free or key.many else "=", key.meaning) for key in below.values()]


def _walk(steps: list[str], root: Node | None) -> tuple[type[Model] | None, keys.Key | None, Node | None]:
    """Where the steps lead: the model of the mapping there, or the key of the value or list, and the file's node."""
    model: type[Model] | None = ScenarioSpec
    key: keys.Key | None = None
    node = root
    for step in steps:
        if key is not None and key.many:
            node, model, key = _item(node, step), key.below, None
            continue
        key = keys.keys_of(model).get(step) if model is not None else None
        model = key.below if key is not None and not key.many else None
        node = node.child(step) if node is not None else None
    return model, key, node


def _item(node: Node | None, step: str) -> Node | None:
    items = node.value if node is not None and isinstance(node.value, list) else []
    named = (item for item in items if (name := item.child("name")) is not None and name.value == step)
    return next(named, items[int(step)] if step.isdecimal() and int(step) < len(items) else None)


def _pointing(text: str) -> str:
    """The text with its first line naming the schema where it is on this machine, so that an editor finds it whatever
    folder the text is put into.
    """
    return text.replace(f"$schema=../docs/{SCHEMA}", f"$schema={schema_file()}", 1)


@click.command()
def schema() -> None:
    """Print the JSON Schema of scenario files; editors complete and check them with it.

    \b
    Example:
      emu schema > scenario.schema.json
    """
    output.echo(schema_file().read_text(encoding="utf-8").rstrip("\n"))


@click.command()
@click.argument("name", required=False, shell_complete=complete_scenario)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def scenarios(name: str | None, as_json: bool) -> None:
    """List the built-in scenarios with their questions; with NAME, print that scenario's file."""
    if name is not None:
        path = find_scenario(name)
        text = _pointing(read_text(path))
        output.echo(output.to_json({"name": name, "path": str(path), "text": text}) if as_json else text.rstrip("\n"))
        return
    found = builtin_scenarios()
    if as_json:
        rows = [{"name": entry.name, "path": str(entry.path), "question": entry.question} for entry in found]
        output.echo(output.to_json({"scenarios": rows}, indent=2))
        return
    table = Table("scenario", "question", box=None, pad_edge=False)
    for entry in found:
        table.add_row(entry.name, entry.question)
    output.console().print(table)
    output.echo("\nemu scenarios NAME prints one; emu run NAME runs it.")
