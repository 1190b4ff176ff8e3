"""Archives of a user's own images: what is read of them, and when an engine loads one."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.errors import EmuError
from emu.runtime import archives
from emu.runtime.docker import Engine

MANIFEST = [{"Config": "ab12.json", "RepoTags": ["my/app:1", "my/app:latest"], "Layers": []}]


def saved(path: Path, manifest: Any, name: str = "manifest.json") -> Path:
    """An archive with this in its manifest."""
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return path


class FakeEngine:
    """Has images by their ids, and notes what it loads."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.loaded: list[bytes] = []

    def image_id(self, tag: str) -> str | None:
        """Of an image that is there."""
        return self.ids.get(tag)

    def load_image(self, archive: Path) -> None:
        """Take it in."""
        self.loaded.append(archive.read_bytes())
        self.ids.update(archives.names_in(archive))


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def provide(engine: FakeEngine, *names: str) -> list[str]:
    """What is said while the engine gets what was kept."""
    said: list[str] = []
    archives.provide(cast(Engine, engine), names, said.append)
    return said


def test_names_and_ids(tmp_path: Path) -> None:
    """As docker save writes them, of today's layout too, whose configurations lie among the blobs."""
    assert archives.names_in(saved(tmp_path / "a", MANIFEST)) == {
        "my/app:1": "sha256:ab12",
        "my/app:latest": "sha256:ab12",
    }
    blobs = [{"Config": "blobs/sha256/cd34", "RepoTags": ["other:2"]}]
    assert archives.names_in(saved(tmp_path / "b", blobs)) == {"other:2": "sha256:cd34"}


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ([{"Config": "a.json", "RepoTags": None}], "no name"),
        ([], "no name"),
        (b"{", "cannot be read"),
        ([1], "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"9" * 10_000, "cannot be read"),
        ([{"RepoTags": ["x:1"]}], "not an archive written by docker save"),
    ],
)
def test_what_is_no_image(tmp_path: Path, manifest: Any, why: str) -> None:
    """One error that says what to do instead."""
    with pytest.raises(EmuError, match=why) as caught:
        archives.names_in(saved(tmp_path / "a.tar", manifest))
    assert "docker save" in caught.value.fix


def test_what_is_no_archive(tmp_path: Path) -> None:
    """A file of another kind, and an archive of something else. Nobody waits for a pipe that has no writer."""
    (tmp_path / "text").write_text("no archive")
    for path in (tmp_path / "text", saved(tmp_path / "other.tar", {}, "index.json")):
        with pytest.raises(EmuError, match=r"not an (image )?archive"):
            archives.names_in(path)
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path / "pipe", "not a regular file"), (tmp_path, "Is a directory")):
        with pytest.raises(EmuError, match=why):
            archives.names_in(path)


def test_a_damaged_archive_is_one_error(tmp_path: Path) -> None:
    """Wherever bytes of it are others, packed or not."""
    saved(tmp_path / "a.tar", MANIFEST)
    whole = (tmp_path / "a.tar").read_bytes()
    chance = random.Random(1)
    for pack in (bytes, gzip.compress, bz2.compress, lzma.compress):
        for _ in range(100):
            raw = bytearray(pack(whole))
            for _ in range(chance.choice((1, 3, 30))):
                raw[chance.randrange(min(len(raw), 2000))] = chance.randrange(256)
            (tmp_path / "b.tar").write_bytes(raw[: chance.choice((len(raw), chance.randrange(len(raw))))])
            with contextlib.suppress(EmuError):
                archives.names_in(tmp_path / "b.tar")


def test_an_engine_gets_what_it_lacks(cache: Path, tmp_path: Path) -> None:
    """By each of the image's names, once; a newer one of the same name again; and nothing that was never kept."""
    archive = saved(tmp_path / "a.tar", MANIFEST)
    archives.keep(archive, archives.names_in(archive))
    engine = FakeEngine()
    assert provide(engine, "my/app", "nobody/knows") == ["loading the image my/app"]
    engine.ids["my/app"] = engine.ids["my/app:latest"]  # an engine knows both ways to write it
    assert provide(engine, "my/app", "my/app:1") == []
    newer = saved(tmp_path / "b.tar", [{**MANIFEST[0], "Config": "ef56.json"}])
    archives.keep(newer, archives.names_in(newer))
    assert provide(engine, "my/app:1") == ["loading the image my/app:1"]
    assert engine.loaded == [archive.read_bytes(), newer.read_bytes()]


def test_what_was_forgotten_is_loaded_no_more(cache: Path, tmp_path: Path) -> None:
    """Nothing of it is left in the cache."""
    archive = saved(tmp_path / "a.tar", MANIFEST)
    archives.keep(archive, archives.names_in(archive))
    archives.forget(archives.names_in(archive))
    assert provide(FakeEngine(), "my/app:1") == []
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_what_is_loaded_for_the_virtual_machine_waits_in_the_cache(tmp_path: Path, cache: Path) -> None:
    """No machine boots for it; an engine that is asked for it loads it."""
    done = CliRunner().invoke(main, ["images", "load", "--on", "vm", str(saved(tmp_path / "a.tar", MANIFEST))])
    assert (done.exit_code, "loaded my/app:1" in done.output) == (0, True), done.output
    engine = FakeEngine()
    provide(engine, "my/app:1")
    assert engine.ids["my/app:1"] == "sha256:ab12"
    assert (cache / "emu").stat().st_mode & 0o077 == 0


def test_what_is_kept_for_the_virtual_machine_is_listed(tmp_path: Path, cache: Path) -> None:
    """Without a boot; what cannot be read is left out, and building is refused with the way to have it."""
    nothing = CliRunner().invoke(main, ["images", "--list", "--on", "vm", "--json"])
    assert (nothing.exit_code, json.loads(nothing.stdout)) == (0, [])
    archive = saved(tmp_path / "a.tar", MANIFEST)
    archives.keep(archive, archives.names_in(archive))
    (cache / "emu" / "loaded" / "broken.tar").write_text("no archive")
    done = CliRunner().invoke(main, ["images", "--list", "--on", "vm", "--json"])
    assert {one["tag"]: one["bytes"] for one in json.loads(done.stdout)} == dict.fromkeys(
        archives.names_in(archive), archive.stat().st_size
    )
    refused = CliRunner().invoke(main, ["images", "--on", "vm"])
    assert refused.exit_code == 2
    assert "builds nothing for the virtual machine" in refused.output
    assert "emu images --list --on vm" in refused.output
