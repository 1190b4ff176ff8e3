"""Words of other tools that a scenario does not have: the error says what to write instead."""

from __future__ import annotations

import re

import pytest

from emu.errors import EmuError
from emu.scenario import instead, keys
from emu.scenario.reading import read_scenario

TEXT = """\
name: good
question: Is it?
pod: {{runtime: process, {pod}}}
load:
  phases:
    - {{name: steady, type: constant, rate: 40, duration: 20s, {phase}}}
"""


def fix_of(pod: str = "readyTimeout: 60s", phase: str = "start: 0s", *overrides: str) -> str:
    """What the error advises."""
    with pytest.raises(EmuError, match="there is no") as caught:
        read_scenario(TEXT.format(pod=pod, phase=phase), "f.yaml", overrides)
    return caught.value.fix


@pytest.mark.parametrize(
    ("phase", "fix"),
    [
        ("retries: 3", "each request once"),  # not `rates`, which is near
        ("rps: 5", "`rate`"),
        ("concurrency: 5", "`clients` in a phase of `type: closed`"),
        ("request: {url: /x}", "`path"),
        ("request: {http2: true}", "HTTP/1.1"),
        ("request: {stream: true}", "`readRate`"),
        ("request: {do: {allocate: 10Mi}}", "`hold: 10Mi`"),
        ("request: {do: {read: model}}", "`readFile`"),  # not `threads`
        ("max_retries: 1", "each request once"),
    ],
)
def test_words_of_load_generators(phase: str, fix: str) -> None:
    """What is said of a key that is a load generator's."""
    assert fix in fix_of(phase=phase)


@pytest.mark.parametrize(
    ("pod", "fix"),
    [
        ("replicas: 2", "`autoscaling: {minScale: 2"),
        ("containers: []", "below `pods`"),  # not `initContainers`
        ("app: {ports: [{containerPort: 80}]}", "`port: 8080`"),
        ("app: {limits: {memory: 64Mi}}", "below `resources`"),
        ("app: {resources: {limits: {ephemeral-storage: 1Gi}}}", "no disk space"),
        ("app: {resources: {limits: {nvidia.com/gpu: 1}}}", "no GPU"),
        ("app: {lifecycle: {postStart: {}}}", "init container"),
        ("sidecars: [{name: it, tty: true}]", "changes nothing"),
        ("autoscaling: {minReplicas: 1}", "`minScale`"),
        ("tolerations: []", "one node"),
        ("volumes: [{name: v, hostPath: {path: /x}}]", "`emptyDir: {}`"),
    ],
)
def test_words_of_kubernetes(pod: str, fix: str) -> None:
    """And of one that a manifest has."""
    assert fix in fix_of(pod=pod)


def test_set_says_the_same() -> None:
    """What is given by `--set` is refused with the same advice."""
    assert "`clients`" in fix_of("readyTimeout: 60s", "start: 0s", "load.phases.0.users=5")


def test_a_word_is_no_key_and_its_advice_names_keys() -> None:
    """Advice would never be given for a key that there is; and what it names has to be one."""
    names = {key.name for _, key in keys.all_paths()}
    names |= {"emu", "docs", "64Ki", "text", "json", "fieldRef", "resourceFieldRef"}
    for model, words in instead._INSTEAD:
        own = {name.lower() for name in keys.keys_of(model)}
        for word, advice in words.items():
            assert word not in own, (model, word)
            named = [re.split(r"[:. ]", one.lstrip("{"))[0] for one in re.findall(r"`([^`]*)`", advice)]
            assert not [one for one in named if one not in names], advice
