"""What each place of a run offers: this host, the sandbox, the virtual machine. Pure: facts in, a table out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emu.doctor.requirements import NAMES, Where, obstacles
from emu.sandbox.uml.parts import ENGINE_PACKAGE
from emu.units import format_bytes

if TYPE_CHECKING:
    from emu.doctor.facts import HostFacts

_NONE = "no"
_SIZED = "sandbox.swap of the scenario, 2 GiB by default"

_ZSWAP = "yes, for runs that ask for it"


@dataclass(frozen=True)
class Place:
    """One of the three places, and what a run has there. `lacks`: what stands in the way of runs with Docker there,
    and `lacks_without_docker` of those with pod.runtime: process; empty where they can take place.
    """

    name: Where
    lacks: tuple[str, ...]
    lacks_without_docker: tuple[str, ...]
    kernel: str
    cpus: int
    swap: str
    psi: bool
    io_weight: bool
    zswap: str
    zram: bool
    docker: str
    """Which engine, with which cgroup driver; `no` where there is none."""
    speed: str


def places(facts: HostFacts) -> list[Place]:
    """All three, in the order in which emu chooses one; the virtual machine only if it is asked for."""
    return [_host(facts), _sandbox(facts), _vm(facts)]


def _in_the_way(facts: HostFacts, place: Where) -> dict[str, tuple[str, ...]]:
    def named(docker: bool) -> tuple[str, ...]:
        return tuple(f"{row.name}: {row.found}" for row in obstacles(facts, place, docker=docker))

    return {"lacks": named(True), "lacks_without_docker": named(False)}


def _host(facts: HostFacts) -> Place:
    engine = facts.docker
    return Place(
        name="host",
        **_in_the_way(facts, "host"),
        kernel=f"Linux {facts.kernel}",
        cpus=facts.cpus,
        swap=format_bytes(facts.swap_bytes) if facts.swap_bytes else _NONE,
        psi=facts.psi,
        io_weight=facts.io_weight,
        zswap={"on": "yes", "off": "yes, and it is off", "no": _NONE}[facts.zswap],
        zram=facts.zram,
        docker=_NONE if engine is None else f"{engine.version}, {engine.cgroup_driver}",
        speed="this machine's",
    )


def _sandbox(facts: HostFacts) -> Place:
    lacks_engine = ENGINE_PACKAGE in facts.uml_missing.values()
    return Place(
        name="sandbox",
        **_in_the_way(facts, "sandbox"),
        kernel=f"User-Mode Linux {facts.fetched_kernel or ''}".strip(),
        cpus=1,
        swap=_SIZED,
        psi=False,
        io_weight=False,
        zswap=_ZSWAP,
        zram=True,
        docker=_NONE if lacks_engine else "an engine of its own, cgroupfs",
        speed="computes as this machine; system calls and page faults take many times as long",
    )


def _vm(facts: HostFacts) -> Place:
    return Place(
        name="vm",
        **_in_the_way(facts, "vm"),
        kernel="the distribution's",
        cpus=max(2, facts.cpus),
        swap=_SIZED,
        psi=True,
        io_weight=True,
        zswap=_ZSWAP,
        zram=True,
        docker="an engine of its own, systemd",
        speed="nearly this machine's, by KVM"
        if facts.kvm_problem is None
        else f"emulated, everything takes about ten times as long: {facts.kvm_problem}",
    )


def rows(table: list[Place]) -> list[tuple[str, ...]]:
    """The table as text, a row for each thing, with a column for each place."""

    def yes(has: bool) -> str:
        return "yes" if has else _NONE

    return [
        ("runs", *(_possible(place) for place in table)),
        ("kernel", *(place.kernel for place in table)),
        ("CPUs", *(str(place.cpus) for place in table)),
        ("swap", *(place.swap for place in table)),
        ("PSI", *(yes(place.psi) for place in table)),
        ("io.weight", *(yes(place.io_weight) for place in table)),
        ("zswap", *(place.zswap for place in table)),
        ("zram", *(yes(place.zram) for place in table)),
        ("Docker, cgroup driver", *(place.docker for place in table)),
        ("speed", *(place.speed for place in table)),
    ]


def _possible(place: Place) -> str:
    if not place.lacks:
        return "yes"
    if not place.lacks_without_docker:
        return "with pod.runtime: process"
    return f"no ({'; '.join(place.lacks)})"


def headings(table: list[Place]) -> list[str]:
    """Above its columns."""
    return ["", *(f"{NAMES[place.name]} (--on {place.name})" for place in table)]
