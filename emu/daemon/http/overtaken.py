"""The rest of a request that its own answer overtook, and what is held back of that answer meanwhile."""

from __future__ import annotations


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
        if keep_alive:
            return said
        head, end, body = said.partition(b"\r\n\r\n")
        return b"%b\r\nConnection: close%b%b" % (head, end, body) if end else said
