"""Which word was probably meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant: the same letters in other case or with `_`, or a few of them off."""
    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def hint(word: str, known: Sequence[str]) -> str:
    """`; is WORD meant?`, to put behind what is wrong; empty where no known word is near."""
    meant = nearest(word, known)
    return f"; is {meant} meant?" if meant else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
