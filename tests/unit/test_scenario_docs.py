"""What docs/ says of scenario files is what the code does."""

from __future__ import annotations

import json
import re

from emu.cli import docs
from emu.scenario.keys import all_paths
from emu.scenario.reading import builtin_scenarios, read_scenario

MANUAL = (docs.DOCS / "scenario-file.md").read_text(encoding="utf-8")


def test_made_files_are_up_to_date() -> None:
    """The schema and the tables of the manual were made from the models as they are: `python -m emu.cli.docs`."""
    assert docs.stale(docs.scenario_files()) == []


def test_every_key_says_what_it_means() -> None:
    """A key has a sentence, which the manual has as well."""
    meant: dict[str, list[str]] = {}
    for path, key in all_paths():
        meant.setdefault(key.meaning, []).append(path)
    assert sum(map(len, meant.values())) > 1000
    assert {meaning: paths for meaning, paths in meant.items() if not meaning.endswith(".")} == {}
    manual = MANUAL.replace("\\|", "|")
    assert {meaning: paths for meaning, paths in meant.items() if meaning not in manual} == {}


def test_the_manuals_example_is_a_scenario() -> None:
    """Whoever copies the example from the manual can run it."""
    example = re.search(r"```yaml\n(# yaml-language-server.*?)```", MANUAL, re.DOTALL)
    assert example is not None
    assert read_scenario(example[1], "docs/scenario-file.md").name == "half-the-memory"


def test_the_manuals_set_options_work() -> None:
    """So do its --set lines."""
    found = re.findall(r"^emu run (\S+)(.*)$", MANUAL, re.MULTILINE)
    texts = {builtin.name: builtin.path.read_text(encoding="utf-8") for builtin in builtin_scenarios()}
    for name, options in found:
        overrides = re.findall(r"--set (?:'([^']+)'|(\S+))", options)
        assert overrides
        read_scenario(texts[name], name, [quoted or plain for quoted, plain in overrides])


def test_the_schema_knows_every_key() -> None:
    """An editor offers each key with its meaning, and marks those that there are not."""
    schema = json.loads((docs.DOCS / "scenario.schema.json").read_text(encoding="utf-8"))
    mappings = [schema, *schema["$defs"].values()]
    described = {
        (name, entry.get("description")) for mapping in mappings for name, entry in mapping["properties"].items()
    }
    for path, key in all_paths():
        assert (key.name, key.meaning) in described, path
    assert all(mapping["additionalProperties"] is False for mapping in mappings)


def test_the_schema_takes_sizes_and_durations_as_people_write_them() -> None:
    """A size is text or a whole number to an editor, not a number alone."""
    schema = json.loads(docs.schema_json())
    memory = schema["$defs"]["ResourceList"]["properties"]["memory"]
    assert {"string", "integer"} <= set(re.findall(r'"type": "(\w+)"', json.dumps(memory)))


def test_the_commands_page_is_up_to_date() -> None:
    """docs/cli.md is what --help says, of every command; `python -m emu.cli.docs` does it."""
    assert docs.stale(docs.cli_files()) == []
