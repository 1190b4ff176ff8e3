"""What a request asks of the app, as a query string."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

BodyHandling = Literal["read", "slow", "ignore"]
FOREVER = "forever"


@dataclass(frozen=True)
class Work:
    """What one request asks of the app. Everything combines, in this order: read the request's body, read a file,
    write a file, hold memory, touch it again, have the kernel hold memory, burn CPU, sleep, answer (then let the
    memory go), exit.
    """

    body: BodyHandling = "read"
    """read all of the request's body; `slow`: at `body_rate` bytes/s; `ignore`: never read it."""
    body_rate: int = 64 * 1024
    read_file: str | None = None
    """Read this file in DATA_DIR, or by its path in a volume, through the page cache."""
    read_bytes: int = 0
    """So much of it, from where the last such request stopped; 0 is all of it."""
    write_file: str | None = None
    """Write `write_bytes` to this file, named likewise, through the page cache, without fsync."""
    write_bytes: int = 0
    hold: int = 0
    """Bytes of anonymous memory, each page touched."""
    hold_zeros: float = 0.0
    """The share of each of its pages that is zero bytes; the rest is random, and does not compress."""
    touch: int = 0
    """Bytes to read of the memory that the app holds for requests, from where the last such request stopped."""
    child: bool = False
    """Hold the memory in a child process, so that an OOM kill hits the child and the container lives; the
    answer is then 500 with the child's fate."""
    hold_for: float | None = 0.0
    """Seconds after the answer until the memory is given back, the kernel's too; None is for ever."""
    dentries: int = 0
    """Names of files to look up that do not exist: the kernel keeps each for as long as it has room."""
    threads: int = 0
    """Threads to start, which only wait."""
    page_tables: int = 0
    """Bytes of page tables."""
    sockets: int = 0
    """TCP connections to itself, with full buffers."""
    pipes: int = 0
    """Pipes, each with a full buffer."""
    cpu: float = 0.0
    """Seconds of CPU time to burn."""
    sleep: float = 0.0
    answer: int = 2
    """Bytes in the answer's body."""
    status: int = 200
    exit: int | None = None
    """End the app's process with this code once the answer is out."""
    unhealthy_for: float | None = 0.0
    """Seconds for which GET /healthz answers 503 from now on; None is for ever."""
    detached: bool = False
    """Work on after the client left; otherwise the app stops at the next step."""

    @property
    def blocks(self) -> bool:
        """Whether it takes a thread's time: files, memory or CPU."""
        return bool(self.read_file or self.write_file or self.hold or self.touch or self.cpu or self.is_of_the_kernel)

    @property
    def is_of_the_kernel(self) -> bool:
        """Whether it has the kernel hold memory."""
        return bool(self.dentries or self.threads or self.page_tables or self.sockets or self.pipes)

    def to_query(self) -> str:
        """The query string that carries this; fields at their defaults are left out."""
        pairs: list[tuple[str, str]] = []
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value == entry.default:
                continue
            pairs.append((entry.name, _query_text(value)))
        return urlencode(pairs)

    @classmethod
    def from_query(cls, query: str) -> Work:
        """The inverse of `to_query`. ValueError, in one line, for an unknown name or a bad or negative number."""
        kinds = {entry.name: str(entry.type) for entry in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name not in kinds:
                raise ValueError(f"unknown work {name!r}; known: {', '.join(kinds)}")
            values[name] = _work_value(name, kinds[name], text)
        return cls(**values)


def _query_text(value: Any) -> str:
    if value is None:
        return FOREVER
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _work_value(name: str, kind: str, text: str) -> Any:
    if name in ("hold_for", "unhealthy_for") and text == FOREVER:
        return None
    if name == "body" and text not in ("read", "slow", "ignore"):
        raise ValueError(f"body={text!r}: must be read, slow or ignore")
    if kind == "bool":
        if text not in ("true", "false"):
            raise ValueError(f"{name}={text!r}: must be true or false")
        return text == "true"
    if kind.startswith(("int", "float")):
        try:
            number = int(text) if kind.startswith("int") else float(text)
        except ValueError:
            raise ValueError(f"{name}={text!r}: must be a number") from None
        if not 0 <= number < float("inf"):
            raise ValueError(f"{name}={text!r}: must be 0 or more, and finite")
        return number
    return text
