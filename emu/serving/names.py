"""What a revision's pods are called, as Kubernetes names those of a Deployment. Pure.

`app-00001-deployment-7d9f8b6c45-x2x9k`: the revision, the Deployment's ending, a hash of the pod template (the
ReplicaSet's) and a suffix of each pod's own. Both are spelt in Kubernetes' safe alphabet, which makes no words.
"""

from __future__ import annotations

from random import Random

from emu.spec import PodSpec

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels, and without digits that look like one (apimachinery's util/rand)."""
_SUFFIX = 5
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


def replica_set_name(revision: str, spec: PodSpec) -> str:
    """What all pods of a revision's Deployment begin with: the same template gives the same hash."""
    digest = _FNV_OFFSET
    for byte in spec.model_dump_json().encode():
        digest = (digest ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return f"{revision}-deployment-{safe_encoded(str(digest))}"


def pod_name(replica_set: str, random: Random) -> str:
    """A name that no pod before it had."""
    return f"{replica_set}-{''.join(random.choice(ALPHABET) for _ in range(_SUFFIX))}"


def safe_encoded(text: str) -> str:
    """Each character as one of the alphabet."""
    return "".join(ALPHABET[ord(char) % len(ALPHABET)] for char in text)
