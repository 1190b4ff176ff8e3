"""Facts from what this and other machines say of themselves."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from emu.cli.doctor import doctor
from emu.doctor import facts as host
from emu.errors import EmuError
from emu.run.machine import not_applied
from emu.runtime.docker_client import DockerClient
from emu.sandbox.uml import parts
from emu.spec.node import SandboxSpec

UNIFIED = "24 23 0:21 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = """31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
LEGACY = "".join(line for line in HYBRID.splitlines(keepends=True) if "cgroup2" not in line)


@pytest.mark.parametrize(
    ("mountinfo", "mode"), [(UNIFIED, "unified"), (HYBRID, "hybrid"), (LEGACY, "legacy"), ("", "none")]
)
def test_the_mode_is_known_by_what_is_mounted(mountinfo: str, mode: str) -> None:
    """By the types of the mounts, not by their paths."""
    assert host.cgroup_mode(mountinfo) == mode


def test_swap_is_summed() -> None:
    """/proc/swaps counts in KiB, and may list several."""
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    assert host.parse_swap(head) == 0
    line = "/dev/ubdb                               partition\t2097148\t\t0\t\t-2\n"
    assert host.parse_swap(head + line + line) == 2 * 2097148 * 1024


def test_an_engine_of_its_own_words() -> None:
    """What counts of the engine's /info, as Docker 20.10 in the sandbox's kernel gives it."""
    info = {
        "ServerVersion": "20.10.24+dfsg1",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2",
        "Driver": "overlay2",
        "KernelVersion": "6.1.176",
        "SecurityOptions": ["name=seccomp,profile=default", "name=cgroupns"],
    }
    assert host.docker_facts(info) == host.DockerFacts(
        "20.10.24+dfsg1", "cgroupfs", "2", "overlay2", "6.1.176", rootless=False
    )
    assert host.docker_facts({"SecurityOptions": ["name=rootless"]}).rootless


def test_a_socket_that_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Docker socket that accepts and never answers is a problem, and costs no more than the deadline."""
    monkeypatch.setattr(host, "_PROBE_S", 0.5)
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        engine, problem, cause = host._docker()
    assert engine is None and cause == "silent"
    assert problem is not None and "did not answer" in problem


def test_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No socket is said in plain words."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert host._docker() == (None, "there is no Docker socket", "no socket")


@pytest.mark.parametrize("address", ["tcp://[::1", "nonsense://x", "unix:///etc/passwd", "tcp://x:99999999"])
def test_an_address_of_docker_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor says so, and a run has one error."""
    monkeypatch.setenv("DOCKER_HOST", address)
    assert host._docker()[1] is not None
    with pytest.raises(EmuError, match="cannot reach a Docker engine"):
        DockerClient().connect()


def test_what_shows_that_there_is_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its program, its package, or where the user says it is; of another package's name nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/bin")
    monkeypatch.setattr(parts, "_SBIN", "/nowhere")
    monkeypatch.setattr(host, "_there", lambda path: str(path).startswith(str(tmp_path)) and path.exists())
    query = programs / "dpkg-query"
    query.write_text("#!/bin/sh\necho 'docker-doc installed'\necho 'docker-ce config-files'\n")
    query.chmod(0o755)
    if shutil.which("dockerd") is None:
        assert host.engine_signs() == ()
    query.write_text("#!/bin/sh\necho 'podman-docker installed'\n")
    assert "the package podman-docker" in host.engine_signs()
    (programs / "dockerd").write_text("#!/bin/sh\n")
    (programs / "dockerd").chmod(0o755)
    assert str(programs / "dockerd") in host.engine_signs()
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    assert "DOCKER_HOST=ssh://elsewhere" in host.engine_signs()


def test_this_machine() -> None:
    """Every probe comes back, and the facts are JSON."""
    facts = host.gather_facts()
    assert facts.kernel == os.uname().release
    assert facts.memory_bytes > 0 and facts.cpus > 0
    assert (facts.docker is None) == (facts.docker_problem is not None)
    assert json.loads(json.dumps(facts.to_json()))["kernel"] == facts.kernel


def test_doctor_speaks_json() -> None:
    """One document on standard output; the status says whether anything can run."""
    ended = CliRunner().invoke(doctor, ["--json"])
    document = json.loads(ended.stdout)
    assert ended.exit_code == (0 if document["where"] else 2)
    assert {"name", "status", "found", "why", "fix"} == set(document["requirements"][0])


def test_doctor_speaks_to_people() -> None:
    """Every requirement is in the table, and a verdict stands at its end."""
    ended = CliRunner().invoke(doctor, [])
    assert "memory controller" in ended.stdout
    assert any(word in ended.stdout for word in ("take place", "No run can take place"))


GIB = 1 << 30


@pytest.mark.parametrize(
    ("wanted", "has", "said"),
    [
        ({}, (64 * GIB, 0), None),
        ({"memory": 6 * GIB}, (int(5.8 * GIB), 2 * GIB), None),
        ({"memory": 6 * GIB}, (int(2.9 * GIB), 2 * GIB), "memory 6 GiB is configured, and it has 2.9 GiB"),
        ({"swap": 0}, (3 * GIB, 2 * GIB), "swap 0 B is configured, and it has 2 GiB"),
        ({"swap": 8 * GIB}, (3 * GIB, 8 * GIB - 4096), None),
    ],
)
def test_a_size_that_this_machine_has_not(wanted: dict[str, int], has: tuple[int, int], said: str | None) -> None:
    """What a scenario asks of the sandbox is reported where the machine was there already, and not applied."""
    assert not_applied(SandboxSpec.model_validate(wanted), *has) == said
