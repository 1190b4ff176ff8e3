"""Docker's images: made, named, listed, saved and removed."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emu.errors import EmuError
from emu.machine import command
from emu.runtime.api import USER
from emu.runtime.docker_client import FIX, DockerClient, asking
from emu.runtime.filler import random_file

_WRITE_OUT_S = 600.0


class DockerImages(DockerClient):
    """An engine's images."""

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image; None where the engine does not have it."""
        found: dict[str, Any] | None = None
        with asking(f"cannot inspect the image {tag}", no_error=(404,)):
            found = self._api.inspect_image(tag)
        return None if found is None else dict((found.get("Config") or {}).get("Labels") or {})

    def image_id(self, tag: str) -> str | None:
        """The id of an image; None where the engine does not have it."""
        found: dict[str, Any] | None = None
        with asking(f"cannot inspect the image {tag}", no_error=(404,)):
            found = self._api.inspect_image(tag)
        return None if found is None else str(found["Id"])

    def image_user(self, tag: str) -> int:
        """By the image's configuration. A name is taken for distroless' `nonroot`: the image alone knows."""
        user = (self.image_user_text(tag) or "0").partition(":")[0]
        return int(user) if user.isdigit() else 0 if user == "root" else USER

    def image_user_text(self, tag: str) -> str:
        """By the image's configuration."""
        with asking(f"cannot inspect the image {tag}"):
            return str((self._api.inspect_image(tag).get("Config") or {}).get("User") or "")

    def tag(self, image: str, tag: str) -> None:
        """Give an image another name (`repository:tag`, or `repository` for its tag `latest`) besides."""
        registry, slash, name = tag.rpartition("/")
        name, _, version = name.partition(":")
        with asking(f"cannot tag the image {image} as {tag}"):
            self._api.tag(image, f"{registry}{slash}{name}", version or "latest")

    def image_tags(self) -> list[tuple[str, int]]:
        """Every tag that the engine has, with its size in bytes."""
        with asking("cannot list images"):
            found = self._api.images()
        return sorted((tag, int(image["Size"])) for image in found for tag in image.get("RepoTags") or [])

    def image_runs(self, tag: str) -> bool:
        """Whether it has an entrypoint or a command: one that `docker import` made may have neither."""
        with asking(f"cannot inspect the image {tag}"):
            config = self._api.inspect_image(tag).get("Config") or {}
        return bool(config.get("Entrypoint") or config.get("Cmd"))

    def image_names(self) -> list[str] | None:
        """Every name that an image has in the engine, tags and digests."""
        with asking("cannot list images"):
            found = self._api.images()
        return sorted(name for image in found for key in ("RepoTags", "RepoDigests") for name in image.get(key) or [])

    def image_folders(self, tag: str) -> list[Path]:
        """The folders of an image's layers on this machine; empty where the storage driver is not overlay2."""
        with asking(f"cannot inspect the image {tag}"):
            data = self._api.inspect_image(tag).get("GraphDriver", {}).get("Data") or {}
        folders = [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]
        return [Path(folder) for folder in folders if folder]

    def flatten(self, tag: str, into: str, labels: Mapping[str, str], scratch: Path) -> None:
        """Make an image `into` with the files and the configuration of `tag`, in a single layer that it shares with
        no other image. `scratch` is a folder with room for its files.
        """
        archive = scratch / "files.tar"
        try:
            with asking(f"cannot make an image of its own from {tag}"):
                made = str(self._api.create_container(tag, command=["none"], labels=dict(labels))["Id"])
                try:
                    with archive.open("wb") as file:
                        for part in self._api.export(made):
                            file.write(part)
                finally:
                    with asking(f"cannot remove the container {made[:12]}", no_error=(404,)):
                        self._api.remove_container(made, force=True, v=True)
                changes = instructions(self._api.inspect_image(tag).get("Config") or {}, labels)
                self._api.import_image_from_file(str(archive), repository=into, tag="latest", changes=changes)
        finally:
            archive.unlink(missing_ok=True)

    def fill(self, tag: str, layers: Sequence[int], labels: Mapping[str, str], scratch: Path) -> None:
        """Give an image a further layer for each of `layers`, with a file of so many bytes that does not compress.
        `scratch` is a folder with room for them.
        """
        context: dict[str, Path | bytes] = {}
        try:
            for number, size in enumerate(layers):
                context[f"filler-{number}"] = random_file(scratch / f"filler-{number}", size)
            copies = [f"COPY {name} /filler/{name}" for name in context]
            self.build(tag, {**context, "Dockerfile": "\n".join([f"FROM {tag}", *copies, ""]).encode()}, labels)
        finally:
            for path in scratch.glob("filler-*"):
                path.unlink()

    def save_image(self, tag: str, archive: Path) -> None:
        """Write an image to an archive, as `docker save` does."""
        with asking(f"cannot save the image {tag} to {archive}"), archive.open("wb") as file:
            for part in self._api.get_image(tag):
                file.write(part)

    def load_image(self, archive: Path) -> None:
        """Take in an image from an archive, as `docker load` does; returns when the engine has it."""
        what = f"cannot load an image from {archive}"
        with asking(what), archive.open("rb") as file:
            for step in self._api.load_image(file) or ():
                if "error" in step:
                    raise EmuError(what, f"Docker: {step['error']}", FIX)

    def remove_image(self, tag: str) -> None:
        """Remove an image and its files; one that is gone already is no error."""
        with asking(f"cannot remove the image {tag}", no_error=(404,)):
            self._api.remove_image(tag, force=True)

    def labelled_images(self, label: str) -> list[dict[str, Any]]:
        """Every image with a label: the engine's own summaries."""
        with asking("cannot list images"):
            return list(self._api.images(filters={"label": label}))

    def build(self, tag: str, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> None:
        """Build an image from `files` (name in the context → a file, a folder or bytes; one is `Dockerfile`)."""
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, what in files.items():
                if isinstance(what, bytes):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(what)
                    archive.addfile(entry, io.BytesIO(what))
                else:
                    archive.add(what, arcname=name, filter=_as_root)
        context.seek(0)
        said: list[str] = []
        failed, image = f"cannot build the image {tag}", ""
        with asking(failed):
            for step in self._api.build(
                fileobj=context, custom_context=True, labels=dict(labels), rm=True, forcerm=True, decode=True
            ):
                said.append(str(step.get("stream", "")).rstrip())
                image = (step.get("aux") or {}).get("ID") or image
                if "error" in step:
                    raise EmuError(failed, str(step["error"]), "\n".join(said[-10:]) or FIX)
        if not image:
            raise EmuError(failed, "the engine did not name what it built", "\n".join(said[-10:]) or FIX)
        self._write_out(failed)
        self.tag(image, tag)

    def _write_out(self, failed: str) -> None:
        """Have what the engine made on its disk before it has its name, where that disk is this machine's and may be
        looked at, as in a sandbox by root: that may be killed any time, and its next one would find the image, and
        files without what is in them.
        """
        with asking(failed):
            folder = Path(str(self._api.info().get("DockerRootDir") or "/var/lib/docker"))
        if os.access(folder, os.R_OK):
            command.run(["sync", "-f", str(folder)], what=failed, fix=FIX, timeout_s=_WRITE_OUT_S)


def instructions(config: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """How an image's containers run, as a Dockerfile has it: what `docker import` takes. Ports and volumes are left
    out, as is a health check.
    """
    variables = (one.partition("=") for one in config.get("Env") or ())
    lines = [f"ENV {name}={_quoted(value)}" for name, _, value in variables]
    for word, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")):
        if config.get(key):
            lines.append(f"{word} {json.dumps(config[key], ensure_ascii=False)}")
    for word, key in (("USER", "User"), ("WORKDIR", "WorkingDir"), ("STOPSIGNAL", "StopSignal")):
        if config.get(key):
            lines.append(f"{word} {config[key]}")
    return [*lines, *(f"LABEL {_quoted(name)}={_quoted(value)}" for name, value in labels.items())]


def _quoted(value: str) -> str:
    """A word in a Dockerfile, none of whose signs means anything."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in entry.name.split("/"):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644  # whatever the umask of emu's own files was
    return entry
