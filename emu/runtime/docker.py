"""The one door to Docker: everything asked of the engine passes here, through its own SDK.

Whatever is made carries our labels, so that `emu clean` finds it. Ids are the engine's full container ids.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from emu.errors import EmuError
from emu.policy.kubelet.objectfiles import Content
from emu.runtime.api import (
    LABEL_CONTAINER,
    LABEL_RUN,
    MOST_OUTPUT,
    NOFILE,
    OWN_VOLUME,
    USER,
    ContainerRequest,
    ContainerStatus,
    EngineFacts,
    EngineGone,
    Executed,
    Labelled,
    RuntimeEvent,
    VolumeKind,
)
from emu.runtime.docker_client import FIX, asking
from emu.runtime.docker_images import DockerImages
from emu.runtime.filling import fill

__all__ = ["LABEL_CONTAINER", "LABEL_RUN", "ContainerRequest", "Engine", "EngineFacts", "EngineGone", "Executed"]

_EXEC_END_S = 2.0
_EXEC_LOOK_S = 0.01


def memory_arguments(memory_max: int | None, swap_max: int | None) -> dict[str, int]:
    """Docker's `mem_limit` and `memswap_limit` for a memory.max and a memory.swap.max.

    Docker counts memory and swap together, and with only a memory limit allows as much swap again: both are always
    set. Without a memory limit Docker cannot limit swap; the pod then writes memory.swap.max itself.
    """
    if memory_max is None:
        return {}
    total = -1 if swap_max is None else memory_max + swap_max
    return {"mem_limit": memory_max, "memswap_limit": total}


class Engine(DockerImages):
    """A Docker engine on this machine, with its containers, volumes and images. `connect` first."""

    def create(self, request: ContainerRequest) -> str:
        """Make a container; it is not started, and has no cgroup yet. Returns its id."""
        extra: dict[str, Any] = {}
        if request.network_of is not None:
            extra["network_mode"] = extra["ipc_mode"] = f"container:{request.network_of}"
        else:
            extra["ipc_mode"] = "shareable"  # for those that share its network
            if request.shm_bytes is not None:
                extra["shm_size"] = request.shm_bytes
        mounts = [
            Mount(target=one.path, source=one.volume, type="volume", read_only=one.read_only, no_copy=not one.filled)
            for one in request.mounts
        ]
        if request.bind is not None:
            mounts.append(Mount(target=request.bind[1], source=request.bind[0], type="bind", read_only=True))
        if mounts:
            extra["mounts"] = mounts
        if request.log_driver is not None:
            extra["log_config"] = LogConfig(type=request.log_driver, config={"tag": "{{.Name}}"})  # else its hash
        if request.millicores is not None:
            extra["cpu_period"], extra["cpu_quota"] = 100_000, max(1000, request.millicores * 100)
        if request.cpu_shares is not None:
            extra["cpu_shares"] = request.cpu_shares
        drop = ["ALL"] if request.confined else list(request.cap_drop)
        extra |= {"cap_add": list(request.cap_add), "cap_drop": drop}
        extra["read_only"] = request.confined or request.read_only
        if request.confined:
            extra["tmpfs"] = {"/tmp": "size=16m,mode=1777"}  # noqa: S108  a path inside the container
        if request.cgroup_parent is not None:
            extra["cgroup_parent"] = request.cgroup_parent
        with asking(f"cannot make the container {request.name} from {request.image}"):
            host_config = self._api.create_host_config(
                oom_score_adj=request.oom_score_adj,
                security_opt=["no-new-privileges"],
                ulimits=[Ulimit(name="nofile", soft=NOFILE, hard=NOFILE)],
                **memory_arguments(request.memory_max, request.swap_max),
                **extra,
            )
            made = self._api.create_container(
                request.image,
                command=list(request.command) if request.command is not None else None,
                entrypoint=list(request.entrypoint) if request.entrypoint is not None else None,
                name=request.name,
                hostname=request.hostname,
                environment=dict(request.env),
                labels=dict(request.labels),
                user=request.user,
                working_dir=request.working_dir,
                host_config=host_config,
            )
        return str(made["Id"])

    def start(self, container_id: str) -> None:
        """Start a container; returns when its process runs (it may have ended again by then)."""
        with asking(f"cannot start the container {container_id[:12]}"):
            self._api.start(container_id)

    def state(self, container_id: str) -> ContainerStatus:
        """The engine's `State` of a container, and its image."""
        found = self._inspect(container_id)
        state = found["State"]
        return ContainerStatus(
            phase=str(state["Status"]),
            pid=int(state.get("Pid") or 0),
            exit_code=int(state.get("ExitCode", -1)),
            oom_killed=state.get("OOMKilled"),
            started_at=str(state.get("StartedAt") or ""),
            finished_at=str(state.get("FinishedAt") or ""),
            image_id=str(found.get("Image") or ""),
        )

    def address(self, container_id: str) -> str:
        """A container's IP address on the bridge network."""
        networks = self._inspect(container_id)["NetworkSettings"]["Networks"]
        addresses = [network["IPAddress"] for network in networks.values() if network.get("IPAddress")]
        if not addresses:
            raise EmuError(
                f"the container {container_id[:12]} has no IP address", "the engine gave it no bridge network", FIX
            )
        return str(addresses[0])

    def _inspect(self, container_id: str) -> dict[str, Any]:
        with asking(f"cannot inspect the container {container_id[:12]}"):
            return dict(self._api.inspect_container(container_id))

    def kill(self, container_id: str, signal: str = "KILL") -> None:
        """Send a signal; nothing happens where the container does not run any more."""
        with asking(f"cannot signal the container {container_id[:12]}", no_error=(404, 409)):
            self._api.kill(container_id, signal=signal)

    def execute(self, container_id: str, command: Sequence[str], timeout_s: float) -> Executed:
        """Run a command in a running container, as its user and charged to its cgroup; killed after `timeout_s`.
        EmuError where it could not be started. Not to be called for a paused container: Docker refuses.
        """
        what = f"cannot run {command[0]!r} in the container {container_id[:12]}"
        said: list[bytes] = []
        failure: list[EmuError] = []
        with asking(what):
            ident = str(self._api.exec_create(container_id, list(command))["Id"])

        def run() -> None:
            try:
                with asking(what):
                    said.append(self._api.exec_start(ident) or b"")
            except EmuError as error:
                failure.append(error)

        runner = threading.Thread(target=run, name=f"exec-{container_id[:12]}", daemon=True)
        runner.start()
        runner.join(timeout_s)
        timed_out = runner.is_alive()
        if timed_out:
            threading.Thread(target=self._end_execution, args=(ident, runner), daemon=True).start()
            runner.join(_EXEC_END_S)
        if failure and not timed_out:
            raise failure[0]
        output = b"".join(said)[:MOST_OUTPUT].decode(errors="replace")
        with asking(what):
            code = None if timed_out else self._exit_code(ident)
        if code in (126, 127) and "exec failed" in output:
            raise EmuError(what, output.strip(), "give a program that is in the container's image")
        return Executed(code, output)

    def _end_execution(self, ident: str, runner: threading.Thread) -> None:
        """Kill what an exec started: Docker itself lets it run on. On a busy machine it may only start after its time
        is over, so this waits for it.
        """
        with suppress(EmuError):
            while runner.is_alive():
                with asking("cannot end a command"):
                    state = self._api.exec_inspect(ident)
                if state.get("Running") and state.get("Pid"):
                    with suppress(ProcessLookupError):
                        os.kill(int(state["Pid"]), signal.SIGKILL)
                elif state.get("ExitCode") is not None:
                    return  # it has ended; what it left has its output open
                runner.join(_EXEC_LOOK_S)

    def _exit_code(self, ident: str) -> int | None:
        """The exit code of an exec whose output has ended; None where the engine never reported it."""
        deadline = time.monotonic() + _EXEC_END_S
        while (state := self._api.exec_inspect(ident)).get("Running") and time.monotonic() < deadline:
            time.sleep(_EXEC_LOOK_S)
        code = state.get("ExitCode")
        return None if code is None else int(code)

    def stop(self, container_id: str, grace_s: int) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; nothing happens where it does not run."""
        with asking(f"cannot stop the container {container_id[:12]}", no_error=(304, 404)):
            self._api.stop(container_id, timeout=grace_s)

    def pause(self, container_id: str) -> None:
        """Freeze a container, so that `docker ps` says Paused; one that is paused already is no error."""
        with asking(f"cannot pause the container {container_id[:12]}", or_words="already paused"):
            self._api.pause(container_id)

    def unpause(self, container_id: str) -> bool:
        """Let a container that Docker paused run again; False where it is not paused, as far as the engine knows."""
        what = f"cannot unpause the container {container_id[:12]}"
        with asking(what, no_error=(404,), or_words="not paused"):
            self._api.unpause(container_id)
            return True
        return False

    def remove(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone already is no error."""
        what = f"cannot remove the container {container_id[:12]}"
        with asking(what, no_error=(404,), or_words="already in progress"):
            self._api.remove_container(container_id, force=True, v=True)

    def create_volume(self, name: str, labels: Mapping[str, str], kind: VolumeKind = OWN_VOLUME) -> None:
        """Make a named volume, on the engine's own disk or as a tmpfs."""
        options = None
        if kind.memory_bytes is not None:
            words = [f"size={kind.memory_bytes}", "mode=0777" if kind.shared else f"uid={USER},gid={USER}"]
            words += ["noswap"] if kind.noswap else []
            options = {"type": "tmpfs", "device": "tmpfs", "o": ",".join(words)}
        with asking(f"cannot make the volume {name}"):
            made = self._api.create_volume(name, labels=dict(labels), driver_opts=options)
            if options is None and kind.shared:
                Path(made["Mountpoint"]).chmod(0o777)

    def fill_volume(self, name: str, files: Mapping[str, Content]) -> None:
        """In the engine's own folder of it."""
        with asking(f"cannot fill the volume {name}"):
            folder = Path(self._api.inspect_volume(name)["Mountpoint"])
        fill(folder, files)

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is no error."""
        with asking(f"cannot remove the volume {name}", no_error=(404,)):
            self._api.remove_volume(name, force=True)

    def labelled(self, label: str) -> list[Labelled]:
        """Every container with a label (`key` or `key=value`), running or not."""
        with asking("cannot list containers"):
            found = list(self._api.containers(all=True, filters={"label": label}))
        return [
            Labelled(
                id=str(one["Id"]),
                name=str((one.get("Names") or ["?"])[0]).removeprefix("/"),
                labels=one["Labels"],
                phase=str(one.get("State") or ""),
            )
            for one in found
        ]

    def labelled_volumes(self, label: str) -> list[str]:
        """The names of every volume with a label."""
        with asking("cannot list volumes"):
            found = self._api.volumes(filters={"label": label}).get("Volumes") or []
        return [str(volume["Name"]) for volume in found]

    def logs(self, container_id: str) -> Iterator[bytes]:
        """What a container prints, from its start, until it ends."""
        with asking(f"cannot follow the output of the container {container_id[:12]}"):
            yield from self._api.logs(container_id, stdout=True, stderr=True, stream=True, follow=True)

    def events(self, label: str, on_open: Callable[[Any], None]) -> Iterator[RuntimeEvent]:
        """The engine's events for containers with a label, from now on, until the stream is closed. `on_open` gets
        the stream, whose `close()` ends the iteration from another thread.
        """
        with asking("cannot follow the engine's events"):
            stream = self._api.events(
                # From a moment before: what happens between the request and its first answer is not missed.
                since=int(time.time()),
                filters={"label": label, "type": "container"},
                decode=True,
            )
            on_open(stream)
            yield from map(_event, stream)


def _event(said: Mapping[str, Any]) -> RuntimeEvent:
    actor = said.get("Actor", {})
    attributes = {str(key): str(value) for key, value in (actor.get("Attributes") or {}).items()}
    return RuntimeEvent(
        str(said.get("Action", "")), str(actor.get("ID", "")), attributes, int(said.get("timeNano", 0))
    )
