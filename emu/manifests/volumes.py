"""The volumes and mounts of a revision: what Knative refuses of them."""

from __future__ import annotations

import posixpath
from typing import Any

from emu.manifests.clusterconfig import Features
from emu.manifests.fielderror import Problem, disallowed, invalid, missing, one_of, only, via
from emu.manifests.names import dns1123_label
from emu.policy.golang import quote
from emu.policy.quantity import parse_amount

Spec = dict[str, Any]
_RESERVED_PATHS = ("/", "/dev", "/dev/log")
_PLAIN = ("secret", "configMap", "projected")
_GATED = {
    "emptyDir": "kubernetes.podspec-volumes-emptydir",
    "persistentVolumeClaim": "kubernetes.podspec-persistent-volume-claim",
    "hostPath": "kubernetes.podspec-volumes-hostpath",
    "csi": "kubernetes.podspec-volumes-csi",
    "ephemeral": "kubernetes.podspec-volumes-ephemeral",
    "image": "kubernetes.podspec-volumes-image",
}
_NAMED = (
    ("image", "Image"),
    ("emptyDir", "EmptyDir"),
    ("hostPath", "HostPath"),
    ("csi", "CSI"),
    ("ephemeral", "Ephemeral"),
)
_PROJECTIONS = ("secret", "configMap", "serviceAccountToken", "downwardAPI")


def validate_volumes(volumes: list[Spec], mounted: set[str], features: Features) -> tuple[Spec, list[Problem]]:
    """The volumes by name, and what is refused."""
    found: Spec = {}
    problems: list[Problem] = []
    for number, volume in enumerate(volumes):
        name = volume.get("name", "")
        wrong: list[Problem] = []
        if name in found:
            wrong.append(Problem(f"duplicate volume name {quote(name)}", ("name",)))
        if name not in mounted:
            wrong.append(Problem(f"volume with name {quote(name)} not mounted", ("name",)))
        problems += via([*wrong, *_volume(volume, features)], number)
        found[name] = volume
    return found, problems


def _volume(volume: Spec, features: Features) -> list[Problem]:
    name = volume.get("name", "")
    problems = _claim(volume.get("persistentVolumeClaim"), features)
    problems += [
        Problem(f"{words} volume support is disabled, but found {words} volume {name}")
        for source, words in _NAMED
        if source in volume and not features.enabled(_GATED[source])
    ]
    if not name:  # these two replace what was found before, as in Knative
        problems = [missing("name")]
    elif dns1123_label(name):
        problems = [invalid(name, "name")]
    allowed = [source for source, flag in _GATED.items() if not features.disabled(flag)]
    problems += only(volume, ("name", *_PLAIN, *allowed))
    problems += _sources(volume)
    order = (*_PLAIN, "emptyDir", "persistentVolumeClaim", "hostPath", "csi", "ephemeral", "image")
    given = [source for source in order if source in volume]
    if not given:
        possible = [source for source, flag in _GATED.items() if features.enabled(flag)]
        problems.append(one_of((*_PLAIN, *possible), neither=True))
    elif len(given) > 1:
        problems.append(one_of(given, neither=False))
    return problems


def _claim(claim: Spec | None, features: Features) -> list[Problem]:
    if claim is None:
        return []
    name = claim.get("claimName", "")
    problems = []
    if not features.enabled("kubernetes.podspec-persistent-volume-claim"):
        problems.append(
            Problem(f"Persistent volume claim support is disabled, but found persistent volume claim {name}")
        )
    if not claim.get("readOnly") and not features.enabled("kubernetes.podspec-persistent-volume-write"):
        problems.append(
            Problem(
                "Persistent volume write support is disabled, but found persistent volume claim "
                f"{name} that is not read-only"
            )
        )
    return problems


def _sources(volume: Spec) -> list[Problem]:
    problems: list[Problem] = []
    for source in ("secret", "configMap"):
        problems += _items(volume.get(source, {}))
    for number, projection in enumerate(volume.get("projected", {}).get("sources", [])):
        problems += via(_projection(projection), "projected", number)
    if (empty := volume.get("emptyDir")) is not None:
        problems += via(_empty_dir(empty), "emptyDir")
    if (image := volume.get("image")) is not None:
        problems += via(_image(image), "image")
    return problems


def _items(source: Spec) -> list[Problem]:
    problems: list[Problem] = []
    for number, item in enumerate(source.get("items", [])):
        problems += via([missing(name) for name in ("key", "path") if not item.get(name)], "items", number)
    return problems


