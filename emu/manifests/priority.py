"""PriorityClasses, and the priority that Kubernetes' admission gives to pods (plugin/pkg/admission/priority)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from emu.manifests.decode import decode
from emu.manifests.documents import SCHEDULING, Document, Manifests
from emu.manifests.explanation import Explanation, Refusal, node_at, place, source_of
from emu.manifests.knative_notes import unknown_notes
from emu.manifests.yamltext import Lines
from emu.policy.kubelet.pod import SYSTEM_CLASSES

MOST = 10**9
"""The largest value of a class that a user makes."""
_SYSTEM = "system-"
_LOWER, _NEVER = "PreemptLowerPriority", "Never"
_API = "the API server"
_WAYS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "Revision": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "Service": ("spec", "template", "spec"),
    "Configuration": ("spec", "template", "spec"),
    "InferenceService": ("spec", "predictor"),
}
"""Where an object has the spec of its pods."""


@dataclass(frozen=True)
class PriorityClass:
    """One that pods can have."""

    name: str
    value: int = 0
    policy: str = _LOWER
    is_default: bool = False
    document: Document | None = None
    """None: Kubernetes makes it itself."""


class Priority(NamedTuple):
    """What a pod gets."""

    of: PriorityClass | None = None
    """None: it has none, and the priority 0."""
    missing: str = ""
    """The name of a class that is not among the files."""


def classes_of(manifests: Manifests) -> dict[str, PriorityClass]:
    """Those among the files that are accepted, and the system's."""
    found = {name: PriorityClass(name, value) for name, value in SYSTEM_CLASSES.items()}
    for document in manifests.documents:
        if document.group == SCHEDULING and document.name not in found and not _refusals(document, manifests):
            found[document.name] = _read(document)
    return found


def priority_of(spec: Mapping[str, Any], classes: Mapping[str, PriorityClass]) -> Priority:
    """The class of a pod's spec, or the one that pods without have; of several such the one with the lowest value."""
    name = str(spec.get("priorityClassName") or "")
    if name:
        return Priority(classes[name]) if name in classes else Priority(missing=name)
    defaults = sorted((one for one in classes.values() if one.is_default), key=lambda one: one.value)
    return Priority(defaults[0]) if defaults else Priority()


def priority_keys(spec: Mapping[str, Any], manifests: Manifests) -> tuple[Lines, list[str]]:
    """The keys of a scenario's pod, and what is left out."""
    of, missing = priority_of(spec, classes_of(manifests))
    if missing:
        return {}, [f"priorityClassName {missing}: its PriorityClass is not among the files, so the priority is 0"]
    if of is None:
        return {}, []
    keys: Lines = {"priorityClassName": of.name}
    if of.document is not None and of.value:
        keys["priority"] = of.value
    if of.policy == _NEVER:
        keys["preemptionPolicy"] = _NEVER
    return keys, []


def explain_class(document: Document, manifests: Manifests) -> Explanation:
    """A PriorityClass, as the API server takes it."""
    made = Explanation(document)
    read = decode(document.node, document.kind)
    unknown_notes(made, read.unknown)
    made.refusals = _refusals(document, manifests)
    if made.accepted:
        of = _read(document)
        made.add("value", of.value, source_of(document.node, "value"))
        made.add("preemptionPolicy", of.policy, source_of(document.node, "preemptionPolicy"))
        everybody = "pods without a priorityClassName have it" if of.is_default else ""
        made.add("globalDefault", of.is_default, source_of(document.node, "globalDefault"), everybody)
    return made


def explain_priority(made: Explanation, manifests: Manifests) -> None:
    """What admission makes of the pods of an accepted object: its values, or why no pod is made."""
    document = made.document
    way = _WAYS.get(document.kind)
    holder = node_at(document.node, way) if way is not None else None
    if holder is None or not isinstance(holder.value, dict):
        return
    assert way is not None
    given = {key: node.value for key, node in holder.value.items()}
    of, missing = priority_of(given, classes_of(manifests))
    if missing:
        made.note(
            f"no PriorityClass {missing} is among the files: the cluster must have it, or each pod is refused (no "
            f"PriorityClass with name {missing} was found)",
            holder.value["priorityClassName"].mark,
        )
        return
    value, policy = (of.value, of.policy) if of is not None else (0, _LOWER)
    for key, kind, mine in (("priority", "integer", value), ("preemptionPolicy", "string", policy)):
        if given.get(key) not in (None, mine):
            words = (
                f'pods "{document.name}{"" if document.kind == "Pod" else "-…"}" is forbidden: the {kind} value of '
                f"{key[0].upper() + key[1:] if kind == 'string' else key} ({given[key]}) must not be provided in pod "
                f"spec; priority admission controller computed {mine} from the given PriorityClass name"
            )
            fix = f"remove it: {'a PriorityClass has it' if of is None else f'PriorityClass {of.name} has it'}"
            made.refusals.append(Refusal(words, place(document.node, f"{'.'.join(way)}.{key}"), _API, fix))
    if of is None or not made.accepted:
        return
    named = "priorityClassName" in given
    where = holder.value["priorityClassName"].mark if named or of.document is None else of.document.node.mark
    made.add("priorityClassName", of.name, str(where), "" if named else "it is the globalDefault")
    never = "no pod is removed for it" if of.policy == _NEVER else "pods of lower priority are removed for it"
    made.add("priority", of.value, f"PriorityClass {of.name}", f"on a full node {never}")


def _read(document: Document) -> PriorityClass:
    value = decode(document.node, document.kind).value
    return PriorityClass(
        document.name,
        int(value.get("value", 0)),
        str(value.get("preemptionPolicy") or _LOWER),
        bool(value.get("globalDefault")),
        document,
    )


def _refusals(document: Document, manifests: Manifests) -> list[Refusal]:
    """As ValidatePriorityClass and the admission plugin refuse it (pkg/apis/scheduling/validation)."""
    read = decode(document.node, document.kind)
    if read.misfits:
        return [Refusal(one.words, one.mark, _API) for one in read.misfits]
    of, root = _read(document), document.node
    found = []
    if of.name.startswith(_SYSTEM):
        why = f"{of.name} is not a known system priority class"
        if (known := SYSTEM_CLASSES.get(of.name)) is not None:
            why = "" if of.value == known else f"value of {of.name} PriorityClass must be {known}"
        if why:
            words = (
                f"metadata.name: Forbidden: priority class names with '{_SYSTEM}' prefix are reserved for system use "
                f"only. error: {why}"
            )
            found.append(Refusal(words, place(root, "metadata.name"), _API, "give it another name"))
    elif of.value > MOST:
        words = f"value: Forbidden: maximum allowed value of a user defined priority is {MOST}"
        found.append(Refusal(words, place(root, "value"), _API))
    if of.policy not in (_LOWER, _NEVER):
        words = f'preemptionPolicy: Unsupported value: "{of.policy}": supported values: "{_LOWER}", "{_NEVER}"'
        found.append(Refusal(words, place(root, "preemptionPolicy"), _API))
    if of.is_default:
        for other in manifests.documents:
            if other is document:
                break
            if other.group == SCHEDULING and not decode(other.node, other.kind).misfits and _read(other).is_default:
                words = f"PriorityClass {other.name} is already marked as default. Only one default can exist"
                found.append(Refusal(words, place(root, "globalDefault"), _API))
                break
    return found
