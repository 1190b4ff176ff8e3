"""Files in a volume's folder, as the kubelet's: root's, in folders that anybody may look into."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from emu.errors import EmuError
from emu.policy.kubelet.objectfiles import Content


def fill(folder: Path, files: Mapping[str, Content]) -> None:
    """Make them. EmuError."""
    try:
        os.chown(folder, 0, 0)
        folder.chmod(0o755)
        for path, content in files.items():
            place = folder
            for step in path.split("/")[:-1]:
                place /= step
                place.mkdir(exist_ok=True)
                place.chmod(0o755)  # whatever the umask is
            made = os.open(folder / path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(made, "wb") as file:
                file.write(content.data)
                os.fchmod(file.fileno(), content.mode)
    except OSError as error:
        why = f"{error.strerror} at {error.filename or folder}"
        raise EmuError(
            "cannot make the files of a ConfigMap or Secret", why, "run as root, with space left"
        ) from None
