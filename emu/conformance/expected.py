"""A table of words, `expected.md`, that says what must happen with each manifest → what can be checked of it.

A row is `| NN title | accepted or refused | words |`. Of the words these are claims: each phrase in backticks, each
number, and `NAME NUMBER` where NAME is one that emu has a value for. `...` in a phrase stands for anything. Words
after `With feature` or `With the features` are about the same manifest in a cluster with these flags; words after
`Without` are about another manifest, and are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from emu.manifests.explanation import Explanation

_ROW = re.compile(
    r"\|\s*(?P<number>\d+)\s+(?P<title>[^|]*?)\s*\|\s*(?P<verdict>accepted|refused)[^|]*\|(?P<words>.*)\|\s*$"
)
_PHRASE = re.compile(r"`([^`]+)`")
_VARIANT = re.compile(r"With (?:the )?features?\b")
_OTHER = re.compile(r"\bWithout\b.*", re.DOTALL)
_FLAG = re.compile(r"(?<![\w.])(?:kubernetes\.)?(podspec)?(-[a-z]+(?:-[a-z]+)*)")
_NUMBER = re.compile(r"(?<![\w.-])(-?\d+(?:\.\d+)?)(Mi|Gi|Ki|M|G|m)?(?:s|h)?(?![\w])")
_NAMES = {
    "CC": ("containerConcurrency",),
    "timeout": ("timeoutSeconds",),
    "initial": ("initial-scale",),
    "activation": ("activation-scale",),
    "min": ("min-scale", "HPA minReplicas", "minReplicas"),
    "max": ("max-scale", "HPA maxReplicas", "maxReplicas"),
    "TBC": ("target-burst-capacity",),
    "panic window": ("panic window",),
    "window": ("window", "panic window"),
    "delay": ("scale-down-delay",),
    "total": ("total",),
    "target": ("target", "total", "utilization", "HPA metric"),
    "utilisation": ("utilization",),
}
_NAMED = re.compile(rf"\b({'|'.join(_NAMES)}) \"?(-?\d+(?:\.\d+)?)\"?(?![\w.])")


@dataclass(frozen=True)
class Row:
    """One manifest's row."""

    number: str
    title: str
    verdict: str
    words: str
    features: tuple[str, ...] = ()
    """Flags of config-features that are enabled for it."""

    @property
    def name(self) -> str:
        """What the report of the check calls the row."""
        return f"{self.number} {self.title}" + (" with features" if self.features else "")


def rows(text: str) -> Iterator[Row]:
    """The rows of a table, and those that speak of features as rows of their own."""
    for line in text.splitlines():
        found = _ROW.match(line)
        if found is None:
            continue
        words = _OTHER.sub("", found["words"])
        parts = _VARIANT.split(words, maxsplit=1)
        yield Row(found["number"], found["title"], found["verdict"], parts[0])
        if len(parts) == 2:
            flags, _, rest = parts[1].partition(":")
            names = tuple(f"kubernetes.podspec{flag[2]}" for flag in _FLAG.finditer(flags))
            verdict = "refused" if rest.strip().startswith("refused") else "accepted"
            yield Row(found["number"], found["title"], verdict, rest, names)


def faults(row: Row, found: list[Explanation]) -> list[str]:
    """The differences from the row, a line each."""
    refused = any(not one.accepted for one in found)
    if refused != (row.verdict == "refused"):
        lines = [line for one in found for refusal in one.refusals for line in refusal.words.split("\n")]
        return [f"expected {row.verdict}, got {'refused' if refused else 'accepted'}", *lines]
    return list(_refusal_faults(row, found)) if refused else list(_value_faults(row, found))


def _pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in phrase.strip().split("...")))


def _refusal_faults(row: Row, found: list[Explanation]) -> Iterator[str]:
    """Each phrase must be refused with, and nothing else may be."""
    lines = [line for one in found for refusal in one.refusals for line in refusal.words.split("\n")]
    phrases = [_pattern(phrase) for phrase in _PHRASE.findall(row.words)]
    for phrase in phrases:
        if not any(phrase.search(line) for line in lines):
            yield f"no refusal says {phrase.pattern}"
    for line in lines:
        if not any(phrase.search(line) for phrase in phrases):
            yield f"refused with more: {line}"


def _value_faults(row: Row, found: list[Explanation]) -> Iterator[str]:
    said = "\n".join(
        [f"{value.name} {value.text} {value.how}" for one in found for value in one.values]
        + [note.text for one in found for note in one.notes]
    )
    for phrase in _PHRASE.findall(row.words):
        for part in phrase.split(", "):
            if not _pattern(part).search(said):
                yield f"nothing says {part!r}"
    words = _PHRASE.sub(" ", row.words).replace("**", "")
    values = [(value.name.rpartition(": ")[2], value.text) for one in found for value in one.values]
    for name, number in _NAMED.findall(words):
        there = [text for value, text in values if value in _NAMES[name]]
        if not any(number in (match[1] for match in _NUMBER.finditer(text)) for text in there):
            yield f"{name} is not {number}: {', '.join(there) or 'emu has no such value'}"
    numbers = {match[1] + (match[2] or "") for match in _NUMBER.finditer(said)}
    for match in _NUMBER.finditer(words):
        if match[1] + (match[2] or "") not in numbers and match[1] not in numbers:
            yield f"no value and no note has {match[0]}"
    if re.search(r"\bnotes?:|: note\b", words) and not any(one.notes for one in found):
        yield "a note was expected"
