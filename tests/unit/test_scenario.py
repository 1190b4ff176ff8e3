"""Scenario files that are right: read, changed, resolved, found by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from emu.files.nearest import nearest
from emu.policy.expectations import COUNT, COUNTED, parse_expectation
from emu.report.summary import summarize
from emu.scenario.keys import all_paths, find
from emu.scenario.reading import (
    DEFAULT_SCENARIO,
    BuiltIn,
    builtin_scenarios,
    find_scenario,
    load_scenario,
    read_scenario,
    resolve,
)
from emu.spec import MIB, ScenarioSpec
from emu.spec.values import UNDESCRIBED
from emu.study.study import read_study
from tests.fake_runs import oom

loaded = cache(load_scenario)
"""Built-in scenarios, each read once: several tests ask about all of them."""

SMALL = """\
name: small
question: Does it read?
pod:
  app:
    files:
      - {name: model, size: 1Mi}
load:
  phases:
    - name: steady
      type: constant
      rate: 2
      duration: 5s
    - name: burst
      type: burst
      size: 10
      duration: 1s
"""


def read(text: str, *overrides: str) -> ScenarioSpec:
    """A scenario from text."""
    return read_scenario(text, "small.yaml", overrides)


def extended(text: str) -> ScenarioSpec:
    """The small scenario with more lines at its end."""
    return read(SMALL + text)


def built_ins() -> list[BuiltIn]:
    """The scenarios that come with emu."""
    return builtin_scenarios()


def test_a_scenario_needs_a_name_and_a_question_only() -> None:
    """Everything else has a default: a pod that serves, and no traffic."""
    spec = read("name: least\nquestion: Is that enough?\n")
    assert spec.load.phases == ()
    assert spec.pod.restart_policy == "Always"


def test_sizes_and_durations_are_read_in_their_units() -> None:
    """Sizes become bytes and durations seconds, and `max` no limit."""
    spec = extended(
        "sandbox: {memory: 1.5Gi, swap: 500M}\nrecorder: {interval: 20ms}\n"
        "node: {imageCache: cold}\nexpect: {pod.oom_kills: 0}\n"
    )
    assert spec.sandbox.memory == 1536 * MIB
    assert spec.sandbox.swap == 500_000_000
    assert spec.recorder.interval == pytest.approx(0.02)
    assert spec.pod.queue_proxy.memory.high is None


def test_yaml_1_1_words_for_true_are_understood_where_true_belongs() -> None:
    """`on` and `yes` are text in YAML 1.2; a key that is true or false takes them, and text stays text."""
    spec = read("name: a\nquestion: b\npod: {app: {memory: {oomGroup: off}, env: {DEBUG: on}}}\n")
    assert spec.pod.app.memory.oom_group is False
    assert spec.pod.app.env == {"DEBUG": "on"}


def test_1e3_is_a_number() -> None:
    """`1e3` is a thousand, as YAML 1.2 says, where YAML 1.1 readers give text."""
    assert read("name: a\nquestion: b\nload: {seed: 1e3}\n").load.seed == 1000


def test_anchors_and_aliases_are_expanded() -> None:
    """What is the same twice can be written once."""
    spec = read(
        "name: a\nquestion: b\nload:\n  phases:\n"
        "    - {name: x, type: constant, rate: 1, duration: 1, request: &r {body: 1Ki}}\n"
        "    - {name: y, type: constant, rate: 1, duration: 1, request: *r}\n"
    )
    assert spec.load.phases[1].request.body.size == 1024


def test_expectations_may_be_bare_numbers_and_booleans() -> None:
    """`oom_kills: 0` and `interrupted: false` need no quotes."""
    spec = extended("expect: {pod.oom_kills: 0, interrupted: false}\n")
    assert spec.expect == {"pod.oom_kills": "0", "interrupted": "false"}


@pytest.mark.parametrize(
    ("override", "get", "value"),
    [
        ("pod.timeoutSeconds=7", lambda spec: spec.pod.timeout_seconds, 7),
        (
            "pod.queueProxy.resources.limits.memory=32Mi",
            lambda s: s.pod.queue_proxy.resources.limits.memory,
            32 * MIB,
        ),
        ("pod.queueProxy.memory.swapMax=max", lambda spec: spec.pod.queue_proxy.memory.swap_max, "max"),
        ("load.phases.0.rate=5", lambda spec: spec.load.phases[0].rate, 5.0),
        ("load.phases.steady.rate=5", lambda spec: spec.load.phases[0].rate, 5.0),
        ("load.phases.steady.request.do.sleep=1m30s", lambda spec: spec.load.phases[0].request.do.sleep, 90.0),
        ("pod.app.files.model.size=4Gi", lambda spec: spec.pod.app.files[0].size, 4096 * MIB),
        ("pod.app.env.PORT=8080", lambda spec: spec.pod.app.env, {"PORT": "8080"}),
        ("pod.app.env.A=a: b", lambda spec: spec.pod.app.env, {"A": "a: b"}),
        ("pod.app.env.A='a b'", lambda spec: spec.pod.app.env, {"A": "a b"}),
        ("pod.app.env.A=", lambda spec: spec.pod.app.env, {"A": ""}),
        ("pod.app.image=mine:1", lambda spec: spec.pod.app.image, "mine:1"),
        ("pod.app.image=null", lambda spec: spec.pod.app.image, None),
        ("pod.app.command=[sleep, '60']", lambda spec: spec.pod.app.command, ("sleep", "60")),
        ("expect.containers.app.oom_kills=>= 1", lambda s: s.expect["containers.app.oom_kills"], ">= 1"),
        ("expect.containers.app.oom_kills=1", lambda s: s.expect["containers.app.oom_kills"], "1"),
        ("load.phases=[]", lambda spec: spec.load.phases, ()),
        ("pod.app.resources.limits.memory=", lambda spec: spec.pod.app.resources.limits.memory, None),
        ("name=other", lambda spec: spec.name, "other"),
    ],
)
def test_set_changes_one_value(override: str, get: object, value: object) -> None:
    """`--set` reaches every value: by key, by index or name of a list's item, below keys of the user's own."""
    assert callable(get)
    assert get(read(SMALL, override)) == value


def test_the_last_set_wins() -> None:
    """Changes are made in the order given."""
    assert read(SMALL, "load.seed=1", "load.seed=2").load.seed == 2


def test_set_in_one_alias_leaves_the_other() -> None:
    """An alias is a copy: changing one phase does not change another that shares its lines."""
    spec = read(
        "name: a\nquestion: b\nload:\n  phases:\n"
        "    - {name: x, type: constant, rate: 1, duration: 1, request: &r {body: 1Ki}}\n"
        "    - {name: y, type: constant, rate: 1, duration: 1, request: *r}\n",
        "load.phases.y.request.body=2Ki",
    )
    assert [phase.request.body.size for phase in spec.load.phases] == [1024, 2048]


@pytest.mark.parametrize("builtin", built_ins(), ids=lambda builtin: builtin.name)
def test_what_is_resolved_reads_as_the_same_scenario(builtin: BuiltIn, tmp_path: Path) -> None:
    """The scenario.yaml of a run directory can be run again and means what was run."""
    spec = loaded(builtin.name)
    path = tmp_path / "scenario.yaml"
    path.write_text(resolve(spec), encoding="utf-8")
    assert read_scenario(path.read_text(), str(path)) == spec


@pytest.mark.parametrize(
    "text", ["010", "1e3", "on", "null", "1:30", "a: b", "é\U0001f600", "", " x", "# no", "'", "\n"]
)
def test_resolving_keeps_every_text(text: str) -> None:
    """Text that a YAML reader could take for a number or a comment stays text."""
    spec = ScenarioSpec.model_validate(
        {"name": "a", "question": "b", "pod": {"app": {"env": {"A": text}, "command": ["x", text]}}}
    )
    assert read(resolve(spec)) == spec


def test_cpu_survives_being_resolved() -> None:
    """Half a core stays half a core."""
    spec = read("name: a\nquestion: b\npod: {app: {resources: {limits: {cpu: 0.5}}}}\n")
    assert read(resolve(spec)).pod.app.resources.limits.cpu == 500


@pytest.mark.parametrize("builtin", built_ins(), ids=lambda builtin: builtin.name)
def test_a_built_in_scenario_asks_answers_and_is_short(builtin: BuiltIn) -> None:
    """Each has its file's name, asks its question in the first comment and in `question`, expects an answer, and
    loads for less than half a minute, but for phases that end by what happens.
    """
    text = builtin.path.read_text(encoding="utf-8")
    spec = loaded(builtin.name)
    prose = re.match(r"# yaml-language-server: \$schema=\.\./docs/scenario\.schema\.json\n#\n((#.*\n)+)", text)
    assert prose is not None
    assert "?" in prose[1]
    assert spec.name == builtin.name
    assert spec.question == builtin.question
    assert spec.question.endswith("?")
    assert spec.expect
    assert sum(phase.duration for phase in spec.load.phases if phase.until is None) <= 25


def test_the_default_scenario_comes_first() -> None:
    """`emu scenarios` begins with what `make run-scenario` runs."""
    assert built_ins()[0].name == DEFAULT_SCENARIO


def test_bounded_differs_from_oom_in_one_value() -> None:
    """The pair compares containerConcurrency and nothing else, so that the difference is its doing."""
    oom, bounded = load_scenario("queue-proxy-oom"), load_scenario("queue-proxy-bounded")
    assert bounded.load == oom.load
    assert bounded.pod == oom.pod.model_copy(update={"container_concurrency": 10})


def test_page_cache_scenarios_scale_to_gigabytes() -> None:
    """Their sizes are free: nothing else in them depends on these."""
    spec = load_scenario("page-cache-reread", ["pod.app.resources.limits.memory=1Gi", "pod.app.files.model.size=4Gi"])
    assert spec.pod.app.files[0].size == 4 * spec.pod.app.resources.limits.memory  # type: ignore[operator]


def test_a_name_is_a_built_in_scenario_and_a_path_a_file(tmp_path: Path) -> None:
    """`emu run app-oom` needs no path; a path is taken as it is."""
    assert find_scenario("app-oom").name == "app-oom.yaml"
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_scenario(str(path)).name == "small"


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Some editors write one; it is no part of the text."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_scenario(str(path)).name == "small"


def test_every_key_is_found_by_its_path() -> None:
    """The tree of keys leads to each key, through lists by index."""
    for path, key in all_paths():
        steps = [step for part in path.split(".") for step in ((part[:-2], 0) if part.endswith("[]") else (part,))]
        if path.endswith("[]"):
            steps.pop()
        assert find(steps) == key


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("memroy", "memory"),
        ("swap_max", "swapMax"),
        ("SWAPMAX", "swapMax"),
        ("container-concurrency", "containerConcurrency"),
        ("zzz", None),
    ],
)
def test_nearest_knows_slips_and_other_spellings(word: str, meant: str | None) -> None:
    """snake_case, dashes and a few wrong letters lead to the key that was meant."""
    assert nearest(word, ["memory", "swapMax", "containerConcurrency"]) == meant


@pytest.fixture(scope="module")
def summary_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run's summary.json."""
    return json.dumps(summarize(read_study(oom(tmp_path_factory.mktemp("oom") / "run"))))


