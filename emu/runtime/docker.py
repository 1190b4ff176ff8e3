"""The one door to Docker: everything asked of the engine passes here, through its own SDK.

Whatever is made carries our labels, so that `emu clean` finds it. Ids are the engine's full container ids.
"""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.types import LogConfig, Mount, Ulimit
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from emu.errors import EmuError
from emu.runtime.api import (
    LABEL_CONTAINER,
    LABEL_RUN,
    MOST_OUTPUT,
    NOFILE,
    USER,
    ContainerRequest,
    EngineFacts,
    EngineGone,
    Executed,
)

__all__ = ["LABEL_CONTAINER", "LABEL_RUN", "ContainerRequest", "Engine", "EngineFacts", "EngineGone", "Executed"]

_API_TIMEOUT_S = 120
_PING_S = 2
_PING_LOOK_S = 0.2
_EXEC_END_S = 2.0
_EXEC_LOOK_S = 0.01
_FIX = "see whether the engine answers: docker info"


def memory_arguments(memory_max: int | None, swap_max: int | None) -> dict[str, int]:
    """Docker's `mem_limit` and `memswap_limit` for a memory.max and a memory.swap.max.

    Docker counts memory and swap together, and with only a memory limit allows as much swap again: both are always
    set. Without a memory limit Docker cannot limit swap; the pod then writes memory.swap.max itself.
    """
    if memory_max is None:
        return {}
    total = -1 if swap_max is None else memory_max + swap_max
    return {"mem_limit": memory_max, "memswap_limit": total}


