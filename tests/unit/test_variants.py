"""Variants of a scenario: what each of them is, and an error in one names its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emu.errors import EXIT_BAD_INPUT, EmuError
from emu.files.profiles import load_profile
from emu.scenario.reading import builtin_scenarios, load_scenario, read_scenario, resolve, variants_of
from emu.spec.load import LoadModel

TEXT = """\
name: idle
question: Is it?
load:
  phases:
    - {name: a, type: constant, rate: 1, duration: 2}
variants:
  never:
  at-once:
    pod.freezer.grace: 0s
    pod.freezer.reclaim: [{amount: all, after: 2s}]
    pod.app.env.MODE: fast
expect:
  requests.by_status.200: "== requests.sent"
  variants.at-once.pod.cpu_s: "<= 2 * variants.never.pod.cpu_s"
"""


def test_a_variant_is_the_scenario_with_its_changes() -> None:
    """Each is a scenario of its own; the others' changes and the comparisons are none of its affair."""
    plays = variants_of(read_scenario(TEXT, "f.yaml"))
    assert list(plays) == ["never", "at-once"]
    assert (plays["never"].name, plays["never"].pod.freezer) == ("idle-never", None)
    freezer = plays["at-once"].pod.freezer
    assert freezer is not None and (freezer.grace, freezer.reclaim[0].after) == (0.0, 2.0)
    assert plays["at-once"].pod.app.env == {"MODE": "fast"}
    for play in plays.values():
        assert play.variants == {}
        assert list(play.expect) == ["requests.by_status.200"]


def test_a_scenario_without_variants_has_none() -> None:
    """It is played as it is."""
    assert variants_of(load_scenario("app-oom")) == {}


def test_what_is_resolved_reads_as_the_same_variants() -> None:
    """The record of a run can be run again."""
    spec = read_scenario(TEXT, "f.yaml")
    again = read_scenario(resolve(spec), "again.yaml")
    assert variants_of(again) == variants_of(spec)


def test_set_changes_what_variants_begin_with_or_one_of_them() -> None:
    """A variant's own change has the last word, unless `--set` names the variant."""
    spec = read_scenario(TEXT, "f.yaml", ["pod.freezer.method=cgroup", "pod.freezer.grace=7s"])
    freezers = [play.pod.freezer for play in variants_of(spec).values()]
    assert [(one.method, one.grace) for one in freezers if one] == [("cgroup", 7.0), ("cgroup", 0.0)]
    named = read_scenario(TEXT, "f.yaml", ["variants.at-once.pod.freezer.grace=4s", "variants.more={}"])
    plays = variants_of(named)
    assert plays["at-once"].pod.freezer is not None and plays["at-once"].pod.freezer.grace == 4.0
    assert "more" in plays


def test_a_footprint_of_a_file_goes_with_the_variant(tmp_path: Path) -> None:
    """The record holds it whole, so that it can be run again anywhere."""
    (tmp_path / "mine.json").write_text(json.dumps({**load_profile("knative-1.23").to_data(), "name": "mine"}))
    text = TEXT.replace("pod.app.env.MODE: fast", "pod.queueProxy.footprint: mine.json")
    again = read_scenario(resolve(read_scenario(text, str(tmp_path / "it.yaml"))), "elsewhere.yaml")
    plays = variants_of(again)
    assert plays["never"].pod.queue_proxy.footprint == "own"
    assert isinstance(footprint := plays["at-once"].pod.queue_proxy.footprint, dict)
    assert footprint["name"] == "mine"


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("variants.at-once.pod.freezr=1", "pod.freezr: there is no key 'freezr'"),
        ("variants.at-once=5", "variants.at-once: 5 instead of a mapping"),
        ("variants.at-once.pod.freezer.grace=soon", "pod.freezer.grace: 'soon' is not a duration (in variant"),
    ],
)
def test_a_wrong_set_of_a_variant_is_reported(setting: str, what: str) -> None:
    """As any other `--set`."""
    with pytest.raises(EmuError) as caught:
        read_scenario(TEXT, "f.yaml", [setting])
    assert what in str(caught.value)
    assert "--set variants.at-once" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "what", "fix"),
    [
        ("freezer.grace", "freezr.grace", "f.yaml:9:5: pod.freezr.grace: there is no key 'freezr'", "pod.freezer"),
        ("grace: 0s", "grace: soon", "f.yaml:9:24: pod.freezer.grace: 'soon' is not a duration (in variant", "1m30s"),
        ("pod.freezer.grace", "sandbox.memory", "f.yaml:9:5: sandbox.memory: no variant can change that", "top"),
        ("pod.freezer.grace", "foo.bar", "f.yaml:9:5: foo.bar: there is no key 'foo'", "correct"),
        ("pod.app.env.MODE", "load.phases.b.rate", "f.yaml:11:5: load.phases.b.rate: `load.phases` has no", "one of"),
        ("all, after", "alles, after", "f.yaml:10:36: pod.freezer.reclaim.0.amount: 'alles'", "write all"),
        ("  never:", "  never: 5", "f.yaml:7:10: variants.never: 5 instead of a mapping", "PATH: VALUE"),
        ("  never:", "  Never:", "f.yaml:7:3: variants.Never", ""),
        ("name: idle", f"name: {'i' * 60}", "f.yaml:7:3: variants.never: 'never' is too long", "shorten"),
        ("* variants.never", "* variants.nevr", "there is no 'nevr' in variants", "never"),
        ("variants.never.pod.", "variants.never.podd.", "'variants.never.podd.cpu_s' is not", "never.pod."),
        ("* variants.never.pod.", "* pod.", "it compares one variant with all of them", "variants.NAME."),
        ("requests.by_status", "request.by_status", "'request.by_status.200' is not a name", "requests.by"),
        ("env.MODE: fast", "env.MODE: fast\n    expect.podd.x: '1'", "'podd.x' is not a name in", "pod.x"),
        ("variants.at-once.pod", "variants.at-once.containers.ap", "there is no 'ap' in containers", "app"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_its_place(old: str, new: str, what: str, fix: str) -> None:
    """File, line and key of the change itself, the cause, and a way out; before anything is started."""
    assert old in TEXT
    with pytest.raises(EmuError) as caught:
        read_scenario(TEXT.replace(old, new), "f.yaml")
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.why
    assert caught.value.exit_status == EXIT_BAD_INPUT


LOAD_IS_THE_QUESTION = {"eviction", "warm-up-policies"}
"""Variants of the one differ in how fast memory runs out, of the other in what a neighbour needs meanwhile."""


def test_variants_meet_the_same_arrivals() -> None:
    """What a built-in scenario compares is the policy: load and seed are the scenario's. A warm-up may wait for
    something else, and so may a phase that lasts until something happens.
    """

    def compared(load: LoadModel, other: LoadModel) -> LoadModel:
        phases = list(load.phases)
        for number, (phase, theirs) in enumerate(zip(load.phases, other.phases, strict=True)):
            waits = phase.warm_up or phase.until is not None or theirs.until is not None
            if waits:
                phases[number] = phase.model_copy(update={"until": None, "duration": None})
        return load.model_copy(update={"phases": tuple(phases)})

    differ = set()
    for builtin in builtin_scenarios():
        spec = load_scenario(builtin.name)
        for play in variants_of(spec).values():
            if compared(play.load, spec.load) != compared(spec.load, play.load):
                differ.add(builtin.name)
    assert differ == LOAD_IS_THE_QUESTION
