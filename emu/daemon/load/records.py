"""requests.jsonl as it grows: whole lines, appended in batches, so that little is lost when we are killed.

A reader must expect that the last line is torn if the load generator was killed in the middle of a write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from emu.messages.requests import DONE, SENT


class Records:
    """The lines that say what became of each request, in the order in which it happened; `flush` them often.

    Lines are formatted by hand: `messages.to_line` takes longer than sending the request. A test compares both.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lines: list[str] = []
        self._unwritten = b""
        self.failure: OSError | None = None
        """Why what was gathered could not be written; it is kept, and tried again with the next flush."""
        self._known: dict[tuple[str, str, str, str], tuple[str, str]] = {}
        """A phase, a pod, a container and a revision as JSON has them."""

    def sent(
        self,
        number: int,
        phase: str,
        due: float,
        sent: float,
        begun: float,
        pod: str = "",
        container: str = "",
        ports: list[int] | None = None,
        revision: str = "",
    ) -> None:
        """A request's first byte goes out, or was tried to, to a container of a pod; `ports` to an activator."""
        known = self._known.get((phase, pod, container, revision))
        if known is None:
            whose = f'"pod":{json.dumps(pod)},"container":{json.dumps(container)},"revision":{json.dumps(revision)}'
            known = self._known[phase, pod, container, revision] = json.dumps(phase), whose
        name, whose = known
        through = "null" if ports is None else f"[{','.join(map(str, ports))}]"
        self._lines.append(
            f'{{"id":{number},"phase":{name},"due":{due!r},"sent":{sent!r},"begun":{begun!r},{whose},'
            f'"ports":{through},"e":"{SENT}"}}\n'
        )

    def done(
        self, number: int, done: float, first_byte: float | None, status: int | None, error: str | None, size: int
    ) -> None:
        """A request has ended."""
        first = "null" if first_byte is None else repr(first_byte)
        code = "null" if status is None else str(status)
        name = "null" if error is None else f'"{error}"'
        self._lines.append(
            f'{{"id":{number},"done":{done!r},"first_byte":{first},"status":{code},"error":{name},'
            f'"bytes":{size},"e":"{DONE}"}}\n'
        )

    def flush(self) -> None:
        """Write what was gathered, as far as there is room."""
        if not self._lines and not self._unwritten:
            return
        data = memoryview(self._unwritten + "".join(self._lines).encode())
        self._lines.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            self.failure = None
        except OSError as error:
            self.failure = error
        self._unwritten = bytes(data)

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        os.close(self._fd)
