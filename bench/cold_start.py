"""A pod's cold start, its images present, beside `docker run` of the same images, as JSON, where runs take place.

- `app`: the app's container alone, made, started and asked as a pod's is (limits, read-only root, volume, the pod's
  cgroup, control files), beside `docker run -d` of the same image through the engine's API, without any option;
- `pod`: all of it (the pod's cgroup and volume, pause container, queue-proxy, app; a request through queue-proxy),
  beside three `docker run -d` in the same order and one network, and a request through the same queue-proxy.

Each ends with the first answer of 200, asked for in the same way; the two alternate, and ratios are taken within a
round.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import psutil

from cgroups.mount import find_cgroup2
from emu.daemon.activator.probe import probe_request
from emu.kubelet.host import Host
from emu.kubelet.pod import Pod
from emu.kubelet.pods import Pods
from emu.kubelet.volumes import Volumes
from emu.machine.owner import owner
from emu.messages import APP, QUEUE_PORT, QUEUE_PROXY, SANDBOX, USER_PORT
from emu.policy.kubelet.derived import NodeRules
from emu.record.events import EventLog
from emu.runtime import images
from emu.runtime.docker import LABEL_RUN, Engine
from emu.runtime.podcgroup import run_cgroup
from emu.serving.template import pod_template, queue_proxy_environment
from emu.spec import PodSpec

ROUNDS = 8
WARM_UP = 1
DEADLINE_S = 120.0
ASK_EVERY_S = 0.005
PROBE_EVERY_S = 0.025
SPEC = {"app": {"resources": {"limits": {"memory": "256Mi"}}}, "queueProxy": {}}
Stamp = Callable[[str], None]
Taken = dict[str, float]


def await_ready(address: str) -> None:
    """Probe queue-proxy, as the activator does, until it says that the app is ready."""
    until = time.monotonic() + DEADLINE_S
    while not _is_ready(address):
        if time.monotonic() > until:
            raise TimeoutError("the pod did not become ready")
        time.sleep(PROBE_EVERY_S)


def _is_ready(address: str) -> bool:
    try:
        with socket.create_connection((address, QUEUE_PORT), timeout=DEADLINE_S) as connection:
            connection.sendall(probe_request(address, QUEUE_PORT))
            return b" 200 " in connection.recv(65536).split(b"\r\n", 1)[0]
    except OSError:
        return False


def first_answer(address: str, port: int) -> None:
    """Ask until the answer is 200."""
    until = time.monotonic() + DEADLINE_S
    while True:
        connection = HTTPConnection(address, port, timeout=DEADLINE_S)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            if time.monotonic() > until:
                raise
        finally:
            connection.close()
        time.sleep(ASK_EVERY_S)


class Plain:
    """`docker run -d`, as the engine sees it: create and start, through its API."""

    def __init__(self) -> None:
        self.api = docker.from_env().api
        self._made: list[str] = []

    def run(self, image: str, network_of: str | None = None, **more: Any) -> str:
        """A container's id."""
        network = None if network_of is None else f"container:{network_of}"
        config = self.api.create_host_config(network_mode=network)
        made = str(self.api.create_container(image, host_config=config, labels={LABEL_RUN: "bench"}, **more)["Id"])
        self._made.append(made)
        self.api.start(made)
        return made

    def address(self, container: str) -> str:
        """Its address on the bridge."""
        return str(self.api.inspect_container(container)["NetworkSettings"]["IPAddress"])

    def clear(self) -> None:
        """Remove what was run, the last first."""
        while self._made:
            self.api.remove_container(self._made.pop(), force=True, v=True)


@contextmanager
def pod(engine: Engine, folder: Path) -> Iterator[Pod]:
    """A pod whose containers are to be made."""
    name = f"emu-bench-{time.monotonic_ns()}"
    cgroup = run_cgroup(str(docker.from_env().info()["CgroupDriver"]), find_cgroup2(), name)
    template, log = pod_template(PodSpec.model_validate(SPEC)), EventLog(folder / "events.jsonl")
    host = Host(engine, name, NodeRules(psutil.virtual_memory().total), owner())
    with Volumes(engine, template, name, "pod", owner()) as volumes, Pods(host, cgroup, log) as pods:
        made = pods.plan(template, "pod", volumes)
        pods.place(made)
        yield made


