"""Many pods' containers paused and resumed at once, by one daemon and one engine."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cgroups.group import own_cgroup
from emu.daemon.freezer.pods import FreezerPod, Target
from emu.runtime import images
from emu.runtime.docker import LABEL_RUN, ContainerRequest, Engine
from tests.kernel.freezer import Freezer, client

pytestmark = [pytest.mark.scenario, pytest.mark.part(name="daemons")]
PODS = 12


@pytest.fixture(scope="module")
def containers(engine: Engine) -> Iterator[list[str]]:
    """The ids of as many containers that sleep; they share the first one's network, which is all that takes long."""
    run = f"emu-many-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        made: list[str] = []
        for number in range(PODS):
            request = ContainerRequest(
                f"{run}.{number}", images.BASE, {LABEL_RUN: run}, command=["sleep", "infinity"],
                network_of=made[0] if made else None,
            )  # fmt: skip
            made.append(engine.create(request))
            stack.callback(engine.remove, made[-1])
            engine.start(made[-1])
        yield made


@pytest.mark.parametrize("method", ["docker", "cgroup"])
def test_many_containers_pause_and_resume_at_once(
    engine: Engine, containers: list[str], tmp_path: Path, method: str
) -> None:
    """Each by its own token: every other one, then all of them, then pauses and resumes mixed."""

    def cgroup(ident: str) -> Path:
        return own_cgroup(engine.state(ident).pid).path

    named = [
        FreezerPod(f"pod-{n}", f"token-{n}", (Target("app", 0, ident, cgroup(ident)),))
        for n, ident in enumerate(containers)
    ]
    freezer = Freezer(tmp_path, named, method=method)
    clients = [client(freezer, tmp_path, pod) for pod in named]

    def frozen() -> set[int]:
        reported = {
            n for n, pod in enumerate(named) if "frozen 1" in (pod.containers[0].cgroup / "cgroup.events").read_text()
        }
        if method == "docker":
            assert reported == {n for n, ident in enumerate(containers) if engine.state(ident).phase == "paused"}
        return reported

    async def at_once(**wanted: set[int]) -> None:
        await asyncio.gather(*(clients[n].act(action) for action, numbers in wanted.items() for n in numbers))

    async def story() -> None:
        everyone, odd = set(range(PODS)), set(range(1, PODS, 2))
        await at_once(pause=odd)
        assert frozen() == odd
        await at_once(pause=everyone)
        assert frozen() == everyone
        await at_once(resume=odd)
        assert frozen() == everyone - odd
        await at_once(pause=odd, resume=everyone - odd)
        assert frozen() == odd
        await at_once(resume=everyone)
        assert frozen() == set()
        for one in clients:
            one.close()

    try:
        asyncio.run(story())
    finally:
        freezer.close()