@pytest.mark.parametrize("builtin", built_ins(), ids=lambda builtin: builtin.name)
def test_a_built_in_scenario_expects_figures_that_a_summary_has(builtin: BuiltIn, summary_text: str) -> None:
    """No expectation can fail because nothing has its name."""
    summary = json.loads(summary_text)
    spec = loaded(builtin.name)
    summary["containers"] |= dict.fromkeys(spec.pod.containers, summary["containers"]["app"])
    for pod in spec.pods:
        containers = dict.fromkeys(pod.containers, summary["containers"]["app"])
        summary["pods"][pod.name] = {**summary["pod"], "containers": containers, "requests": summary["requests"]}
    for name, text in spec.expect.items():
        checks = parse_expectation(name, text).checks
        for figure in (name, *(operand.name for _, operand in checks if operand.name is not None)):
            found, steps = summary, figure.split(".")
            if steps[0] == "variants":
                steps = steps[2:]
            if steps[0] in ("phases", "working_set"):
                found, steps = next(iter(summary[steps[0]].values())), steps[2:]
                steps = [step.rpartition("/")[2] for step in steps]
            for step in takewhile(lambda step: step not in COUNTED, steps):  # below those anything may be
                if step == COUNT or not found or isinstance(found, int | str):
                    break
                if isinstance(found, list):
                    found = found[0]
                else:
                    assert step in found or step.isdigit(), figure
                    found = found.get(step)


def test_what_is_read_in_the_sandbox_was_looked_at_before() -> None:
    """There neither the report, which knows the figures that expectations name, nor the keys' descriptions take time
    to import; the scenario is the same.
    """
    text = find_scenario(DEFAULT_SCENARIO).read_text(encoding="utf-8")
    code = """
import sys
from emu.scenario.reading import read_scenario
spec = read_scenario(sys.stdin.read(), "it", expectations=False)
loaded = sorted(name for name in sys.modules if name.startswith("emu.report."))
print(spec.model_dump_json(), type(spec).model_fields["name"].description, loaded, sep="\\n")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2], input=text, env={**os.environ, UNDESCRIBED: "1"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    spec, description, loaded = ended.stdout.splitlines()
    assert spec == read_scenario(text, "it").model_dump_json()
    assert (description, loaded) == ("None", "[]")
