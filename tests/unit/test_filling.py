"""Files of ConfigMaps and Secrets in a volume's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emu.errors import EmuError
from emu.policy.kubelet.objectfiles import Content
from emu.runtime.filling import fill


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume's folder, which stays this user's."""
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return tmp_path


def test_modes_do_not_depend_on_the_umask(volume: Path) -> None:
    """A container's user looks into folders that root made with a umask of 077."""
    before = os.umask(0o077)
    try:
        fill(volume, {"a/b/key": Content(b"x", 0o444)})
    finally:
        os.umask(before)
    modes = [(volume / path).stat().st_mode & 0o7777 for path in ("", "a", "a/b", "a/b/key")]
    assert modes == [0o755, 0o755, 0o755, 0o444]


def test_a_key_where_a_folder_has_to_be_is_an_error(volume: Path) -> None:
    """It says where."""
    with pytest.raises(EmuError) as refused:
        fill(volume, {"a": Content(b"", 0o444), "a/b": Content(b"", 0o444)})
    assert str(volume / "a") in refused.value.why
