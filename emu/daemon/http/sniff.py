"""The Content-Type that Go's net/http gives an answer without one, from its first 512 bytes.

The rules are those of the WHATWG's MIME sniffing standard, as far as Go follows them (net/http, DetectContentType).
Pure: bytes → bytes.
"""

from __future__ import annotations

import re

SNIFF_BYTES = 512
_TAGS = b"!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P".replace(b" ", b"[ ]")
_HTML = re.compile(rb"[\t\n\x0c\r ]*<(?:(?:" + _TAGS + rb")[ >]|!--)", re.IGNORECASE)
_XML = re.compile(rb"[\t\n\x0c\r ]*<\?xml")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_STARTS = (
    (b"%PDF-", b"application/pdf"),
    (b"%!PS-Adobe-", b"application/postscript"),
    (b"\xfe\xff", b"text/plain; charset=utf-16be"),
    (b"\xff\xfe", b"text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", b"text/plain; charset=utf-8"),
    (b"\x00\x00\x01\x00", b"image/x-icon"),
    (b"\x00\x00\x02\x00", b"image/x-icon"),
    (b"BM", b"image/bmp"),
    (b"GIF87a", b"image/gif"),
    (b"GIF89a", b"image/gif"),
    (b"\x89PNG\r\n\x1a\n", b"image/png"),
    (b"\xff\xd8\xff", b"image/jpeg"),
    (b"ID3", b"audio/mpeg"),
    (b"OggS\x00", b"application/ogg"),
    (b"MThd\x00\x00\x00\x06", b"audio/midi"),
    (b"\x1aE\xdf\xa3", b"video/webm"),
    (b"\x00\x01\x00\x00", b"font/ttf"),
    (b"OTTO", b"font/otf"),
    (b"ttcf", b"font/collection"),
    (b"wOFF", b"font/woff"),
    (b"wOF2", b"font/woff2"),
    (b"\x1f\x8b\x08", b"application/x-gzip"),
    (b"PK\x03\x04", b"application/zip"),
    (b"Rar!\x1a\x07\x00", b"application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", b"application/x-rar-compressed"),
    (b"\x00asm", b"application/wasm"),
)
_INSIDE = (
    (b"RIFF", b"WEBPVP", b"image/webp"),
    (b"RIFF", b"WAVE", b"audio/wave"),
    (b"RIFF", b"AVI ", b"video/avi"),
    (b"FORM", b"AIFF", b"audio/aiff"),
)


def content_type(body: bytes) -> bytes:
    """What kind of content begins like this."""
    data = body[:SNIFF_BYTES]
    if _HTML.match(data):
        return b"text/html; charset=utf-8"
    if _XML.match(data):
        return b"text/xml; charset=utf-8"
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    for start, inside, kind in _INSIDE:
        if data.startswith(start) and data[8:].startswith(inside):
            return kind
    if data[34:36] == b"LP" and not data[:34].strip(b"\x00"):
        return b"application/vnd.ms-fontobject"
    if _is_mp4(data):
        return b"video/mp4"
    return b"application/octet-stream" if _BINARY.search(data) else b"text/plain; charset=utf-8"


def _is_mp4(data: bytes) -> bool:
    if len(data) < 12 or data[4:8] != b"ftyp":
        return False
    size = int.from_bytes(data[:4], "big")
    if size % 4 or len(data) < size:
        return False
    return any(data[at : at + 3] == b"mp4" for at in range(8, size, 4) if at != 12)
