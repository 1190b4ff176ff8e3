"""The files of a scenario's apps: whether those that are read are there, and whose volume has them."""

from __future__ import annotations

from collections.abc import Sequence

from emu.spec.container import InitContainerSpec
from emu.spec.pod import PodSpec
from emu.spec.pods import NamedPodSpec
from emu.spec.request import RequestModel, WorkSpec
from emu.spec.values import SpecError
from emu.spec.volumes import Place, check_writable, located


def check(pod: PodSpec, requests: Sequence[tuple[Place, RequestModel]]) -> None:
    """SpecError for the first request that names a file which nothing creates, or a path without a volume. Each
    request has its place in the scenario. Not asked of an image of the user's own.
    """
    if pod.app.image is not None:
        return
    made = [entry.name for entry in pod.app.files]
    mounts = pod.app.volume_mounts
    work = [request.do or WorkSpec() for _, request in requests]
    made += [do.write_file for do in work if do.write_file is not None]
    for (at, _), do in zip(requests, work, strict=True):
        for name, path in (("readFile", do.read_file), ("writeFile", do.write_file)):
            if path is not None and path.startswith("/") and located(path, mounts) is None:
                raise SpecError(
                    f"the app has no volume at {path}",
                    why=f"it mounts: {', '.join(one.mount_path for one in mounts) or 'none'}",
                    fix="mount one there (pod.app.volumeMounts), or give a path in one that it mounts",
                    at=(*at, "request", "do", name),
                )
        if do.write_file is not None:
            check_writable(do.write_file, mounts, pod.volumes, (*at, "request", "do", "writeFile"))
        if do.read_file is not None and do.read_file not in made and not _may_be_there(pod, do.read_file):
            raise SpecError(
                f"no phase or key creates the file {do.read_file!r}",
                why=f"the existing files are: {', '.join(made) or 'none'}",
                fix=f"add it to pod.app.files: {{name: {do.read_file}, size: …}}",
                at=(*at, "request", "do", "readFile"),
            )


def _may_be_there(pod: PodSpec, path: str) -> bool:
    """Whether another container than the app makes this file in a volume, or might; emu's stand-ins say what they
    write.
    """
    place = located(path, pod.app.volume_mounts)
    if place is None:
        return False
    for one in pod.containers.values():
        if place[0] not in (mount.name for mount in one.volume_mounts) or one is pod.app:
            continue
        if one.image is not None or one.command is not None:
            return True
        do = one.do if isinstance(one, InitContainerSpec) else None
        if do is not None and do.write_file is not None and located(do.write_file, one.volume_mounts) == place:
            return True
    return False


def check_holders(pods: Sequence[NamedPodSpec]) -> None:
    """SpecError for the first pod that uses files of a pod that has none, or has files of its own too."""
    for index, one in enumerate(pods):
        if one.files_of is None:
            continue
        holder = next((pod for pod in pods if pod.name == one.files_of), None)
        why = None
        if holder is None:
            why = f"there is no pod of that name; the pods are: {', '.join(pod.name for pod in pods)}"
        elif not holder.own_files:
            why = f"{holder.name} has no files of its own"
        elif one.own_files:
            why = f"{one.name} has files of its own, and the two share one volume"
        if why is not None:
            raise SpecError(
                f"{one.name} cannot use the files of {one.files_of!r}",
                why=why,
                fix="name a pod with `files`, and give this one none",
                at=("pods", index, "filesOf"),
            )
