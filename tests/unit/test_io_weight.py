"""io.weight in a scenario: what is written for it, and where it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.kubelet import ioweight
from emu.machine.owner import owner
from emu.run import changed
from emu.run.sharing import shared
from emu.scenario.reading import read_scenario
from emu.serving.explained import explained
from emu.serving.template import pod_template
from emu.spec import IoCostSpec, ScenarioSpec

KEYS = "name: it\nquestion: What?\npod: {io: {weight: 10}}\n"
COST = "node: {io: {cost: {rbps: 8Mi}}}\n"


def scenario(more: str = "") -> ScenarioSpec:
    """A pod with a weight."""
    return read_scenario(KEYS + more, "it")


def machine(tmp_path: Path) -> tuple[Path, Path]:
    """The root of cgroups of a kernel that has it, and a run's."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "io.weight").write_text("default 100\n")
    for name in (ioweight.QOS, ioweight.MODEL):
        (tmp_path / name).write_text("")
    return tmp_path, run


def test_the_weight_is_the_pod_s_own() -> None:
    """Of its cgroup, as `emu explain` has it; the speed is the node's."""
    spec = scenario(COST)
    tree = explained(spec, spec.node.rules(4 << 30, 0))
    assert [(one.value, one.how) for one in tree.values if one.file == "io.cost.model"] == [
        ("rbps=8388608 wbps=8388608", "set in the scenario, of the disk: shared by io.weight")
    ]
    values = pod_template(spec.pod).values(spec.node.rules(4 << 30, 0))
    assert [one.value for one in values if one.file == "io.weight"] == ["10"]
    assert ioweight.asked(spec)
    assert not ioweight.asked(read_scenario("name: it\nquestion: What?\n", "it"))


def test_bytes_alone_cost_something() -> None:
    """A model of a given speed is kept to; without one it is the kernel's."""
    assert ioweight.lines("8:0", None) == ("8:0 enable=1 ctrl=auto", None)
    qos, model = ioweight.lines("8:0", IoCostSpec(rbps=8 << 20, wbps=1 << 20))
    assert qos.startswith("8:0 enable=1 ctrl=user rpct=0 ")
    assert qos.endswith("min=100.00 max=100.00")
    assert model == (
        "8:0 ctrl=user model=linear rbps=8388608 rseqiops=2048 rrandiops=2048 wbps=1048576 wseqiops=256 wrandiops=256"
    )


QOS_NOW = "8:0 enable=1 ctrl=user rpct=95.00 rlat=5000 wpct=95.00 wlat=5000 min=50.00 max=150.00"
MODEL_NOW = "8:0 ctrl=user model=linear rbps=1048576 rseqiops=256 rrandiops=256 wbps=1 wseqiops=1 wrandiops=1"


@pytest.mark.parametrize(
    ("qos", "model", "qos_after", "model_after"),
    [
        ("", "", "8:0 enable=0 ctrl=auto", "8:0 ctrl=auto"),
        (
            f"{QOS_NOW.replace('user', 'auto')}\n",
            f"{MODEL_NOW.replace('user', 'auto')}\n",
            "8:0 enable=1 ctrl=auto",
            "8:0 ctrl=auto",
        ),
        (f"8:16 enable=0\n{QOS_NOW}\n", f"8:16 ctrl=auto\n{MODEL_NOW}\n", QOS_NOW, MODEL_NOW),
    ],
)
def test_a_machine_of_the_run_s_own_shares_its_disk_while_the_run_lasts(
    tmp_path: Path, qos: str, model: str, qos_after: str, model_after: str
) -> None:
    """And as it was before afterwards: off, by the kernel's own values or by somebody's."""
    root, run = machine(tmp_path)
    (root / ioweight.QOS).write_text(qos)
    (root / ioweight.MODEL).write_text(model)
    with shared(scenario(COST), "8:0", root, run, own_machine=True, home=tmp_path / "home"):
        assert ioweight.is_on(root, "8:0")
        assert "rbps=8388608" in (root / ioweight.MODEL).read_text()
        assert [*(tmp_path / "home").glob("[!.]*")]
    assert (root / ioweight.QOS).read_text().startswith(qos_after)
    assert (root / ioweight.MODEL).read_text().startswith(model_after)
    assert not [*(tmp_path / "home").glob("[!.]*")]


