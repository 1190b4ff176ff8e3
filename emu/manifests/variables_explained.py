"""The variables and rights of a container, explained: where each value comes from, never the value of a Secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emu.files.yamlfile import Mark, Node
from emu.manifests.decode import decode
from emu.manifests.documents import Document
from emu.manifests.explanation import DEFAULT, Explanation, Refusal, node_at, source_of
from emu.manifests.knative_notes import unknown_notes
from emu.manifests.starting_env import Objects, named, objects_of, wrong_base64
from emu.manifests.starting_security import security_of
from emu.policy.kubelet.environment import CONFIG_ERROR, Kind, references
from emu.policy.kubelet.objectfiles import wrong_key

_KEY_REFS = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_SOURCE_REFS = {"configMapRef": "ConfigMap", "secretRef": "Secret"}


def explain_variables(
    made: Explanation, name: str, container: Mapping[str, Any], place: Node | None, objects: Objects
) -> None:
    """Those whose values stand elsewhere; notes on what is not there, and on `$(NAME)` that stays."""
    for number, one in enumerate(container.get("envFrom") or ()):
        for key, kind in _SOURCE_REFS.items():
            if (ref := one.get(key)) is not None:
                text = f"all keys of {kind} {ref.get('name', '')}"
                how = f"each with {one['prefix']} before it" if one.get("prefix") else ""
                made.add(f"{name}: envFrom", text, source_of(place, "envFrom", number), how)
    for number, one in enumerate(container.get("env") or ()):
        source = one.get("valueFrom") or {}
        if source and not one.get("value"):
            made.add(f"{name}: env {one.get('name', '')}", _from(source), source_of(place, "env", number))
    _missing(made, name, container, place, objects)
    _too_early(made, name, container, place, objects)


def _from(source: Mapping[str, Any]) -> str:
    for key, kind in _KEY_REFS.items():
        if (ref := source.get(key)) is not None:
            optional = ", optional" if ref.get("optional") else ""
            return f"key {ref.get('key', '')} of {kind} {ref.get('name', '')}{optional}"
    if (ref := source.get("fieldRef")) is not None:
        return f"the pod's {ref.get('fieldPath', '')}"
    if (ref := source.get("resourceFieldRef")) is not None:
        of = f" of {ref['containerName']}" if ref.get("containerName") else ""
        by = f", in units of {ref['divisor']}" if ref.get("divisor") not in (None, "", "0") else ""
        return f"{ref.get('resource', '')}{of}{by}"
    return ", ".join(source)


def _missing(
    made: Explanation, name: str, container: Mapping[str, Any], place: Node | None, objects: Objects
) -> None:
    for kind, wanted, key, ref in named([container]):
        if ref.get("optional"):
            continue
        held = objects.get((kind, wanted))
        if held is None:
            said = f'{kind.lower()} "{wanted}" not found'
            why = f"{kind} {wanted} is not among the files"
        elif key is not None and key not in held.data and key not in held.unreadable:
            said = f"couldn't find key {key} in {kind} default/{wanted}"
            why = f"{kind} {wanted} has no key {key}"
        else:
            _ends_with_a_newline(made, kind, wanted, key, objects)
            continue
        made.note(f"{name}: {why}; without it the container waits in {CONFIG_ERROR}: {said}", _mark(place))


def _ends_with_a_newline(made: Explanation, kind: Kind, wanted: str, key: str | None, objects: Objects) -> None:
    held = objects[kind, wanted]
    value = held.data.get(key) if key is not None else None
    if kind == "Secret" and value is not None and value.endswith("\n"):
        text = f"the value of {key} in Secret {wanted} ends with a new line, and so does the variable"
        made.note(f"{text}; `echo -n` before `base64` writes none", held.place(str(key)))


def _too_early(
    made: Explanation, name: str, container: Mapping[str, Any], place: Node | None, objects: Objects
) -> None:
    """A text sees the variables before it only, and those of `envFrom`."""
    env = container.get("env") or ()
    first = {
        f"{one.get('prefix', '')}{key}"
        for one in container.get("envFrom") or ()
        for kind, wanted, _, _ in named([{"envFrom": [one]}])
        if (kind, wanted) in objects
        for key in objects[kind, wanted].data
    }
    later = {str(one.get("name", "")): number for number, one in enumerate(env)}
    for number, one in enumerate(env):
        for wanted in references(str(one.get("value") or "")):
            if later.get(wanted, -1) >= number and wanted not in first:
                text = f"{name}: env {one.get('name', '')}: $({wanted}) stays as it is, since {wanted} comes later"
                where = node_at(place, ("env", number)) if place is not None else None
                made.note(f"{text}; move it up", where.mark if where is not None else None)


def explain_rights(
    made: Explanation,
    name: str,
    container: Mapping[str, Any],
    place: Node | None,
    pod: Mapping[str, Any] | None,
) -> None:
    """Where it starts, whom it runs as and what it may do. `pod`: the pod's securityContext."""
    if container.get("workingDir"):
        made.add(f"{name}: workingDir", container["workingDir"], source_of(place, "workingDir"))
    own = container.get("securityContext") or {}
    asked, _ = security_of(own, pod or {})
    if not asked:
        return
    words = [f"{key} {asked[key]}" for key in ("runAsUser", "runAsGroup") if key in asked]
    words += [key for key in ("runAsNonRoot", "readOnlyRootFilesystem") if key in asked]
    words += [f"{key} {' '.join(names)}" for key, names in (asked.get("capabilities") or {}).items()]
    how = "" if own else "the pod's"
    made.add(f"{name}: securityContext", ", ".join(words), source_of(place, "securityContext"), how)
    if asked.get("runAsNonRoot") and "runAsUser" not in asked:
        text = (
            f"{name}: runAsNonRoot without runAsUser: where the image runs as root, or names its user, the container"
        )
        made.note(f"{text} waits in {CONFIG_ERROR}", _mark(place))
    elif asked.get("runAsNonRoot") and not asked["runAsUser"]:
        text = f"{name}: runAsNonRoot and runAsUser 0: the container waits in {CONFIG_ERROR}"
        made.note(f"{text}: container's runAsUser breaks non-root policy", _mark(place))


