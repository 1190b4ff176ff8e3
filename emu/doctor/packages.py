"""Which of the distribution's packages this machine still lacks: what `make install` installs, and nothing else.

Pure but for `main`: facts in. Where this host can run everything, the sandbox's packages are not among them. A Docker
engine only where there is none in any form.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emu.doctor.requirements import obstacles, possible_place, sandbox_packages
from emu.sandbox.uml.parts import ENGINE_PACKAGE

if TYPE_CHECKING:
    from emu.doctor.facts import HostFacts


@dataclass(frozen=True)
class Lacking:
    """Packages to install, and what the user should hear of it."""

    packages: tuple[str, ...]
    says: tuple[str, ...]


def lacking(facts: HostFacts) -> Lacking:
    """What has to be installed so that runs can take place, on this host if it can, else in the sandbox."""
    tools = tuple(facts.image_tools_missing.values())
    if facts.inside_sandbox or possible_place(facts) == "host":
        return Lacking(tools, ("runs take place on this host: it needs none of the sandbox's packages",))
    in_the_way = obstacles(facts, "host")
    lacks = "; ".join(f"{row.name}: {row.found}" for row in in_the_way)
    only_the_engine = [row.name for row in in_the_way] == ["Docker engine"]
    if only_the_engine and facts.docker is None and not facts.engine_signs:
        return Lacking((*tools, ENGINE_PACKAGE), ("this host lacks a Docker engine alone",))
    says = [f"runs take place in the sandbox, because this host lacks something ({lacks})"]
    if facts.uml_problem is not None:
        says = [f"this host lacks something ({lacks}), and {facts.uml_problem}", *_ways_out(facts)]
        return Lacking(tools, tuple(says))
    packages = sandbox_packages(facts)
    if ENGINE_PACKAGE in facts.uml_missing.values() and ENGINE_PACKAGE not in packages:
        says.append(
            f"a Docker engine is here ({facts.engine_signs[0]}), so no {ENGINE_PACKAGE} is installed beside it: "
            "the sandbox lacks its programs, and can only run scenarios with pod.runtime: process"
        )
    return Lacking((*tools, *packages), tuple(says))


def _ways_out(facts: HostFacts) -> list[str]:
    return [f"{row.name}: {row.fix}" for row in obstacles(facts, "host")]


def main() -> None:
    """Print the packages on standard output, the words on standard error."""
    from emu.doctor.facts import gather_facts

    missing = lacking(gather_facts())
    for text in missing.says:
        print(text, file=sys.stderr)
    print(" ".join(missing.packages))


if __name__ == "__main__":
    main()
