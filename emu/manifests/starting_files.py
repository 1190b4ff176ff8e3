"""A manifest's volumes of ConfigMaps and Secrets → a scenario's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emu.manifests.yamltext import Lines
from emu.policy.kubelet.environment import Kind
from emu.policy.kubelet.objectfiles import FilesOf, Item, missing

Held = Mapping[tuple[Kind, str], Any]
_KINDS: tuple[tuple[Kind, str, str], ...] = (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName"))
_PUBLISHED = "kube-root-ca.crt"
"""The ConfigMap that Kubernetes puts into every namespace; every pod that is read from a cluster mounts it."""


def file_volumes(volumes: Sequence[Mapping[str, Any]], objects: Held) -> tuple[dict[str, Lines], list[str]]:
    """Those that can be made of the objects among the files, by their names; and what is left out."""
    made: dict[str, Lines] = {}
    left_out: list[str] = []
    others = []
    for volume in volumes:
        name = str(volume["name"])
        if "emptyDir" in volume:
            continue
        keys, strange = _files(volume, objects)
        if keys is None:
            others.append(name)
            continue
        if strange and not any(_sources(keys)):
            left_out.append(f"the volume {name} of {', '.join(strange)}")
            continue
        if why := not_mounted(volume, objects):
            left_out.append(f"the volume {name}; in a cluster its pods wait in ContainerCreating: {why}")
            continue
        left_out += [f"{one} of the volume {name}" for one in strange]
        readable, lost = _readable(keys, objects)
        left_out += [f"the file {path} of the volume {name}, whose content is no text" for path in lost]
        made[name] = {"name": name, **readable}
    if others:
        left_out.append(f"volumes other than emptyDir, configMap, secret and projected ({', '.join(others)})")
    return made, left_out


def not_mounted(volume: Mapping[str, Any], objects: Held) -> str:
    """Why the kubelet cannot set up a manifest's volume, in its words; empty where it can, as far as emu sees."""
    keys = None if "emptyDir" in volume else _files(volume, objects)[0]
    missing = [why for one in _sources(keys or {}) if (why := _missing(one, objects))]
    return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {missing[0]}' if missing else ""


def _files(volume: Mapping[str, Any], objects: Held) -> tuple[Lines | None, list[str]]:
    """The keys of a volume of files, and what they do not have; None: it is of another kind."""
    mode = {}
    if "projected" not in volume and _is_published(volume.get("configMap"), objects):
        return {"projected": {"sources": []}}, [_PUBLISHED]
    for _, key, name in _KINDS:
        if (given := volume.get(key)) is not None:
            if given.get("defaultMode") is not None:
                mode = {"defaultMode": int(given["defaultMode"])}
            return {key: {name: str(given.get(name, "")), **_rest(given), **mode}}, []
    projected = volume.get("projected")
    if projected is None:
        return None, []
    sources: list[Lines] = []
    strange = []
    for one in projected.get("sources") or ():
        for _, key, _ in _KINDS:
            if (given := one.get(key)) is None:
                continue
            if key == "configMap" and _is_published(given, objects):
                strange.append(_PUBLISHED)
                continue
            sources.append({key: {"name": str(given.get("name", "")), **_rest(given)}})
        strange += [key for key in one if key not in ("configMap", "secret")]
    if projected.get("defaultMode") is not None:
        mode = {"defaultMode": int(projected["defaultMode"])}
    return {"projected": {"sources": sources, **mode}}, strange


def _is_published(source: Mapping[str, Any] | None, objects: Held) -> bool:
    """Whether it is in every namespace, and not among the files."""
    return (source or {}).get("name") == _PUBLISHED and ("ConfigMap", _PUBLISHED) not in objects


def _rest(given: Mapping[str, Any]) -> Lines:
    made: Lines = {}
    if given.get("items"):
        made["items"] = [
            {key: one[key] for key in ("key", "path", "mode") if one.get(key) is not None} for one in given["items"]
        ]
    return {**made, **({"optional": True} if given.get("optional") else {})}


def _readable(keys: Lines, objects: Held) -> tuple[Lines, list[str]]:
    """A volume without the items whose values no scenario can hold, and the paths of these. A source of which no item
    is left goes with them, as none would mean all keys.
    """
    kept: list[Lines] = []
    lost: list[str] = []
    all_sources = keys["projected"]["sources"] if "projected" in keys else [keys]
    for source, (kind, given, name) in zip(all_sources, _sources(keys), strict=True):
        held = objects.get((kind, name))
        items = given.get("items") or ()
        rest = [one for one in items if held is None or one["key"] not in held.unreadable]
        lost += [str(one["path"]) for one in items if one not in rest]
        if rest or not items:
            kept.append({key: {**value, "items": rest} if items else value for key, value in source.items()})
    if not lost:
        return keys, []
    if "projected" in keys or not kept:
        return {"projected": {**keys.get("projected", {}), "sources": kept}}, lost
    return kept[0], lost


def _sources(volume: Mapping[str, Any]) -> Iterator[tuple[Kind, Mapping[str, Any], str]]:
    """Each object of a scenario's volume, in order: its kind, what is asked of it, its name."""
    for one in (volume.get("projected") or {}).get("sources", (volume,)):
        for kind, key, name in _KINDS:
            if (given := one.get(key)) is not None:
                yield kind, given, str(given[name if one is volume else "name"])


def _missing(source: tuple[Kind, Mapping[str, Any], str], objects: Held) -> str:
    kind, given, name = source
    held = objects.get((kind, name))
    items = tuple(Item(str(one.get("key", "")), "") for one in given.get("items", ()))
    wanted = FilesOf(kind, name, items, optional=bool(given.get("optional")))
    return missing(wanted, None if held is None else {*held.data, *held.unreadable})


def named_by_volumes(volumes: Sequence[Lines]) -> Iterator[tuple[Kind, str, str | None]]:
    """Each ConfigMap and Secret that a scenario's volumes name: kind, name, key (None: all of them)."""
    for volume in volumes:
        for kind, given, name in _sources(volume):
            items = given.get("items")
            yield from ((kind, name, str(one["key"])) for one in items) if items else ((kind, name, None),)
