"""`emu scenarios` and tab completion."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from emu.cli.main import all_commands, main
from emu.cli.scenarios import complete_scenario, complete_set, complete_variant, scenarios, schema
from emu.errors import EmuError
from emu.scenario.reading import builtin_scenarios

PARAM = click.Option(["--set"])
all_commands()  # as `emu` does: a command that is called alone has its help option by both names too


def completed(incomplete: str, scenario: str | None = None) -> list[str]:
    """What `--set` completes to."""
    context = click.Context(click.Command("run"))
    context.params["scenarios"] = () if scenario is None else (scenario,)
    return [item.value for item in complete_set(context, PARAM, incomplete)]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: it}\nspec: {containers: [{name: c, image: x}]}\n"


def test_the_list_has_every_scenario_with_its_question() -> None:
    """For people: a table."""
    result = CliRunner().invoke(scenarios, [], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for builtin in builtin_scenarios():
        assert builtin.name in result.output
        assert builtin.question in result.output


def test_json_is_one_document() -> None:
    """For programs: one JSON document and nothing else."""
    rows = json.loads(CliRunner().invoke(scenarios, ["--json"]).output)["scenarios"]
    assert [row["name"] for row in rows] == [builtin.name for builtin in builtin_scenarios()]
    assert all(row["question"] for row in rows)


def test_a_name_prints_its_file() -> None:
    """To be saved, changed and run; its first line points an editor to the schema, wherever it is saved."""
    result = CliRunner().invoke(scenarios, ["app-oom"])
    path = next(builtin.path for builtin in builtin_scenarios() if builtin.name == "app-oom")
    first, _, rest = result.output.partition("\n")
    assert rest == path.read_text(encoding="utf-8").partition("\n")[2]
    assert json.loads(Path(first.partition("$schema=")[2]).read_text())["title"] == "emu scenario"


def test_the_schema_is_printed() -> None:
    """It has a name of its own, so that editors can distinguish it from others."""
    document = json.loads(CliRunner().invoke(schema, []).output)
    assert document["$id"] == "urn:pod-emu:scenario"
    assert "pod" in document["properties"]


def test_an_unknown_name_is_an_error() -> None:
    """With the nearest one."""
    result = CliRunner().invoke(scenarios, ["app-omm"])
    assert isinstance(result.exception, EmuError)
    assert "app-oom" in result.exception.fix


def test_scenario_names_complete_with_their_questions() -> None:
    """The shell shows the question beside the name."""
    items = complete_scenario(click.Context(click.Command("run")), PARAM, "queue")
    assert {"queue-proxy-oom", "queue-proxy-bounded"} <= {item.value for item in items}
    assert all(item.value.startswith("queue") for item in items)
    assert all(item.help for item in items)


@pytest.mark.parametrize("incomplete", ["./mine", "mine"])
def test_what_is_no_built_in_name_completes_to_files(incomplete: str) -> None:
    """A scenario may be a file of one's own."""
    items = complete_scenario(click.Context(click.Command("run")), PARAM, incomplete)
    assert [item.type for item in items] == ["file"]


@pytest.mark.parametrize(
    ("incomplete", "scenario", "wanted"),
    [
        ("pods.", "neighbours", ["pods.greedy.", "pods.quiet."]),
        ("po", None, ["pod.", "pods."]),
        ("pod.ti", None, ["pod.timeoutSeconds="]),
        (
            "pod.queueProxy.resources.",
            None,
            ["pod.queueProxy.resources.requests.", "pod.queueProxy.resources.limits."],
        ),
        ("load.phases.", "queue-proxy-oom", ["load.phases.steady."]),
        ("load.phases.", None, []),
        ("load.phases.steady.ra", "queue-proxy-oom", ["load.phases.steady.rate=", "load.phases.steady.rateTo="]),
        ("pod.app.files.", "page-cache-fits", ["pod.app.files.model."]),
        ("pod.restartPolicy=N", None, ["pod.restartPolicy=Never"]),
        ("load.phases.steady.type=b", "queue-proxy-oom", ["load.phases.steady.type=burst"]),
        ("nonsense.x.", None, []),
        ("pod.app.env.X", "no-such-scenario", []),
    ],
)
def test_set_paths_complete(incomplete: str, scenario: str | None, wanted: list[str]) -> None:
    """Keys complete step by step, phases and files by their names in the scenario typed before, then values."""
    assert [value for value in completed(incomplete, scenario) if not value.endswith("rates.")] == wanted


@pytest.mark.parametrize(
    ("incomplete", "scenario", "wanted"),
    [("a", "idle-policies", ["at-once", "after-grace"]), ("", "app-oom", []), ("", None, [])],
)
def test_variants_complete(incomplete: str, scenario: str | None, wanted: list[str]) -> None:
    """Those of the scenario typed before."""
    context = click.Context(click.Command("run"))
    context.params["scenarios"] = () if scenario is None else (scenario,)
    assert [item.value for item in complete_variant(context, PARAM, incomplete)] == wanted


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        (["run", "idle-policies", "--variant"], "", "never"),
        (["run", "--json", "idle-policies", "--variant"], "re", "reclaim"),
        (["run", "idle-policies", "--set"], "load.phases.", "load.phases.trace."),
        (["run", "--set", "load.seed=5", "page-cache-fits", "--set"], "load.phases.", "load.phases.first."),
    ],
)
def test_what_is_typed_before_is_known(words: list[str], incomplete: str, found: str) -> None:
    """Variants and phases are those of the scenario on the line, not of the default one."""
    names = [
        item.value for item in ShellComplete(main, {}, "emu", "_EMU_COMPLETE").get_completions(words, incomplete)
    ]
    assert found in names, names


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("name: a\nquestion: b?\nload: {phases: [{name: c, type: constant, rate: 1, duration: 1s}]}\n", "a: b?"),
        (POD, "Pod it ("),
        ("a: b\n", "emu: /dev/fd/"),
    ],
)
def test_explain_reads_a_scenario_or_a_manifest_from_a_pipe(text: str, begins: str) -> None:
    """Once; what is neither is an error."""
    out, into = os.pipe()
    try:
        os.write(into, text.encode())
        os.close(into)
        result = CliRunner().invoke(main, ["explain", f"/dev/fd/{out}"])
    finally:
        os.close(out)
    assert result.output.startswith(begins)


def test_explain_says_which_of_several_files_is_a_scenario(tmp_path: Path) -> None:
    """Wherever it stands among manifests."""
    path = tmp_path / "it.yaml"
    path.write_text(POD, encoding="utf-8")
    for words in ([str(path), "app-oom"], ["app-oom", str(path)]):
        result = CliRunner().invoke(main, ["explain", *words])
        assert result.exit_code == 2
        assert result.output.startswith("emu: a scenario is explained by itself\n")
        assert "2 files were given, and app-oom is a scenario" in result.output


def test_of_several_workloads_each_is_named_with_its_place(tmp_path: Path) -> None:
    """One file may have both."""
    path = tmp_path / "it.yaml"
    path.write_text(f"{POD}---\n{POD}", encoding="utf-8")
    for command in ("init", "run"):
        result = CliRunner().invoke(main, [command, str(path)])
        assert result.exit_code == 2
        assert f"Pod it ({path}:1:1), Pod it ({path}:6:1)" in result.output
        assert "fix: keep one of them" in result.output
