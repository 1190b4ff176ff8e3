"""Text as Go's %q writes it (strconv.Quote). Pure: bytes → bytes."""

from __future__ import annotations

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quoted(text: bytes) -> bytes:
    """The text in quotation marks, with escapes for what does not print; bytes that are no UTF-8 stand as \\xNN."""
    return b'"%b"' % "".join(map(_escaped, text.decode("utf-8", "surrogateescape"))).encode()


def _escaped(char: str) -> str:
    code = ord(char)
    if code in _ESCAPES:
        return _ESCAPES[code]
    if 32 <= code < 127:
        return char
    if code < 128:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    from unicodedata import category  # a megabyte that only a message about odd bytes needs

    if category(char)[0] in "LMNPS":
        return char
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
