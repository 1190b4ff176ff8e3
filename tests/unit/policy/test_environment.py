"""The environment of a container, as the kubelet makes it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from emu.policy.kubelet.environment import (
    ConfigError,
    FieldRef,
    KeyRef,
    Known,
    ResourceFieldRef,
    Source,
    Value,
    expanded,
    is_field,
    references,
    variables,
)

KNOWN = Known(
    {"metadata.name": "pod-1", "metadata.labels['app']": "shop"},
    {("web", "limits.memory"): 100 * 2**20 + 1, ("web", "limits.cpu"): 1500, ("other", "requests.cpu"): 25},
    {"ConfigMap": {"more": {"MODE": "fast", "raw": "$(MODE)"}}, "Secret": {"db": {"password": "hunter2"}}},
)


def made(env: Mapping[str, Value], *sources: Source) -> dict[str, str]:
    """Of a container named web."""
    return variables(sources, env, "web", KNOWN)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("--port=$(PORT)", "--port=9000"),
        ("$(A)$(B)", "aab"),
        ("$(NONE)", "$(NONE)"),
        ("$(NO NE)", "$(NO NE)"),
        ("$(X$(A))", "$(X$(A))"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$($$)", "$($$)"),
        ("100$$", "100$"),
    ],
)
def test_references_are_filled_in(text: str, becomes: str) -> None:
    """As by Kubernetes' expansion: what has no variable stays, and two dollar signs are one."""
    assert expanded(text, {"PORT": "9000", "A": "a", "B": "ab"}) == becomes


def test_a_text_refers_to_names() -> None:
    """An escaped one is none."""
    assert references("$(A) $$(B) $(C)x") == ["A", "C"]


def test_a_text_sees_the_variables_before_it() -> None:
    """And those of its sources; what comes from elsewhere is taken as it is."""
    password = KeyRef("Secret", "db", "password")
    env: dict[str, Value] = {
        "EARLY": "$(PASSWORD)",
        "PASSWORD": password,
        "URL": "//app:$(PASSWORD)@db/$(X_MODE)",
        "RAW": KeyRef("ConfigMap", "more", "raw"),
        "COPY": "$(RAW)",
    }
    assert made(env, Source("ConfigMap", "more", "X_")) == {
        "X_MODE": "fast",
        "X_raw": "$(MODE)",
        "EARLY": "$(PASSWORD)",
        "PASSWORD": "hunter2",
        "URL": "//app:hunter2@db/fast",
        "RAW": "$(MODE)",
        "COPY": "$(MODE)",
    }


def test_the_containers_own_variable_wins() -> None:
    """Over a key of a ConfigMap; of two sources the later one does."""
    more = Source("ConfigMap", "more")
    assert made({"MODE": "slow"}, more)["MODE"] == "slow"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (KeyRef("Secret", "gone", "k"), 'secret "gone" not found'),
        (KeyRef("ConfigMap", "gone", "k"), 'configmap "gone" not found'),
        (KeyRef("Secret", "db", "user"), "couldn't find key user in Secret default/db"),
        (KeyRef("ConfigMap", "more", "k"), "couldn't find key k in ConfigMap default/more"),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words(given: KeyRef, message: str) -> None:
    """Unless it is optional: then there is no such variable."""
    with pytest.raises(ConfigError) as refused:
        made({"A": given})
    assert str(refused.value) == message
    assert made({"A": KeyRef(given.kind, given.name, given.key, optional=True), "B": "$(A)"}) == {"B": "$(A)"}


def test_a_source_that_is_missing_is_too() -> None:
    """By its kind."""
    with pytest.raises(ConfigError, match=r'^secret "gone" not found$'):
        made({}, Source("Secret", "gone"))
    assert made({}, Source("Secret", "gone", optional=True)) == {}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (FieldRef("metadata.name"), "pod-1"),
        (FieldRef("metadata.name", before="/x/"), "/x/pod-1"),
        (FieldRef("metadata.labels['app']"), "shop"),
        (FieldRef("metadata.labels['none']"), ""),
        (ResourceFieldRef("limits.memory"), str(100 * 2**20 + 1)),
        (ResourceFieldRef("limits.memory", divisor="1Mi"), "101"),
        (ResourceFieldRef("limits.memory", divisor="0"), str(100 * 2**20 + 1)),
        (ResourceFieldRef("limits.cpu"), "2"),
        (ResourceFieldRef("limits.cpu", divisor="1m"), "1500"),
        (ResourceFieldRef("requests.cpu", "other", "1m"), "25"),
        (ResourceFieldRef("requests.memory"), "0"),
    ],
)
def test_fields_and_amounts(given: Value, value: str) -> None:
    """Amounts in multiples of the divisor, rounded up; a label that the pod has not is empty."""
    assert made({"A": given}) == {"A": value}


def test_which_fields_there_are() -> None:
    """For variables of containers: fewer than a pod has."""
    assert is_field("status.podIPs") and is_field("metadata.annotations['a/b']")
    assert not is_field("spec.containers") and not is_field("metadata.labels")
