"""The connection to Docker: who the engine is, whether it answers, and what its refusals are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from emu.errors import EmuError
from emu.runtime.api import EngineFacts, EngineGone

_API_TIMEOUT_S = 120
_PING_S = 2
_PING_LOOK_S = 0.2
FIX = "see whether the engine answers: docker info"


class DockerClient:
    """A connection to the Docker engine on this machine. No I/O in the constructor; `connect` first."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None

    def connect(self) -> EngineFacts:
        """Ask the engine who it is. EmuError where none answers."""
        try:
            self._client = docker.from_env(timeout=_API_TIMEOUT_S)
            info = self._api.info()
        except (docker.errors.DockerException, RequestException, ValueError) as error:  # ValueError: of DOCKER_HOST
            raise EmuError(
                "cannot reach a Docker engine",
                str(error),
                "start one (systemctl start docker), or use the User-Mode Linux sandbox: emu run --on sandbox …",
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


@contextmanager
def asking(what: str, *, no_error: tuple[int, ...] = (), or_words: str = "") -> Iterator[None]:
    """Around what the engine is asked. What it refuses is an EmuError, unless its status is one of `no_error` or its
    answer has these words; where there is no answer it is EngineGone.
    """
    try:
        yield
    except docker.errors.APIError as error:
        if error.status_code in no_error or (or_words and or_words in str(error)):
            return
        raise EmuError(what, f"Docker: {error.explanation or error}", FIX) from error
    except (RequestException, HTTPError, ConnectionError) as error:
        raise EngineGone(f"{what}: {_root_cause(error)}") from error
    except OSError as error:
        raise EmuError(what, str(error), FIX) from error


def _root_cause(error: BaseException) -> str:
    """What the kernel said at the bottom of a pile of libraries' errors."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
