"""One kind of request: its content, how it is sent and read, and what emu's app does for it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from emu.messages.work import Work
from emu.spec.values import (
    HEADER_NAME,
    HEADER_VALUE,
    MIB,
    REQUEST_PATH,
    Bytes,
    FileRef,
    HoldFor,
    Model,
    OrSize,
    Seconds,
    SpecError,
    Whole,
    in_a_row,
    masks,
    number,
    raise_each,
    without,
)

FRAMING_HEADERS = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "sec-websocket-key", "sec-websocket-version")
)  # fmt: skip
"""Headers that the sender sets itself, or that would change how the rest of the request is read."""
_HELD = ("hold", "page_tables", "sockets", "pipes", "threads", "dentries")
"""What an app may be asked to keep."""


class WorkSpec(Model):
    """What a request asks of emu's app. Everything combines, in this order: read the request's body, read a file,
    write a file, hold memory, touch it again, have the kernel hold memory, burn CPU, sleep, answer, exit.
    """

    body: Literal["read", "slow", "ignore"] = "read"
    """What it does with the request's body: read all of it, read it slowly (`bodyRate`), or never read it."""
    body_rate: Bytes = 64 * 1024
    """Bytes per second when `body` is `slow`."""
    read_file: FileRef | None = None
    """Read this file, through the page cache: its name in `pod.app.files`, or its path in a mounted volume."""
    read_bytes: Bytes = 0
    """How much of it to read, from where the last such request stopped, after its end from its beginning again.
    Default: the whole file.
    """
    write_file: FileRef | None = None
    """Write `writeBytes` to this file, through the page cache, without fsync."""
    write_bytes: Bytes = 0
    """How much to write."""
    hold: Bytes = 0
    """Anonymous memory to take, each page touched."""
    hold_zeros: Annotated[float, BeforeValidator(number), Field(ge=0, le=1)] = 0.0
    """The share of each page of that memory which is zero bytes, 0 to 1: zswap and zram compress it away. The rest is
    random, and does not compress.
    """
    touch: Bytes = 0
    """How much to read of the memory that the app holds for its requests, this one's included, from where the last
    such request stopped, after its end from its beginning again: pages that were swapped out come back. Not that of a
    child.
    """
    hold_for: HoldFor = 0.0
    """How long after the answer the memory is given back, that which the kernel holds too; `forever` is a leak."""
    child: bool = False
    """Hold the memory in a child process, so that an OOM kill can hit the child and spare the app."""
    dentries: Annotated[Whole, Field(ge=0, le=10_000_000)] = 0
    """Names of files to look up that do not exist. The kernel keeps a dentry of each (400 to 500 bytes of reclaimable
    slab) for as long as it has room.
    """
    threads: Annotated[Whole, Field(ge=0, le=30_000)] = 0
    """Threads to start, which only wait. Each has a kernel stack of 16 KiB, and a little anonymous memory."""
    page_tables: Annotated[Bytes, Field(le=64 * MIB)] = 0
    """Page tables to take: 512 times as much address space is mapped, and one byte in 2 MiB of it read."""
    sockets: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    """TCP connections from the app to itself, with full buffers because nothing reads them."""
    pipes: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    """Pipes, each with a full buffer of 64 KiB."""
    cpu: Seconds = 0.0
    """CPU time to burn."""
    sleep: Seconds = 0.0
    """Time to wait before the answer, without using CPU."""
    answer: Bytes = 2
    """Bytes in the answer's body."""
    status: Annotated[Whole, Field(ge=200, le=599)] = 200
    """The answer's status."""
    exit: Annotated[Whole, Field(ge=0, le=255)] | None = None
    """End the app's process with this code once the answer is out."""
    unhealthy_for: HoldFor = 0.0
    """How long `GET /healthz` answers 503 from then on, to fail probes; `forever` is until it is restarted."""
    detached: bool = False
    """Keep working after the client has disconnected, as most servers do. Otherwise the app stops at the current
    step: a sleep ends at once, and the remaining steps do not run.
    """

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        for key, given, needs in (
            ("readBytes", self.read_bytes, ("read_file",)),
            ("writeBytes", self.write_bytes, ("write_file",)),
            ("holdZeros", self.hold_zeros, ("hold",)),
            ("child", self.child, ("hold",)),
            ("holdFor", self.hold_for != 0.0, _HELD),
        ):
            if given and not self.model_fields_set.intersection(needs):  # one that is 0 may be so in a variant
                raise without(key, to_camel(needs[0]))
        return self

    def to_work(self) -> Work:
        """The same, as it travels."""
        return Work(**self.model_dump())