def test_a_disk_that_a_killed_run_left_shared_is_as_it_was_after_emu_clean(tmp_path: Path) -> None:
    """What the run found is on record beside what undoes zswap and zram."""
    root, run = machine(tmp_path)
    (root / ioweight.QOS).write_text(f"{QOS_NOW}\n")
    killed = shared(scenario(COST), "8:0", root, run, own_machine=True, home=tmp_path / "home")
    killed.__enter__()
    record = tmp_path / "home" / changed.IO_COST
    record.write_text(record.read_text().replace(json.dumps(owner()), '"1:0:gone"'))
    assert list(changed.undo(tmp_path / "home")) == [("io.cost", QOS_NOW)]
    assert (root / ioweight.QOS).read_text().startswith(QOS_NOW)
    assert (root / ioweight.MODEL).read_text().startswith("8:0 ctrl=auto")


def test_what_was_turned_on_is_turned_off_where_the_model_is_refused(tmp_path: Path) -> None:
    """The next variant plays on the same machine."""
    root, run = machine(tmp_path)
    (root / ioweight.MODEL).unlink()
    (root / ioweight.MODEL).mkdir()
    sharing = shared(scenario(COST), "8:0", root, run, own_machine=True, home=tmp_path / "home")
    with pytest.raises(EmuError, match="the disk cannot be shared by weight"), sharing:
        pass
    assert (root / ioweight.QOS).read_text().startswith("8:0 enable=0")


def test_a_kernel_that_cannot_share_the_disk_is_reported_as_that(tmp_path: Path) -> None:
    """It would not take the old settings, either; nothing is left on record for `emu clean`."""
    root, run = machine(tmp_path)
    (root / ioweight.QOS).unlink()
    (root / ioweight.QOS).mkdir()
    sharing = shared(scenario(COST), "8:0", root, run, own_machine=True, home=tmp_path / "home")
    with pytest.raises(EmuError, match="the disk cannot be shared by weight"), sharing:
        pass
    assert not [*(tmp_path / "home").glob("[!.]*")]


@pytest.mark.parametrize(
    ("more", "disk", "lacks", "what"),
    [
        ("", "8:0", "", "io.weight has no effect here"),
        (COST, "8:0", "", "node.io.cost cannot be set here"),
        ("", None, "", "io.weight: the disk with the files cannot be shared"),
        ("", "8:0", "io.weight", "io.weight cannot be set"),
    ],
)
def test_where_it_would_have_no_effect_it_is_refused(
    tmp_path: Path, more: str, disk: str | None, lacks: str, what: str
) -> None:
    """On somebody's machine, on no disk, and without it in the kernel; the way out is the virtual machine."""
    root, run = machine(tmp_path)
    if lacks:
        (run / lacks).unlink()
    with pytest.raises(EmuError) as refused, shared(scenario(more), disk, root, run, own_machine=False):
        pass
    assert refused.value.what == what
    assert "--on vm" in refused.value.fix
    if not lacks and disk is not None and not more:
        (root / ioweight.QOS).write_text("8:0 enable=1 ctrl=auto\n")
        with shared(scenario(), disk, root, run, own_machine=False):
            pass


def test_a_disk_has_one_speed() -> None:
    """io.max would keep requests back before they are shared."""
    with pytest.raises(EmuError) as refused:
        scenario("node: {io: {cost: {rbps: 8Mi}, max: {disk: {rbps: 8Mi}}}}")
    assert "node.io.cost" in str(refused.value)
