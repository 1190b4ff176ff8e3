"""The app's image of a run that measures starts.

It is in a single layer of its own, as an app on a node shares none with queue-proxy: it can be absent, its archive on
this machine stands for a registry, and its pages can be dropped without touching anyone else's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emu.machine import pagecache
from emu.record.events import EventLog, Note, now
from emu.runtime.api import LABEL_RUN, Runtime
from emu.runtime.filler import shares
from emu.spec.starts import StartImage


class AppImage:
    """The app's image by itself in one layer, and an archive of it. Made by `app_image`."""

    def __init__(self, engine: Runtime, tag: str, archive: Path, log: EventLog) -> None:
        self._engine = engine
        self._log = log
        self._archive = archive
        self.tag = tag

    @property
    def there(self) -> bool:
        return self._engine.image_labels(self.tag) is not None

    def load(self) -> None:
        """Have the engine take it in from the archive."""
        self._engine.load_image(self._archive)

    def remove(self) -> None:
        """Have the engine forget it; its files are deleted."""
        self._engine.remove_image(self.tag)

    def read_in(self, check: Callable[[], None]) -> None:
        """Its files are in the page cache afterwards."""
        pagecache.read_in(self._folders(), check)

    def drop(self) -> None:
        """Its files are not in the page cache afterwards; those of others stay. Where the engine does not say which
        files are its own, the whole machine's page cache is dropped.
        """
        folders = self._folders()
        if folders:
            pagecache.drop(folders)
            return
        try:
            Path("/proc/sys/vm/drop_caches").write_text("3\n")
        except OSError as error:
            self._log.append(Note(t=now(), what="the page cache could not be dropped before a start", why=str(error)))

    def cached(self) -> pagecache.Cached | None:
        """How much of its files is in the page cache; None where the engine does not say which they are."""
        folders = self._folders()
        return pagecache.cached(folders) if folders else None

    def _folders(self) -> list[Path]:
        return [folder for folder in self._engine.image_folders(self.tag) if folder.is_dir()]


@contextmanager
def app_image(
    engine: Runtime, source: str, run_id: str, owner: dict[str, str], log: EventLog, spec: StartImage
) -> Iterator[AppImage]:
    """A copy of the image `source` for one run, with what is to be in it besides. It and its archive are gone at the
    end.
    """
    tag = f"emu/start-{run_id}"
    with tempfile.TemporaryDirectory(prefix="emu-start-") as scratch:
        archive = Path(scratch) / "image.tar"
        try:
            labels = {LABEL_RUN: run_id, **owner}
            engine.flatten(source, tag, labels, Path(scratch))
            if spec.filler:
                engine.fill(tag, shares(spec.filler, spec.layers), labels, Path(scratch))
            engine.save_image(tag, archive)
            yield AppImage(engine, tag, archive, log)
        finally:
            engine.remove_image(tag)