def _mark(place: Node | None) -> Mark | None:
    return place.mark if place is not None else None


def explain_map(document: Document) -> Explanation:
    """What the API server refuses of a ConfigMap."""
    return _explained(document, ("data", "binaryData"))[0]


def _explained(document: Document, groups: Sequence[str]) -> tuple[Explanation, Mapping[str, Any]]:
    """A ConfigMap or Secret with what is wrong with its fields and keys; and what is read of it."""
    made = Explanation(document)
    read = decode(document.node, document.kind)
    unknown_notes(made, read.unknown)
    made.refusals = [
        Refusal(one.words, one.mark, "the API server", f"quote it: every value of a {document.kind} is a text")
        for one in read.misfits
    ]
    for group in groups:
        node = node_at(document.node, (group,))
        for key in node.key_marks if node is not None else ():
            shown = "data" if group == "stringData" else group
            where = node.key_marks.get(key, node.mark) if node is not None else document.node.mark
            made.refusals += [
                Refusal(f'{shown}[{key}]: Invalid value: "{key}": {words}', where, "the API server", "rename it")
                for words in wrong_key(key)
            ]
    return made, read.value


def explain_secret(document: Document) -> Explanation:
    """Its keys, and what the API server refuses of it."""
    made, value = _explained(document, ("data", "stringData"))
    held = objects_of([document])["Secret", document.name]
    for key, text in (value.get("data") or {}).items():
        if (at := wrong_base64(str(text))) is not None:
            words = f'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte {at}'
            node = node_at(document.node, ("data", key))
            mark = node.mark if node is not None else document.node.mark
            fix = f"encode the value of {key} (`echo -n … | base64`), or move it to stringData as it is"
            made.refusals.append(Refusal(words, mark, "the API server", fix))
    for key in sorted({**held.data, **held.unreadable}):
        why = held.unreadable.get(key, "")
        made.add(key, "not shown", str(held.place(key)) or DEFAULT, f"it {why}, so no variable has it" if why else "")
    return made
