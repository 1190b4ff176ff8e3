"""How the systemd guest's disks are chosen, named and made once, without making a whole one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.sandbox.qemu import image as disks

DEBIAN = 'NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n'


def host(root: Path, release: str, sources: dict[str, str]) -> Path:
    """A root directory of that distribution with those files in /etc/apt."""
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text(release)
    for name, text in sources.items():
        (root / "etc/apt" / name).write_text(text)
    return root


def test_the_guest_is_the_hosts_own_suite(tmp_path: Path) -> None:
    """Suite and sources are the host's; the sources of others are left out, as they may need keys."""
    root = host(
        tmp_path,
        DEBIAN,
        {"sources.list.d/debian.sources": "Types: deb\n", "sources.list.d/other.sources": "Types: deb\n"},
    )
    found = disks.this_distribution(root)
    assert (found.name, found.suite, found.sources.name) == ("debian", "bookworm", "debian.sources")
    assert "linux-image-amd64" in found.packages


def test_an_emptied_sources_list_is_passed_over(tmp_path: Path) -> None:
    """New Ubuntu keeps sources.list with a comment only; old ones have all in it."""
    ubuntu = 'ID=ubuntu\nVERSION_CODENAME="noble"\n'
    new = host(
        tmp_path / "new", ubuntu, {"sources.list": "# moved\n", "sources.list.d/ubuntu.sources": "Types: deb\n"}
    )
    old = host(tmp_path / "old", ubuntu, {"sources.list": "deb file:/mirror noble main\n"})
    assert disks.this_distribution(new).sources.name == "ubuntu.sources"
    assert disks.this_distribution(old).sources.name == "sources.list"
    assert "linux-image-generic" in disks.this_distribution(old).packages


@pytest.mark.parametrize(("release", "sources"), [("ID=fedora\n", {}), ("", {}), (DEBIAN, {"sources.list": "#\n"})])
def test_what_cannot_be_built_is_said(release: str, sources: dict[str, str], tmp_path: Path) -> None:
    """Another distribution, or no package sources: the error says how to go on."""
    with pytest.raises(EmuError) as refused:
        disks.this_distribution(host(tmp_path, release, sources))
    assert refused.value.fix


def test_missing_programs_are_named_with_their_packages() -> None:
    """All at once, so that one apt-get mends it."""
    with pytest.raises(EmuError) as refused:
        disks.require_programs(lambda program: None if program in ("mmdebstrap", "qemu-system-x86_64") else program)
    assert (
        refused.value.fix == "sudo apt-get install -y --no-install-recommends --no-remove mmdebstrap qemu-system-x86"
    )


def test_the_key_changes_with_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suite, package list and every file laid over the root are in it; where apt's sources are is not."""
    here = disks.Distribution("debian", "bookworm", tmp_path / "a")
    key = disks.recipe_key(here)
    assert disks.recipe_key(disks.Distribution("debian", "bookworm", tmp_path / "b")) == key
    assert disks.recipe_key(disks.Distribution("debian", "trixie", tmp_path / "a")) != key
    files = tmp_path / "inside"
    (files / "rootfs/etc").mkdir(parents=True)
    for name in ("packages.txt", "masked.txt"):
        (files / name).write_text((disks.GUEST_FILES / name).read_text())
    monkeypatch.setattr(disks, "GUEST_FILES", files)
    bare = disks.recipe_key(here)
    (files / "rootfs/etc/fstab").write_text("")
    assert len({key, bare, disks.recipe_key(here)}) == 3


def test_tests_requirements_go_along_and_linters_stay() -> None:
    """What the tests import is the project's dependencies and the extra `dev` without its linters and type stubs."""
    pyproject = '[project]\ndependencies = ["click>=8"]\n[project.optional-dependencies]\n'
    pyproject += 'dev = ["pytest>=8", "mypy>=1", "ruff", "types-psutil"]\n'
    assert disks.guest_requirements(pyproject) == ["click>=8", "pytest>=8"]


def test_an_artefact_is_made_once_and_whole(tmp_path: Path) -> None:
    """A failed making leaves nothing, a finished one is not repeated, and one unused for long is removed."""
    made: list[Path] = []

    def fail(place: Path) -> None:
        place.write_text("half")
        raise EmuError("no", "because", "try again")

    def make(place: Path) -> None:
        made.append(place)
        place.write_text("whole")

    artefact = tmp_path / "artefact"
    stale = tmp_path / "stale"
    stale.write_text("")
    os.utime(stale, (0, time.time() - 40 * 86400))
    with pytest.raises(EmuError):
        disks.made_once(artefact, fail)
    assert [path.name for path in tmp_path.iterdir() if path != stale] == ["artefact.lock"]
    disks.made_once(artefact, make)
    disks.made_once(artefact, make)
    assert artefact.read_text() == "whole"
    assert len(made) == 1
    assert not stale.exists()


def test_a_lock_is_seen_by_others(tmp_path: Path) -> None:
    """A directory held by `locked` is not free until it is let go of."""
    assert disks.is_unlocked(tmp_path)
    with disks.locked(tmp_path):
        assert not disks.is_unlocked(tmp_path)
    assert disks.is_unlocked(tmp_path)
