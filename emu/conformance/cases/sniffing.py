"""The Content-Type that an answer without one gets."""

from __future__ import annotations

from emu.conformance.case import Answer, Case
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

CASES = (*SNIFFED, *NOT_SNIFFED)
