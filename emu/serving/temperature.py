"""How warm the next start from zero is: looked at beforehand, so that no request waits for that."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StartTemperature:
    """Of one revision. `look` says how warm a start would be; it may take its time, as every file of an image is
    looked at, and is called in a thread.
    """

    def __init__(self, look: Callable[[], str]) -> None:
        self._look = look
        self._found = ""
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """There is no pod any more: look now."""
        self._thread = threading.Thread(target=self._find, name="look", daemon=True)
        self._thread.start()

    def found(self) -> str:
        """The state found last; empty before the first look."""
        if self._thread is not None:
            self._thread.join()
        return self._found

    def _find(self) -> None:
        self._found = self._look()
