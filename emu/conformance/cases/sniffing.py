"""The Content-Type that an answer without one gets."""

from __future__ import annotations

from emu.conformance.case import Answer, Case, Do, Pause
from emu.conformance.cases.wire import EMPTY, TEXT, answered, ask

_KINDS = (
    ("text", b"hello", TEXT),
    ("html", b"<!DOCTYPE html><p>", "text/html; charset=utf-8"),
    ("xml", b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
    ("png", b"\x89PNG\r\n\x1a\nxxxx", "image/png"),
    ("binary", b"\x00\x01\x02\x03", "application/octet-stream"),
    ("json", b'{"a":1}', TEXT),
    ("gzip", b"\x1f\x8b\x08xxxx", "application/x-gzip"),
)

SNIFFED = tuple(
    Case(
        f"sniff-{name}",
        f"An answer without Content-Type gets {kind}",
        (ask(),),
        (Answer(200, body, {"content-type": kind}),),
        app=(answered(body=body),),
    )
    for name, body, kind in _KINDS
)

NOT_SNIFFED: tuple[Case, ...] = (
    Case(
        "sniff-not-typed",
        "The app's own Content-Type stays",
        (ask(),),
        (Answer(200, headers={"content-type": "a/b"}),),
        app=(answered(b"content-type: a/b"),),
    ),
    Case(
        "sniff-not-encoded",
        "What is encoded is not looked into",
        (ask(),),
        (Answer(200, lacks=("content-type",)),),
        app=(answered(b"Content-Encoding: br"),),
    ),
    Case(
        "sniff-not-empty",
        "An empty body has no type",
        (ask(),),
        (Answer(200, lacks=("content-type",)),),
        app=(EMPTY,),
    ),
)

SLOW: tuple[Case, ...] = (
    Case(
        "sniff-slow",
        "The type of an answer of known length is guessed by what has gathered, not by its first piece",
        (ask(),),
        (Answer(200, b"<html>x", {"content-type": "text/html; charset=utf-8"}),),
        app=(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<ht", Pause(0.2), b"ml>x"),
    ),
    Case(
        "answer-breaks-off-late",
        "What has left the handler's buffer of 2,048 bytes reaches the client, though the answer breaks off",
        (ask(),),
        (Answer(200, b"x" * 2100, cut=True),),
        app=(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 2100, Pause(0.1), Do.CLOSE),
        closed=True,
    ),
)

CASES = (*SNIFFED, *NOT_SNIFFED, *SLOW)
