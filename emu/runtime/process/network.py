"""A network namespace for each pod, with an address that this machine can reach and a loopback of its own.

A pair of virtual interfaces joins the two: `emu<n>` here, `eth0` there. Addresses are of 198.18.0.0/15, which is set
aside for measuring networks (RFC 2544) and so unused; the pair with the number n has the n-th four of them. Who
makes the interface has the number: the kernel lets no second one have its name. A pod reaches this machine and
nothing beyond it: it has no other route.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.machine import command
from emu.runtime.process.launch import tool

HOME = Path("/run/netns")
"""Where ip(8) keeps namespaces by name."""
PREFIX = "emu-"
"""Ours begin so, as run ids do."""
ADDRESSES = ipaddress.ip_network("198.18.0.0/15")
_LINK = "emu"
_EACH = 4
_DEADLINE_S = 60.0
_TRIES = 100
_choosing = threading.Lock()
"""Held from the look at which numbers are free until one is taken: pods of a run come at the same moment."""


@dataclass(frozen=True)
class Network:
    """A pod's network."""

    name: str
    number: int

    @property
    def path(self) -> Path:
        """The file that stands for it."""
        return HOME / self.name

    @property
    def address(self) -> str:
        """The pod's."""
        return str(ADDRESSES[self.number * _EACH + 2])

    @property
    def gateway(self) -> str:
        """The other end of its pair, on this machine."""
        return str(ADDRESSES[self.number * _EACH + 1])

    @property
    def link(self) -> str:
        """The interface on this machine."""
        return f"{_LINK}{self.number}"


def create(name: str) -> Network:
    """Make a namespace and join it to this machine. What was made is undone if not all of it could be."""
    try:
        network = _joined(name)
        _ip(f"addr add {network.address}/30 dev eth0", "link set eth0 up", "link set lo up", namespace=name)
    except BaseException:
        remove(name)
        raise
    return network


def remove(name: str) -> None:
    """Remove a namespace; its interfaces go with its last process. One that is gone already is no error."""
    if (HOME / name).exists():
        _ip(f"netns delete {name}")


def existing() -> list[str]:
    """The names of all that are ours, whoever made them."""
    return sorted(path.name for path in HOME.glob(f"{PREFIX}*")) if HOME.is_dir() else []


def _joined(name: str) -> Network:
    """With a pair of interfaces whose number is not in use."""
    failure: EmuError | None = None
    with _choosing:
        for number in _free(path.name for path in Path("/sys/class/net").iterdir()):
            network = Network(name, number)
            try:
                _ip(
                    *(() if failure else (f"netns add {name}",)),
                    f"link add {network.link} type veth peer name eth0 netns {name}",
                    f"addr add {network.gateway}/30 dev {network.link}",
                    f"link set {network.link} up",
                )
            except EmuError as error:
                failure = error
                if (HOME / name).exists() and "exists" in error.why:  # another run was faster
                    continue
                raise
            return network
    raise failure or EmuError("cannot make a pod's network", "every address is taken", "remove pods: emu clean")


def _free(links: Iterable[str]) -> Iterator[int]:
    taken = {link for link in links if link.startswith(_LINK)}
    numbers = (number for number in range(ADDRESSES.num_addresses // _EACH) if f"{_LINK}{number}" not in taken)
    yield from (number for _, number in zip(range(_TRIES), numbers, strict=False))


def _ip(*lines: str, namespace: str | None = None) -> None:
    """Several settings with one process."""
    command.run(
        [tool("ip"), *(["-netns", namespace] if namespace else []), "-batch", "-"],
        what="cannot set up a pod's network",
        fix="see whether this kernel has network namespaces and veth: ip netns add try && ip netns delete try",
        timeout_s=_DEADLINE_S,
        stdin="\n".join(lines) + "\n",
    )
