"""The page cache of files. What the kernel drops is its affair; that it is asked and believed is ours."""

from __future__ import annotations

from pathlib import Path

from emu.machine import pagecache


def nothing() -> None:
    """No interrupt."""


def test_what_was_just_read_is_cached(tmp_path: Path) -> None:
    """Every page of it, and no more than the files are long; links and empty files are passed over."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("below/file")
    assert pagecache.read_in([tmp_path], nothing)
    assert pagecache.cached([tmp_path]) == pagecache.Cached(100_000, 100_000)
    assert pagecache.cached([tmp_path]).share == 1.0


def test_no_file_is_nothing_read(tmp_path: Path) -> None:
    """An engine that keeps its images elsewhere has no folders here."""
    assert not pagecache.read_in([tmp_path], nothing)
    assert pagecache.cached([]).share == 0.0


def test_dropping_leaves_the_files_as_they_are(tmp_path: Path) -> None:
    """Pages go, dirty ones to the disk first; contents stay."""
    (tmp_path / "file").write_bytes(b"y" * 50_000)
    pagecache.drop([tmp_path])
    assert (tmp_path / "file").read_bytes() == b"y" * 50_000