def _empty_dir(empty: Spec) -> list[Problem]:
    problems = []
    medium = empty.get("medium", "")
    if medium not in ("", "Memory"):
        problems.append(invalid(medium, "medium"))
    if "sizeLimit" in empty and parse_amount(empty["sizeLimit"]) < 0:
        problems.append(invalid(empty["sizeLimit"], "sizeLimit"))
    return problems


def _image(image: Spec) -> list[Problem]:
    problems = [] if image.get("reference") else [missing("reference")]
    policy = image.get("pullPolicy", "")
    if policy not in ("IfNotPresent", "Always", "Never", ""):
        problems.append(invalid(policy, "pullPolicy"))
    return problems


def _projection(projection: Spec) -> list[Problem]:
    problems = only(projection, _PROJECTIONS)
    for source in ("secret", "configMap"):
        if (items := projection.get(source)) is not None:
            wrong = ([] if items.get("name") else [missing("name")]) + _items(items)
            problems += via(wrong, source)
    token, fields = projection.get("serviceAccountToken"), projection.get("downwardAPI")
    if token is not None and not token.get("path"):
        problems += via([missing("path")], "serviceAccountToken")
    if fields is not None and fields.get("items") == []:  # an empty list is not what Knative's own mask makes of it
        problems += via([disallowed("items")], "downwardAPI")
    for number, one in enumerate((fields or {}).get("items", [])):
        problems += via(via(_downward_file(one), "items", number), "downwardAPI")
    given = [source for source in _PROJECTIONS if source in projection]
    if not given:
        problems.append(one_of(_PROJECTIONS, neither=True))
    elif len(given) > 1:
        problems.append(one_of(given, neither=False))
    return problems


def _downward_file(one: Spec) -> list[Problem]:
    problems = []
    by_field, by_resource = "fieldRef" in one, "resourceFieldRef" in one
    if not by_field and not by_resource:
        problems.append(one_of(("fieldRef", "resourceFieldRef"), neither=True))
    if by_field and by_resource:
        problems.append(Problem("Within a single item, cannot set both", ("resourceFieldRef", "fieldRef")))
    return problems if one.get("path") else [*problems, missing("path")]


def _cleaned(path: str) -> str:
    """A path as Go's path.Clean has it."""
    clean = posixpath.normpath(path)
    return clean[1:] if clean.startswith("//") else clean


def validate_mounts(mounts: list[Spec], volumes: Spec, features: Features) -> list[Problem]:
    """The faults of a container's mounts."""
    allowed = ["name", "readOnly", "mountPath", "subPath"]
    propagates = "kubernetes.podspec-volumes-mount-propagation"
    if not features.disabled(propagates):
        allowed.append("mountPropagation")
    paths: set[str] = set()
    problems: list[Problem] = []
    for number, mount in enumerate(mounts):
        name = mount.get("name", "")
        volume: Spec = volumes.get(name, {})
        wrong = only(mount, allowed)
        if name not in volumes:
            wrong.append(Problem("volumeMount has no matching volume", ("name",)))
        wrong += _mount_path(mount.get("mountPath", ""), paths)
        writable = any(source in volume for source in ("emptyDir", "persistentVolumeClaim", "ephemeral"))
        if not writable and not mount.get("readOnly"):
            wrong.append(Problem("volume mount should be readOnly for this type of volume", ("readOnly",)))
        if "mountPropagation" in mount:
            wrong += _propagation(mount, enabled=features.enabled(propagates))
        if volume.get("persistentVolumeClaim", {}).get("readOnly") and not mount.get("readOnly"):
            wrong.append(Problem("volume is readOnly but volume mount is not", ("readOnly",)))
        problems += via(wrong, number)
    return problems


def _mount_path(path: str, seen: set[str]) -> list[Problem]:
    clean = _cleaned(path)
    if not path:
        wrong = [missing("mountPath")]
    elif clean in _RESERVED_PATHS:
        wrong = [Problem(f"mountPath {quote(clean)} is a reserved path", ("mountPath",))]
    elif not path.startswith("/"):
        wrong = [invalid(path, "mountPath")]
    elif clean in seen:
        wrong = [invalid(f"{quote(path)} must be unique", "mountPath")]
    else:
        wrong = []
    seen.add(clean)
    return wrong


def _propagation(mount: Spec, *, enabled: bool) -> list[Problem]:
    problems = []
    if not enabled:
        name = mount.get("name", "")
        words = f"Volume Mount Propagation support is disabled, but found volume mount {name} with mount propagation"
        problems.append(Problem(words))
    if mount["mountPropagation"] not in ("None", "HostToContainer"):
        words = "mount propagation should be set to None or HostToContainer"
        problems.append(Problem(words, ("mountPropagation",)))
    return problems
