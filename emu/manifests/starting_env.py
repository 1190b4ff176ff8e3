"""The ConfigMaps and Secrets among the files, and what of them a pod's containers name → keys of a scenario.

A Secret's `stringData` goes before its `data`, which is base64 (pkg/apis/core/v1/conversion.go).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emu.files.yamlfile import Mark, Node
from emu.manifests.decode import decode
from emu.manifests.documents import Document
from emu.manifests.explanation import node_at
from emu.manifests.starting_files import named_by_volumes
from emu.manifests.yamltext import Lines, Said
from emu.policy.kubelet.environment import Kind, is_field
from emu.policy.secrets import MASK

_REFS: tuple[tuple[Kind, str, str], ...] = (
    ("ConfigMap", "configMapRef", "configMapKeyRef"),
    ("Secret", "secretRef", "secretKeyRef"),
)
_AMOUNTS = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")


@dataclass(frozen=True)
class Held:
    """What a ConfigMap or Secret among the files holds."""

    document: Document
    data: Mapping[str, str]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Keys whose values neither a variable nor a file of emu's can have, and why."""

    def place(self, key: str) -> Mark:
        """Where a key stands."""
        nodes = (node_at(self.document.node, (group, key)) for group in ("stringData", "data", "binaryData"))
        found: Node = next((one for one in nodes if one is not None), self.document.node)
        return found.mark


Objects = Mapping[tuple[Kind, str], Held]
"""By kind and name."""


def objects_of(documents: Sequence[Document]) -> dict[tuple[Kind, str], Held]:
    """Those among the documents; of two with one name the last, as `kubectl apply` has it."""
    found: dict[tuple[Kind, str], Held] = {}
    for one in documents:
        if one.kind == "ConfigMap":
            value = decode(one.node, one.kind).value
            binary = dict.fromkeys(_mapping(value.get("binaryData")), "is no text")
            found["ConfigMap", one.name] = Held(one, value.get("data") or {}, binary)
        elif one.kind == "Secret":
            found["Secret", one.name] = _secret(one)
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _secret(document: Document) -> Held:
    value = decode(document.node, document.kind).value
    texts: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for key, encoded in (value.get("data") or {}).items():
        try:
            texts[key] = decoded(str(encoded)).decode()
        except UnicodeDecodeError:
            unreadable[key] = "is no text"
        except ValueError:
            unreadable[key] = "is no base64"
    own = value.get("stringData") or {}
    texts |= {key: str(text) for key, text in own.items()}
    unreadable = {key: why for key, why in unreadable.items() if key not in own}
    for key in [key for key, text in texts.items() if "\0" in text]:
        del texts[key]
        unreadable[key] = "holds a NUL byte"
    return Held(document, texts, unreadable)


def decoded(text: str) -> bytes:
    """Base64 as Go's JSON decoder takes it: line ends do not count. binascii.Error, which is a ValueError."""
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", "").encode("ascii"), validate=True)
    except UnicodeEncodeError as error:
        raise binascii.Error("not base64") from error


def wrong_base64(text: str) -> int | None:
    """The byte at which Go's decoder gives up; None where it does not."""
    try:
        decoded(text)
    except ValueError:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"
        return next((at for at, sign in enumerate(text) if sign not in alphabet), len(text) // 4 * 4)
    return None


@dataclass(frozen=True)
class Variables:
    """What becomes of a container's variables."""

    keys: Lines
    """`env` and `envFrom`."""
    left_out: list[str]


def variables_of(
    container: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Variables:
    """Labels and annotations of the manifest's own are known here; what the platform adds, once the pod is there."""
    left_out: list[str] = []
    env: Lines = {}
    for one in container.get("env") or ():
        name = str(one.get("name", ""))
        source = one.get("valueFrom")
        value = (
            str(one.get("value") or "")
            if source is None or one.get("value")
            else _source(source, labels, annotations)
        )
        if value is None:
            left_out.append(f"env {name} with valueFrom {', '.join(source)}")
        else:
            env[name] = value
    sources = [_from(one) for one in container.get("envFrom") or ()]
    made = {"env": env, "envFrom": sources}
    return Variables({key: value for key, value in made.items() if value}, left_out)


def _source(
    source: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> str | Lines | None:
    for _, _, key in _REFS:
        if ref := source.get(key):
            optional = {"optional": True} if ref.get("optional") else {}
            return {key: {"name": str(ref.get("name", "")), "key": str(ref.get("key", "")), **optional}}
    path = str((source.get("fieldRef") or {}).get("fieldPath", ""))
    for kind, own in (("labels", labels), ("annotations", annotations)):
        if path.startswith(f"metadata.{kind}['") and (label := path.split("'")[1]) in own:
            return own[label].replace("$", "$$")
    if is_field(path):
        return {"fieldRef": {"fieldPath": path}}
    amount = source.get("resourceFieldRef") or {}
    if amount.get("resource") in _AMOUNTS:
        kept = {key: str(amount[key]) for key in ("containerName", "divisor") if amount.get(key)}
        return {"resourceFieldRef": {"resource": amount["resource"], **kept}}
    return None


def _from(one: Mapping[str, Any]) -> Lines:
    prefix = {"prefix": one["prefix"]} if one.get("prefix") else {}
    for _, key, _ in _REFS:
        if (ref := one.get(key)) is not None:
            optional = {"optional": True} if ref.get("optional") else {}
            return {**prefix, key: {"name": str(ref.get("name", "")), **optional}}
    return prefix


def named(containers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Kind, str, str | None, Mapping[str, Any]]]:
    """Each ConfigMap and Secret that they name: kind, name, key (None: all of them), and the reference itself."""
    for container in containers:
        for one in container.get("envFrom") or ():
            for kind, key, _ in _REFS:
                if (ref := one.get(key)) is not None:
                    yield kind, str(ref.get("name", "")), None, ref
        for one in container.get("env") or ():
            for kind, _, key in _REFS:
                if (ref := (one.get("valueFrom") or {}).get(key)) is not None and not one.get("value"):
                    yield kind, str(ref.get("name", "")), str(ref.get("key", "")), ref


def objects_for(
    containers: Sequence[Mapping[str, Any]], objects: Objects, *, masked: bool, volumes: Sequence[Lines] = ()
) -> tuple[Lines, list[str]]:
    """`configMaps` and `secrets` with what the containers and a scenario's `volumes` name of them; and what they
    cannot have. `masked`: without the values of Secrets.
    """
    wanted: dict[tuple[Kind, str], set[str] | None] = {}
    for kind, name, key in (*(one[:3] for one in named(containers)), *named_by_volumes(volumes)):
        if (kind, name) in objects:
            before = wanted.setdefault((kind, name), set())
            wanted[kind, name] = None if before is None or key is None else before | {key}
    found: Lines = {"configMaps": [], "secrets": []}
    left_out = []
    for (kind, name), keys in wanted.items():
        held = objects[kind, name]
        data: Lines = {key: value for key, value in held.data.items() if keys is None or key in keys}
        if kind == "Secret" and masked:
            data = {key: Said(MASK, f"it is at {held.place(key)}") for key in data}
        found["configMaps" if kind == "ConfigMap" else "secrets"].append({"name": name, "data": data})
        for key, why in held.unreadable.items():
            if keys is None or key in keys:
                left_out.append(f"the key {key} of the {kind} {name}, whose value {why}")
    return {key: value for key, value in found.items() if value}, left_out