class WebSocketModel(Model):
    """A conversation: it sends messages one by one, waits for the echo of each, then closes."""

    messages: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    """How many messages."""
    every: Seconds = 0.0
    """The time from one message to the next."""
    size: Annotated[Bytes, Field(le=MIB)] = 64
    """The size of each message."""


MOST_BODY_BYTES = 128 * 1024
"""A body of one's own is part of the scenario, and so of each run's record; a scenario has 256 KiB at most."""
_FORMS = ("size", "text", "json", "file", "base64")
_TYPES = {"text": "text/plain; charset=utf-8", "json": "application/json"}


class BodyModel(Model):
    """A request's body. Exactly one of `size`, `text`, `json`, `file` and `base64`; all but `size` have 128 KiB at
    most.
    """

    size: Bytes = 0
    """This many bytes of filler."""
    text: str | None = None
    """This text, as UTF-8."""
    json_: Annotated[Any, Field(alias="json")] = None
    """This value as JSON, on one line: `{instances: [[1.0, 2.0]]}`."""
    file: Annotated[str, StringConstraints(min_length=1)] | None = None
    """This file's bytes; the path is relative to the scenario, or to where emu was started. They become part of the
    scenario, as `text` or `base64`, when emu reads it.
    """
    base64: str | None = None
    """These bytes, in base64."""
    content_type: Annotated[str, StringConstraints(pattern=HEADER_VALUE)] | None = None
    """The Content-Type header. Default: `text/plain; charset=utf-8` for `text`, `application/json` for `json`,
    none for the others.
    """

    @property
    def form(self) -> str:
        """The key that says what the body is: `size`, `text`, `json`, `file` or `base64`."""
        return next((name for name in _FORMS[1:] if name in self.given), "size")

    @property
    def given(self) -> set[str]:
        """The forms that were given."""
        return {name for name in _FORMS if name.replace("json", "json_") in self.model_fields_set}

    @property
    def is_given(self) -> bool:
        """Whether there is a body."""
        return self.form != "size" or self.size > 0

    @property
    def content(self) -> bytes | None:
        """The bytes of a body of one's own; None for filler."""
        if self.form == "text":
            return (self.text or "").encode()
        if self.form == "json":
            return json.dumps(self.json_, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return base64.b64decode(self.base64 or "") if self.form == "base64" else None

    @property
    def type(self) -> str | None:
        """The Content-Type that goes with it."""
        return self.content_type if self.content_type is not None else _TYPES.get(self.form)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if len(self.given) > 1:
            names = sorted(self.given, key=_FORMS.index)
            raise SpecError(
                f"a body has one form, and this has {in_a_row(f'`{name}`' for name in names)}",
                fix="keep one of them",
                at=(names[-1],),
            )
        try:
            base64.b64decode(self.base64 or "", validate=True)
        except (binascii.Error, ValueError):
            raise SpecError("it is not valid base64", fix="use `text` or `file`", at=("base64",)) from None
        if self.form == "file":
            return self
        try:
            size = len(self.content or b"")
        except (TypeError, ValueError) as error:
            raise SpecError(f"it cannot be written as JSON ({error})", fix="correct it", at=("json",)) from None
        if size > MOST_BODY_BYTES:
            raise SpecError(
                f"a body of {size:,} bytes is too long to be part of a scenario",
                why=f"the maximum is {MOST_BODY_BYTES // 1024} KiB",
                fix="if only the size matters, write `body: 1Mi`",
                at=(self.form,),
            )
        return self


def _body_of(value: Any) -> Any:
    return value if isinstance(value, dict | BodyModel) else {"size": value}


def _as_given(body: BodyModel) -> Any:
    """A size alone as it may be written; else what was given."""
    if body.form == "size" and body.content_type is None:
        return body.size
    return body.model_dump(mode="json", by_alias=True, exclude_unset=True)


Body = Annotated[BodyModel, BeforeValidator(_body_of), PlainSerializer(_as_given, when_used="json"), OrSize()]


class RequestModel(Model):
    """One kind of request."""

    method: Literal["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"] | None = None
    """Default: GET without a body, POST with one."""
    path: Annotated[str, StringConstraints(pattern=REQUEST_PATH, max_length=4096)] | None = None
    """The path, for your own app; emu's app takes `do`."""
    do: WorkSpec | None = None
    """What emu's app does for the request; default: it only answers."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Additional HTTP headers. Values are text: quote numbers."""
    body: Body = BodyModel()
    """The request's body: a size alone (`64Ki`) means that much filler; or your own content."""
    send_rate: Bytes | None = None
    """A slow sender: bytes of the body per second. Default: as fast as possible."""
    read_rate: Bytes | None = None
    """A slow reader: bytes of the answer's body per second, over a connection of its own. Default: as fast as they
    arrive.
    """
    timeout: Seconds | None = None
    """How long after it began the request the client gives up. Default: never."""
    websocket: WebSocketModel | None = None
    """Switch to a websocket, which emu's app echoes. A completed conversation counts as answered 101."""

    def _wrong_headers(self) -> Iterator[SpecError]:
        yield from masks(self.headers, "headers")
        seen = [name.lower() for name in self.headers]
        for index, (name, value) in enumerate(self.headers.items()):
            at = ("headers", name)
            if not re.fullmatch(HEADER_NAME, name) or not re.fullmatch(HEADER_VALUE, value):
                yield SpecError(
                    f"{name!r} with {value!r} is not a valid HTTP header",
                    why="a name is letters, digits and a few signs without spaces; a value is one line of ASCII",
                    fix="correct it",
                    at=at,
                )
            if name.lower() in FRAMING_HEADERS:
                yield SpecError(
                    f"the load generator sets the header {name!r} itself",
                    why="it controls the framing of the request, or the connection",
                    fix="remove it; use `body`, `keepAlive` and `websocket` instead",
                    at=at,
                )
            if name.lower() in seen[:index]:
                yield SpecError(
                    f"the header {name!r} is given twice",
                    why="header names are not case-sensitive",
                    fix="keep one of them",
                    at=at,
                )

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.path is not None and self.do is not None:
            raise SpecError(
                "a request has either `path` (your own app) or `do` (emu's app), not both",
                fix="remove one of them",
                at=("path",),
            )
        raise_each(self._wrong_headers())
        works = self.body.is_given or self.do is not None
        if self.websocket is not None and (works or self.method not in (None, "GET")):
            raise SpecError(
                "a websocket begins with a plain GET",
                why="it carries messages, not a body or `do`",
                fix="remove `body`, `do` and `method`",
                at=("websocket",),
            )
        if self.send_rate == 0:
            raise SpecError("a sender of 0 bytes per second never ends", fix="give a rate", at=("sendRate",))
        if self.send_rate is not None and "body" not in self.model_fields_set and self.websocket is None:
            raise without("sendRate", "body")
        if self.read_rate == 0:
            raise SpecError("a reader of 0 bytes per second never ends", fix="give a rate", at=("readRate",))
        if self.read_rate is not None and self.websocket is not None:
            raise SpecError(
                "a websocket's client reads each message as it arrives",
                fix="remove `readRate`",
                at=("readRate",),
            )
        return self
