"""What a run has on this host, in the sandbox and in the virtual machine, by facts of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from emu.doctor.facts import HostFacts
from emu.doctor.places import headings, places, rows
from emu.machine.zram import is_offered
from tests.unit.test_requirements import GOOD, HYBRID, NO_DOCKER


def cells(facts: HostFacts) -> dict[str, list[str]]:
    """The table as it is printed, by the name of the row."""
    return {name: rest for name, *rest in rows(places(facts))}


def test_each_place_is_named_with_the_option_that_chooses_it() -> None:
    """In the order in which emu prefers them."""
    options = [one.partition("(")[2] for one in headings(places(GOOD))[1:]]
    assert options == ["--on host)", "--on sandbox)", "--on vm)"]


def test_what_only_the_virtual_machine_has_on_a_poor_host() -> None:
    """PSI, io.weight and several CPUs, where the host has none of them and the sandbox neither."""
    poor = replace(HYBRID, psi=False, io_weight=False, cpus=1, docker=None)
    host, sandbox, vm = places(poor)
    assert [(one.psi, one.io_weight, one.cpus > 1) for one in (host, sandbox, vm)] == [
        (False, False, False),
        (False, False, False),
        (True, True, True),
    ]
    assert cells(poor)["PSI"] == ["no", "no", "yes"]


def test_zswap_of_a_host_is_as_it_stands() -> None:
    """The other two places turn it on for a run that asks for it."""
    ours = ["yes, for runs that ask for it"] * 2
    for state, words in (("no", "no"), ("off", "yes, and it is off"), ("on", "yes")):
        assert cells(replace(GOOD, zswap=state))["zswap"] == [words, *ours]


def test_zram_is_there_as_a_module_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded by a run that asks for it, so that it is not loaded yet says nothing."""
    monkeypatch.setattr("emu.machine.zram._SYS", tmp_path / "block")
    assert not is_offered(tmp_path)
    (tmp_path / "modules.dep").write_text("kernel/drivers/block/zram/zram.ko.xz: kernel/mm/zsmalloc.ko.xz\n")
    assert is_offered(tmp_path)
    assert cells(replace(GOOD, zram=False))["zram"] == ["no", "yes", "yes"]


def test_a_place_that_cannot_run_says_why() -> None:
    """And one that can without Docker says so."""
    assert cells(NO_DOCKER)["runs"] == ["with pod.runtime: process", "yes", "yes"]
    lacking = replace(HYBRID, vm_missing={"qemu-system-x86_64": "qemu-system-x86"})
    host, _sandbox, vm = cells(lacking)["runs"]
    assert "hugetlb" in host and "qemu-system-x86_64" in vm


def test_an_emulated_machine_says_how_slow_it_is() -> None:
    """With the reason why KVM is not used; one with KVM says that."""
    assert "KVM" in cells(GOOD)["speed"][2] and "ten times" not in cells(GOOD)["speed"][2]
    slow = cells(replace(GOOD, kvm_problem="there is no /dev/kvm"))["speed"][2]
    assert "ten times" in slow and "there is no /dev/kvm" in slow


def test_the_sandbox_has_an_engine_only_if_one_is_installed() -> None:
    """Else its pods are processes."""
    bare = replace(GOOD, uml_missing={"dockerd": "docker.io"})
    assert [one.docker for one in places(bare)][1] == "no"
    assert cells(bare)["runs"][1] == "with pod.runtime: process"
