"""io.max in a scenario: which lines of which devices it becomes, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgroups.io import IoMax
from emu.errors import EmuError
from emu.kubelet import iolimits
from emu.kubelet.iolimits import Disks
from emu.machine import disks
from emu.scenario.reading import read_scenario
from emu.serving.explained import explained
from emu.spec import IoControls

TEXT = """
name: slow
question: How slow is it?
node: {io: {max: {disk: {wbps: 8Mi}}}}
pods:
  - name: web
    runtime: process
    containers:
      - {name: app, port: 8080, io: {max: {disk: {rbps: 2Mi, riops: 100}, swap: {wbps: 1Mi}}}}
load: {phases: [{name: a, type: burst, size: 1, duration: 1s}]}
"""
BOTH = IoControls.model_validate({"max": {"disk": {"rbps": "2Mi", "riops": 100}, "swap": {"wbps": "1Mi"}}})


def test_a_scenario_has_it_for_a_container_and_for_the_node() -> None:
    """Sizes are bytes per second; what is not given has no limit."""
    spec = read_scenario(TEXT, "slow.yaml")
    assert spec.node.io.max.disk.given == {"wbps": 8 << 20}
    assert spec.each_pod["web"].containers["app"].io == BOTH
    assert IoControls().max.disk.given == IoControls().max.swap.given == {}


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("wbps: 8Mi", "wbps: 1Ki", "node.io.max.disk.wbps"),
        ("wbps: 8Mi", "bps: 8Mi", "node.io.max.disk.bps"),
        ("riops: 100", "riops: 0", "pods.0.containers.0.io.max.disk.riops"),
    ],
)
def test_a_rate_that_no_request_could_meet_is_refused(before: str, after: str, key: str) -> None:
    """With the key, before anything starts."""
    with pytest.raises(EmuError) as refused:
        read_scenario(TEXT.replace(before, after), "slow.yaml")
    assert key in str(refused.value)


def test_explain_has_it_beside_what_the_kubelet_sets() -> None:
    """At the container's and the node's cgroup, with the kind of device, and where zram takes the place of a disk."""
    spec = read_scenario(TEXT.replace("node: {", "node: {swapDevice: zram, "), "slow.yaml")
    tree = explained(spec, spec.node.rules(4 << 30, 1 << 30))
    (container,) = tree.below[0].below[0].below
    said = [[(one.value, one.how) for one in level.values if one.file == "io.max"] for level in (tree, container)]
    assert said == [
        [("wbps=8388608", "set in the scenario, of the disk")],
        [
            ("rbps=2097152 riops=100", "set in the scenario, of the disk"),
            ("wbps=1048576", "set in the scenario, of each swap device"),
        ],
    ]
    (swap,) = [one for one in tree.values if one.file == "SwapTotal"]
    assert "zram" in swap.how


def test_each_device_has_a_line() -> None:
    """The disk with the files, and every swap device."""
    lines = Disks("8:0", ("8:16", "8:32")).lines(BOTH)
    assert lines == [IoMax("8:0", rbps=2 << 20, riops=100), IoMax("8:16", wbps=1 << 20), IoMax("8:32", wbps=1 << 20)]
    assert Disks().lines(IoControls()) == []


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Disks(None, ("8:16",)), "tmpfs, btrfs or overlay"),
        (Disks("8:0"), "no swap device"),
        (Disks("8:0", ("8:0",)), "one device"),
    ],
)
def test_a_device_that_is_not_there_is_refused(found: Disks, why: str) -> None:
    """So is one line for two purposes; each says what to do."""
    with pytest.raises(EmuError) as refused:
        found.lines(BOTH)
    assert why in f"{refused.value.what} {refused.value.why}"
    assert refused.value.fix


@pytest.mark.parametrize(("files", "why"), [((), "no io controller"), (("io.stat",), "CONFIG_BLK_DEV_THROTTLING")])
def test_a_kernel_without_it_is_refused(tmp_path: Path, files: tuple[str, ...], why: str) -> None:
    """Only where a limit is wanted: no io.max, or no io controller at all."""
    for name in files:
        (tmp_path / name).touch()
    iolimits.check([IoControls()], Disks("8:0", ("8:16",)), tmp_path)
    with pytest.raises(EmuError, match=r"io\.max cannot be set") as refused:
        iolimits.check([IoControls(), BOTH], Disks("8:0", ("8:16",)), tmp_path)
    assert why in refused.value.why


def test_what_is_on_no_block_device_has_no_disk() -> None:
    """The kernel has nothing to limit there."""
    assert disks.disk_with(Path("/proc")) is None


def test_an_engine_with_mounts_of_its_own_has_no_disk(tmp_path: Path) -> None:
    """Its root is not to be seen from here: nothing can be limited, and a run without io.max goes on."""
    assert iolimits.find_disks(tmp_path / "docker").files is None


@pytest.mark.parametrize("key", ["dentries", "threads", "sockets", "pipes"])
def test_less_than_none_is_refused(key: str) -> None:
    """Of what the kernel is to hold for a request."""
    phase = f"{{name: a, type: constant, rate: 1, duration: 1s, request: {{do: {{{key}: -1}}}}}}"
    with pytest.raises(EmuError, match=key):
        read_scenario(f"name: a\nquestion: b\nload: {{phases: [{phase}]}}\n", "a.yaml")