def app_of_pod(engine: Engine, folder: Path, stamp: Stamp) -> None:
    """The app's container as a pod has it, with a network of its own."""
    with pod(engine, folder) as made:
        stamp("begin")
        app = made.create(APP, 0)
        stamp("create")
        made.start(app)
        stamp("start")
        first_answer(engine.address(app.id), USER_PORT)
        stamp("answer")


def app_plain(plain: Plain, stamp: Stamp) -> None:
    """The same image."""
    stamp("begin")
    first_answer(plain.address(plain.run(images.APP)), USER_PORT)
    stamp("answer")


def whole_pod(engine: Engine, folder: Path, stamp: Stamp) -> None:
    """As a cold start has it."""
    stamp("begin")
    with pod(engine, folder) as made:
        stamp("cgroup, volume")
        made.open()
        stamp(SANDBOX)
        for name in made.containers:
            made.start(made.create(name, 0))
            stamp(name)
        await_ready(made.address)
        stamp("readiness")
        first_answer(made.address, QUEUE_PORT)
        stamp("answer")


def three_plain(plain: Plain, stamp: Stamp) -> None:
    """As many containers of the same images."""
    stamp("begin")
    pause = plain.run(images.BASE, command=["sleep", "infinity"])
    address = plain.address(pause)
    stamp(SANDBOX)
    environment = queue_proxy_environment(0, USER_PORT, address, "bench")
    plain.run(images.QUEUE_PROXY, pause, environment=environment)
    stamp(QUEUE_PROXY)
    plain.run(images.APP, pause)
    stamp(APP)
    first_answer(address, QUEUE_PORT)
    stamp("answer")


def timed(act: Callable[[Stamp], None]) -> Taken:
    """Milliseconds of each stage, and of all."""
    stamps: list[tuple[str, float]] = []
    act(lambda stage: stamps.append((stage, time.monotonic())))
    taken = {name: (t - before) * 1e3 for (_, before), (name, t) in pairwise(stamps)}
    return {**taken, "all": (stamps[-1][1] - stamps[0][1]) * 1e3}


def compare(ours: Callable[[Stamp], None], theirs: Callable[[Stamp], None], plain: Plain) -> dict[str, Any]:
    """Rounds of both, each first in turn."""
    rounds: list[tuple[Taken, Taken]] = []
    for number in range(ROUNDS + WARM_UP):
        took: dict[bool, Taken] = {}
        for mine in (True, False) if number % 2 else (False, True):
            took[mine] = timed(ours if mine else theirs)
            plain.clear()
        rounds.append((took[True], took[False]))
    counted = rounds[WARM_UP:]
    return {
        "emu_ms": _medians([mine for mine, _ in counted]),
        "docker_run_ms": _medians([other for _, other in counted]),
        "ratio": _spread([mine["all"] / other["all"] for mine, other in counted]),
        "rounds": len(counted),
    }


def _medians(taken: list[Taken]) -> Taken:
    return {name: round(statistics.median(one[name] for one in taken), 1) for name in taken[0]}


def _spread(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure, print JSON."""
    engine, plain = Engine(), Plain()
    engine.connect()
    images.ensure(engine, images.prepare())
    found: dict[str, Any] = {"kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg()}
    with TemporaryDirectory() as folder:
        try:
            found["app"] = compare(
                lambda stamp: app_of_pod(engine, Path(folder), stamp), lambda stamp: app_plain(plain, stamp), plain
            )
            found["pod"] = compare(
                lambda stamp: whole_pod(engine, Path(folder), stamp), lambda stamp: three_plain(plain, stamp), plain
            )
        finally:
            plain.clear()
    print(json.dumps({**found, "load_after": os.getloadavg()}, indent=2))


if __name__ == "__main__":
    main()