class Engine:
    """A Docker engine on this machine. No I/O in the constructor; `connect` first."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None

    def connect(self) -> EngineFacts:
        """Ask the engine who it is. EmuError where none answers."""
        try:
            self._client = docker.from_env(timeout=_API_TIMEOUT_S)
            info = self._api.info()
        except (docker.errors.DockerException, RequestException) as error:
            raise EmuError(
                "cannot reach a Docker engine",
                str(error),
                "start one (systemctl start docker), or run on our own kernel: emu run --on sandbox …",
            ) from error
        return EngineFacts(
            version=str(info.get("ServerVersion", "")),
            cgroup_driver=str(info.get("CgroupDriver", "")),
            cgroup_version=str(info.get("CgroupVersion", "1")),
            storage_driver=str(info.get("Driver", "")),
            root_dir=str(info.get("DockerRootDir", "/var/lib/docker")),
        )

    def await_back(self, patience_s: float) -> bool:
        """Whether the engine answers, now or within that time."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                docker.from_env(timeout=_PING_S).close()  # it asks for the engine's version
                return True
            except (docker.errors.DockerException, RequestException):
                if time.monotonic() > deadline:
                    return False
            time.sleep(_PING_LOOK_S)

    @property
    def _api(self) -> Any:  # the SDK's published types cover it only in part
        assert self._client is not None, "connect() comes first"
        return self._client.api

    def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image; None where the engine does not have it."""
        found: dict[str, Any] | None = None
        with _asking(f"cannot inspect the image {tag}", no_error=(404,)):
            found = self._api.inspect_image(tag)
        return None if found is None else dict((found.get("Config") or {}).get("Labels") or {})

    def image_id(self, tag: str) -> str | None:
        """The id of an image; None where the engine does not have it."""
        found: dict[str, Any] | None = None
        with _asking(f"cannot inspect the image {tag}", no_error=(404,)):
            found = self._api.inspect_image(tag)
        return None if found is None else str(found["Id"])

    def image_user(self, tag: str) -> int:
        """By the image's configuration. A name is taken for distroless' `nonroot`: the image alone knows."""
        with _asking(f"cannot inspect the image {tag}"):
            user = str((self._api.inspect_image(tag).get("Config") or {}).get("User") or "0").partition(":")[0]
        return int(user) if user.isdigit() else 0 if user == "root" else USER

    def tag(self, image: str, tag: str) -> None:
        """Give an image another name (`repository:tag`) besides."""
        repository, _, version = tag.rpartition(":")
        with _asking(f"cannot tag the image {image} as {tag}"):
            self._api.tag(image, repository, version)

    def image_tags(self) -> list[tuple[str, int]]:
        """Every tag that the engine has, with its size in bytes."""
        with _asking("cannot list images"):
            found = self._api.images()
        return sorted((tag, int(image["Size"])) for image in found for tag in image.get("RepoTags") or [])

    def image_folders(self, tag: str) -> list[Path]:
        """The folders of an image's layers on this machine; empty where the storage driver is not overlay2."""
        with _asking(f"cannot inspect the image {tag}"):
            data = self._api.inspect_image(tag).get("GraphDriver", {}).get("Data") or {}
        folders = [data.get("UpperDir", ""), *data.get("LowerDir", "").split(":")]
        return [Path(folder) for folder in folders if folder]

    def flatten(self, tag: str, into: str, labels: Mapping[str, str], scratch: Path) -> None:
        """Make an image `into` with the files and the configuration of `tag`, in a single layer that it shares with
        no other image. `scratch` is a folder with room for its files.
        """
        archive = scratch / "files.tar"
        try:
            with _asking(f"cannot make an image of its own from {tag}"):
                made = str(self._api.create_container(tag, command=["none"], labels=dict(labels))["Id"])
                try:
                    with archive.open("wb") as file:
                        for part in self._api.export(made):
                            file.write(part)
                finally:
                    self.remove(made)
                changes = instructions(self._api.inspect_image(tag).get("Config") or {}, labels)
                self._api.import_image_from_file(str(archive), repository=into, tag="latest", changes=changes)
        finally:
            archive.unlink(missing_ok=True)

    def save_image(self, tag: str, archive: Path) -> None:
        """Write an image to an archive, as `docker save` does."""
        with _asking(f"cannot save the image {tag} to {archive}"), archive.open("wb") as file:
            for part in self._api.get_image(tag):
                file.write(part)

    def load_image(self, archive: Path) -> None:
        """Take in an image from an archive, as `docker load` does; returns when the engine has it."""
        what = f"cannot load an image from {archive}"
        with _asking(what), archive.open("rb") as file:
            for step in self._api.load_image(file) or ():
                if "error" in step:
                    raise EmuError(what, f"Docker: {step['error']}", _FIX)

    def remove_image(self, tag: str) -> None:
        """Remove an image and its files; one that is gone already is no error."""
        with _asking(f"cannot remove the image {tag}", no_error=(404,)):
            self._api.remove_image(tag, force=True)

    def labelled_images(self, label: str) -> list[dict[str, Any]]:
        """Every image with a label: the engine's own summaries."""
        with _asking("cannot list images"):
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
        failed = f"cannot build the image {tag}"
        with _asking(failed):
            for step in self._api.build(
                fileobj=context, custom_context=True, tag=tag, labels=dict(labels), rm=True, forcerm=True, decode=True
            ):
                said.append(str(step.get("stream", "")).rstrip())
                if "error" in step:
                    raise EmuError(failed, str(step["error"]), "\n".join(said[-10:]) or _FIX)

    def create(self, request: ContainerRequest) -> str:
        """Make a container; it is not started, and has no cgroup yet. Returns its id."""
        extra: dict[str, Any] = {}
        if request.network_of is not None:
            extra["network_mode"] = f"container:{request.network_of}"
        if request.volume is not None:
            extra["mounts"] = [Mount(target=request.volume[1], source=request.volume[0], type="volume")]
        if request.bind is not None:
            bind = Mount(target=request.bind[1], source=request.bind[0], type="bind", read_only=True)
            extra.setdefault("mounts", []).append(bind)
        if request.log_driver is not None:
            extra["log_config"] = LogConfig(type=request.log_driver, config={"tag": "{{.Name}}"})  # else its hash
        if request.millicores is not None:
            extra["cpu_period"], extra["cpu_quota"] = 100_000, max(1000, request.millicores * 100)
        if request.cgroup_parent is not None:
            extra["cgroup_parent"] = request.cgroup_parent
        with _asking(f"cannot make the container {request.name} from {request.image}"):
            host_config = self._api.create_host_config(
                oom_score_adj=request.oom_score_adj,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs={"/tmp": "size=16m,mode=1777"},  # noqa: S108  a path inside the container
                ulimits=[Ulimit(name="nofile", soft=NOFILE, hard=NOFILE)],
                **memory_arguments(request.memory_max, request.swap_max),
                **extra,
            )
            made = self._api.create_container(
                request.image,
                command=list(request.command) if request.command is not None else None,
                entrypoint=list(request.entrypoint) if request.entrypoint is not None else None,
                name=request.name,
                environment=dict(request.env),
                labels=dict(request.labels),
                user=request.user,
                host_config=host_config,
            )
        return str(made["Id"])

    def start(self, container_id: str) -> None:
        """Start a container; returns when its process runs (it may have ended again by then)."""
        with _asking(f"cannot start the container {container_id[:12]}"):
            self._api.start(container_id)

    def state(self, container_id: str) -> dict[str, Any]:
        """The engine's `State` of a container: Status, Pid, ExitCode, OOMKilled, StartedAt, FinishedAt …"""
        return dict(self._inspect(container_id)["State"])

    def address(self, container_id: str) -> str:
        """A container's IP address on the bridge network."""
        networks = self._inspect(container_id)["NetworkSettings"]["Networks"]
        addresses = [network["IPAddress"] for network in networks.values() if network.get("IPAddress")]
        if not addresses:
            raise EmuError(
                f"the container {container_id[:12]} has no IP address", "the engine gave it no bridge network", _FIX
            )
        return str(addresses[0])

    def _inspect(self, container_id: str) -> dict[str, Any]:
        with _asking(f"cannot inspect the container {container_id[:12]}"):
            return dict(self._api.inspect_container(container_id))

    def kill(self, container_id: str, signal: str = "KILL") -> None:
        """Send a signal; nothing happens where the container does not run any more."""
        with _asking(f"cannot signal the container {container_id[:12]}", no_error=(404, 409)):
            self._api.kill(container_id, signal=signal)

    def execute(self, container_id: str, command: Sequence[str], timeout_s: float) -> Executed:
        """Run a command in a running container, as its user and charged to its cgroup; killed after `timeout_s`.
        EmuError where it could not be started. Not to be called for a paused container: Docker refuses.
        """
        what = f"cannot run {command[0]!r} in the container {container_id[:12]}"
        said: list[bytes] = []
        failure: list[EmuError] = []
        with _asking(what):
            ident = str(self._api.exec_create(container_id, list(command))["Id"])

        def run() -> None:
            try:
                with _asking(what):
                    said.append(self._api.exec_start(ident) or b"")
            except EmuError as error:
                failure.append(error)

        runner = threading.Thread(target=run, name=f"exec-{container_id[:12]}", daemon=True)
        runner.start()
        runner.join(timeout_s)
        timed_out = runner.is_alive()
        if timed_out:
            self._end_execution(ident)
            runner.join(_EXEC_END_S)
        if failure and not timed_out:
            raise failure[0]
        output = b"".join(said)[:MOST_OUTPUT].decode(errors="replace")
        with _asking(what):
            code = None if timed_out else self._exit_code(ident)
        if code in (126, 127) and "exec failed" in output:
            raise EmuError(what, output.strip(), "give a program that is in the container's image")
        return Executed(code, output)

    def _end_execution(self, ident: str) -> None:
        """Kill what an exec started: Docker itself lets it run on."""
        with suppress(EmuError, ProcessLookupError):
            with _asking("cannot end a command"):
                state = self._api.exec_inspect(ident)
            if state.get("Running") and state.get("Pid"):
                os.kill(int(state["Pid"]), signal.SIGKILL)

    def _exit_code(self, ident: str) -> int | None:
        """The exit code of an exec whose output has ended; None where the engine never told."""
        deadline = time.monotonic() + _EXEC_END_S
        while (state := self._api.exec_inspect(ident)).get("Running") and time.monotonic() < deadline:
            time.sleep(_EXEC_LOOK_S)
        code = state.get("ExitCode")
        return None if code is None else int(code)

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; nothing happens where it does not run."""
        with _asking(f"cannot stop the container {container_id[:12]}", no_error=(304, 404)):
            self._api.stop(container_id, timeout=grace_s)

    def pause(self, container_id: str) -> None:
        """Freeze a container, so that `docker ps` says Paused; one that is paused already is no error."""
        with _asking(f"cannot pause the container {container_id[:12]}", or_words="already paused"):
            self._api.pause(container_id)

    def unpause(self, container_id: str) -> bool:
        """Let a container that Docker paused run again; False where it is not paused, as far as the engine knows."""
        what = f"cannot unpause the container {container_id[:12]}"
        with _asking(what, no_error=(404,), or_words="not paused"):
            self._api.unpause(container_id)
            return True
        return False

    def remove(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone already is no error."""
        what = f"cannot remove the container {container_id[:12]}"
        with _asking(what, no_error=(404,), or_words="already in progress"):
            self._api.remove_container(container_id, force=True, v=True)

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a named volume, on the engine's own disk."""
        with _asking(f"cannot make the volume {name}"):
            self._api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is no error."""
        with _asking(f"cannot remove the volume {name}", no_error=(404,)):
            self._api.remove_volume(name, force=True)

    def labelled(self, label: str) -> list[dict[str, Any]]:
        """Every container with a label (`key` or `key=value`), running or not: the engine's own summaries."""
        with _asking("cannot list containers"):
            return list(self._api.containers(all=True, filters={"label": label}))

    def labelled_volumes(self, label: str) -> list[str]:
        """The names of every volume with a label."""
        with _asking("cannot list volumes"):
            found = self._api.volumes(filters={"label": label}).get("Volumes") or []
        return [str(volume["Name"]) for volume in found]

    def logs(self, container_id: str) -> Iterator[bytes]:
        """What a container prints, from its start, until it ends."""
        with _asking(f"cannot follow the output of the container {container_id[:12]}"):
            yield from self._api.logs(container_id, stdout=True, stderr=True, stream=True, follow=True)

    def events(self, label: str, on_open: Callable[[Any], None]) -> Iterator[dict[str, Any]]:
        """The engine's events for containers with a label, from now on, until the stream is closed. `on_open` gets
        the stream, whose `close()` ends the iteration from another thread.
        """
        with _asking("cannot follow the engine's events"):
            stream = self._api.events(
                since=int(time.time()), filters={"label": label, "type": "container"}, decode=True
            )
            on_open(stream)
            yield from stream


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
    return entry


@contextmanager
def _asking(what: str, *, no_error: tuple[int, ...] = (), or_words: str = "") -> Iterator[None]:
    """Around what the engine is asked. What it refuses is an EmuError, unless its status is one of `no_error` or its
    answer has these words; where nobody answers it is EngineGone.
    """
    try:
        yield
    except docker.errors.APIError as error:
        if error.status_code in no_error or (or_words and or_words in str(error)):
            return
        raise EmuError(what, f"Docker: {error.explanation or error}", _FIX) from error
    except (RequestException, HTTPError, ConnectionError) as error:
        raise EngineGone(f"{what}: {_root_cause(error)}") from error
    except OSError as error:
        raise EmuError(what, str(error), _FIX) from error


def _root_cause(error: BaseException) -> str:
    """What the kernel said at the bottom of a pile of libraries' errors."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
