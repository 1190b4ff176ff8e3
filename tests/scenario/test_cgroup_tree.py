"""The tree of cgroups of runs on the real kernel."""

from __future__ import annotations

from emu.study.study import read_study
from emu.study.tree import PROTECTION, charges, moments, places
from tests.scenario.test_memory_lab import EmuRun
from tests.scenario.test_scenarios import part_of

MIB = 2**20


@part_of("protection")
def test_it_shows_what_is_protected_and_that_the_node_was_full(emu_run: EmuRun) -> None:
    """protection: the tree is node, class, pod and container. web has the memory.low or memory.min of its variant, as
    has its container. When batch is killed the node is full, and most of it is batch's.
    """
    protected = []
    for run, summary in emu_run("protection").plays:
        study = read_study(run)
        rows = places(study)
        assert {"node", "class", "pod", "container"} <= {row.level for row in rows}
        found = charges(rows, moments(study, rows)[0].t)
        number = {row.name: at for at, row in enumerate(rows) if row.level in ("node", "pod")}
        (app,) = (at for at, row in enumerate(rows) if row.above == number["web"] and row.name == "app")
        node, batch = found[number["node"]], found[number["batch"]]
        assert node and batch and node.limits["memory.max"] == 192 * MIB
        for charge in (found[number["web"]], found[app]):
            assert charge
            protected.append({file: value for file, value in charge.limits.items() if file in PROTECTION})
        if summary["oom_kills"]:
            assert node.current and node.current > 0.9 * 192 * MIB
            assert batch.current and batch.current > node.current / 2
    low, least = {"memory.low": 96 * MIB}, {"memory.min": 96 * MIB}
    assert protected == [{}, {}, low, low, least, least]
