"""The rest of a request that its own answer overtook, and what is held back of that answer meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.daemon.http.exchange import Exchange


def most_to_discard(exchange: Exchange, keep_alive: bool, stopping: bool, most: int) -> int | None:
    """How much of a request's body is read away after its answer, of `most`; None: the connection ends without that.

    Of a body that the client holds back nothing is read, but it is awaited: its first byte ends the connection.
    """
    head = exchange.head
    if head.expects_continue and not exchange.received:
        return 0
    closes = not (head.keep_alive or head.chunked)
    if head.expects_continue and not (closes or exchange.broken or stopping):
        return most
    long = head.content_length is not None and head.content_length > most
    return None if not (keep_alive or head.expects_else) or stopping or exchange.broken or long else most


class Rest:
    """The unread rest of a request whose answer has begun. Few requests need one."""

    __slots__ = ("ends", "keep_alive", "left", "written")

    def __init__(self, most: int) -> None:
        self.left = most
        """So many more bytes are read at most; below 0, it turned out longer."""
        self.written: list[bytes] = []
        """Of the answer, what is held back."""
        self.keep_alive = False
        """Once the answer is whole: whether the connection may be kept after it."""
        self.ends = False
        """It is waited for no more: what is held back is about to go out."""

    def take(self, nbytes: int) -> bool:
        """So much more was read: whether it turned out longer with that."""
        before, self.left = self.left, self.left - nbytes
        return before >= 0 > self.left

    def answer(self, keep_alive: bool) -> bytes:
        """The answer that was held back, in one piece; its head says so if the connection closes after it."""
        said = b"".join(self.written)
        return said if keep_alive else closing(said)


def closing(said: bytes) -> bytes:
    """An answer whose head says that the connection closes after it; as it is where it has no head."""
    head, end, body = said.partition(b"\r\n\r\n")
    if b"\r\nConnection: close" in head or not end:
        return said
    return b"%b\r\nConnection: close%b%b" % (head, end, body)
