"""What `make install` installs: by what the machine offers, and never at another package's cost."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emu.doctor.facts import HostFacts
from emu.doctor.packages import lacking
from emu.sandbox.uml import parts
from tests.unit.test_requirements import ENGINE, GOOD, HYBRID, NO_DOCKER

SCRIPT = Path(__file__).parents[2] / "scripts" / "install-packages"
NO_SANDBOX = {"uml_missing": {name: package for name, (_find, package) in parts._WANTED.items()}}
NO_TOOLS = {"image_tools_missing": {"mmdebstrap": "mmdebstrap"}}
ARM = {"architecture": "aarch64", "uml_problem": "User-Mode Linux runs on x86-64 only, this is aarch64"}


@pytest.mark.parametrize(
    ("facts", "packages"),
    [
        (replace(GOOD, **NO_SANDBOX), ()),
        (replace(GOOD, **NO_SANDBOX, **NO_TOOLS), ("mmdebstrap",)),
        (replace(GOOD, **ARM, **NO_TOOLS), ("mmdebstrap",)),
        (replace(HYBRID, **ARM), ()),
        (replace(NO_DOCKER, docker_cause="no socket", **NO_SANDBOX), ("docker.io",)),
        (replace(NO_DOCKER, docker_cause="no socket", **ARM), ("docker.io",)),
    ],
)
def test_only_what_is_needed(facts: HostFacts, packages: tuple[str, ...]) -> None:
    """A host that can run everything gets nothing of the sandbox; one that lacks an engine alone gets that."""
    assert lacking(facts).packages == packages


def test_the_sandbox_where_the_host_cannot() -> None:
    """Every package of the sandbox, an engine's too where there is none."""
    packages = lacking(
        replace(HYBRID, docker=None, docker_problem="x", docker_cause="no socket", **NO_SANDBOX)
    ).packages
    assert set(packages) == set(NO_SANDBOX["uml_missing"].values())


@pytest.mark.parametrize(
    "change",
    [
        {"docker_cause": "no socket", "engine_signs": ("the package docker-ce",)},
        {"docker_cause": "refused", "engine_signs": ("/var/run/docker.sock",)},
        {"docker_cause": "permission", "engine_signs": ("/var/run/docker.sock",)},
        {"docker_cause": "no socket", "engine_signs": ("the package podman-docker",)},
        {"docker": replace(ENGINE, rootless=True), "engine_signs": ("/usr/bin/dockerd",)},
        {"docker": replace(ENGINE, kernel="6.6.0-linuxkit"), "engine_signs": ("DOCKER_HOST=ssh://far",)},
    ],
)
@pytest.mark.parametrize("host", [GOOD, HYBRID])
def test_an_engine_in_any_form_is_enough(host: HostFacts, change: dict[str, Any]) -> None:
    """Stopped, not permitted, rootless, far away, or another's that stands in: no second one is installed."""
    change = {"docker": None, "docker_problem": "x", **NO_SANDBOX, **change}
    reported = lacking(replace(host, **change))
    assert "docker.io" not in reported.packages
    assert "user-mode-linux" in reported.packages
    assert any(change["engine_signs"][0] in text for text in reported.says)


def test_a_machine_that_can_neither_is_shown_what_its_host_lacks() -> None:
    """On arm64 there is no sandbox: the way out is the host's."""
    said = "\n".join(lacking(replace(HYBRID, **ARM)).says)
    assert "aarch64" in said and "unified_cgroup_hierarchy" in said


class Machine:
    """A machine with dpkg-query and apt-get of its own, which note what they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.asked = folder / "asked"
        self.program("id", "echo 0")
        self.program("dpkg-query", 'case "$5$4" in *python3*) echo installed ;; *) exit 1 ;; esac')

    def program(self, name: str, text: str) -> None:
        """Put a program on PATH."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def install(self, *packages: str) -> subprocess.CompletedProcess[str]:
        """Run the script there."""
        env = {**os.environ, "PATH": f"{self.programs}:/usr/bin:/bin"}
        return subprocess.run([SCRIPT, *packages], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An apt that installs whatever it is asked for."""
    found = Machine(tmp_path)
    found.program("apt-get", f'echo "$@" >>{found.asked}')
    return found


def test_nothing_to_install(machine: Machine) -> None:
    """Nobody is asked for anything where nothing is missing."""
    assert machine.install("python3-venv").returncode == 0
    assert machine.install().returncode == 0
    assert not machine.asked.exists()


def test_apt_is_never_allowed_to_remove(machine: Machine) -> None:
    """Every installation says so."""
    assert machine.install("docker.io", "python3-venv", "kmod").returncode == 0
    (line,) = [line for line in machine.asked.read_text().splitlines() if "install" in line]
    assert "--no-remove" in line and line.endswith("docker.io kmod")


def test_what_excludes_another_package_is_not_installed(machine: Machine) -> None:
    """The user sees what stands in the way, and that nothing was touched."""
    machine.program(
        "apt-get",
        f"""echo "$@" >>{machine.asked}
case "$*" in
    *--no-remove*) echo "E: Packages need to be removed but remove is disabled." >&2; exit 100 ;;
    "-s "*) echo "Remv docker-ce [5:27.1]"; echo "Remv containerd.io [1.7]"; echo "Inst docker.io (20.10)" ;;
esac""",
    )
    ended = machine.install("docker.io")
    assert ended.returncode == 0
    assert "docker-ce containerd.io" in ended.stderr and "nothing was removed" in ended.stderr
    for line in machine.asked.read_text().splitlines():
        assert "--no-remove" in line or line.startswith(("-s ", "update"))


def test_an_installation_that_fails(machine: Machine) -> None:
    """Is an error, which says what could not be installed."""
    machine.program("apt-get", 'case "$1" in update) ;; *) exit 100 ;; esac')
    ended = machine.install("kmod")
    assert ended.returncode == 2 and "kmod" in ended.stderr
