"""What a revision's pods are called."""

from __future__ import annotations

import re
from random import Random

from emu.serving.names import ALPHABET, pod_name, replica_set_name, safe_encoded
from emu.spec import PodSpec, revision_name


def test_a_pod_is_named_as_a_deployments_is() -> None:
    """Revision, `deployment`, a hash and a suffix in Kubernetes' alphabet; short enough for a label."""
    name = pod_name(replica_set_name(revision_name("app"), PodSpec()), Random(1))
    assert re.fullmatch(rf"app-00001-deployment-[{ALPHABET}]{{1,10}}-[{ALPHABET}]{{5}}", name)
    assert len(name) <= 63


def test_pods_of_one_template_share_the_hash_and_nothing_else() -> None:
    """The same template gives the same hash, another one another; no two pods have one name."""
    same, other = (replica_set_name("app-00001", PodSpec.model_validate({"containerConcurrency": n})) for n in (0, 1))
    assert same == replica_set_name("app-00001", PodSpec())
    assert same != other
    random = Random(1)
    names = {pod_name(same, random) for _ in range(50)}
    assert len(names) == 50
    assert {name.rpartition("-")[0] for name in names} == {same}


def test_digits_become_letters_that_spell_no_word() -> None:
    """Each character by its code, as apimachinery's SafeEncodeString does."""
    assert safe_encoded("0123456789") == "456789bcdf"
