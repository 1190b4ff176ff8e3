"""What `emu doctor` says of the virtual machine is true in it: played where these tests run in one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emu.doctor.facts import gather_facts
from emu.run.machine import where
from emu.runtime.docker import Engine
from emu.scenario.reading import DEFAULT_SCENARIO
from tests.scenario.support import Finished, leftovers

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.part(name="process"),
    pytest.mark.skipif(where() != "sandbox:qemu", reason="only in a virtual machine: make test-systemd"),
]


def test_it_has_what_the_sandbox_lacks() -> None:
    """PSI, io.weight, several CPUs, and Docker with the driver of systemd."""
    facts = gather_facts()
    assert (facts.psi, facts.io_weight, facts.cpus >= 2, facts.swap_bytes > 0) == (True, True, True, True)
    assert facts.docker is not None and facts.docker.cgroup_driver == "systemd"


def test_the_default_scenario_comes_true_in_it_and_has_pressure(
    engine: Engine, emu_run: Callable[..., Finished]
) -> None:
    """All that it expects, here up to the first restart; and pressure of the pod and of each container, in
    milliseconds, where the sandbox has none. Nothing is left behind.
    """
    done = emu_run(DEFAULT_SCENARIO, "load.phases.steady.until.restarts=1")  # a second kill takes as long again
    unmet = [entry for entry in done.summary["expectations"] if not entry["met"]]
    assert (done.status, unmet) == (0, [])
    assert leftovers(engine) == []
    assert done.summary["machine"]["psi"] is True
    for figures in (done.summary["pod"], *done.summary["containers"].values()):
        assert figures["memory_stall_some_ms"] >= figures["memory_stall_full_ms"] >= 0
