"""Thousands of damaged scenarios: each is read, or there are errors with a place and a way out."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

from emu.errors import EmuError, SeveralErrors
from emu.machine import output
from emu.scenario.keys import all_paths
from emu.scenario.reading import builtin_scenarios, read_scenario

TEXTS = [
    re.sub(r"^ *#.*\n", "", builtin.path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for builtin in builtin_scenarios()
]
"""Without lines of comment: to mutate those would change nothing."""
COUNT = int(os.environ.get("EMU_MUTATED_SCENARIOS", "3500"))
"""Mutations that are read, always the same; more, and others by the seed, may be asked for."""
SEED = int(os.environ.get("EMU_MUTATED_SEED", "1"))
KEYS = sorted({re.sub(r"\[\]", "", path.rpartition(".")[2]) for path, _ in all_paths()})
VALUES = (
    "", "null", "true", "0", "-1", "1e400", "9" * 50, "9" * 400 + "Gi", ".nan", "010", "0x10", "64Ti", "1000h", "max",
    "forever", "[]", "{}", "[[[[]]]]", "{a: {b: c}}", "*a", "&a x", "!!str x", '"\\e[31m"', '"\\uD800"', "'", '"',
    "- x", "a: b",
    "x" * 3000, "日本", "../../etc/passwd", "/dev/zero", "%", "@", "`", "|", ">", "? x", "<<: 1", "--- x",
    "between 3 and 1", "> true", "== ", "2 * x", "containers.app", "2000-01-01", "1_000", "+5", "~", "NO", "1:30",
)  # fmt: skip
SIGNS = "\t :-?[]{},&*!|>'\"%@`#<~.0e\\\0\u2028\ufeff\x85\x1b\r"


def another_value(text: str, chance: random.Random) -> str:
    """One key has a value of chance."""
    lines = text.split("\n")
    at = [number for number, line in enumerate(lines) if re.match(r"[ -]*[\w.-]+:", line)]
    if at:
        number = chance.choice(at)
        lines[number] = f"{lines[number].split(':')[0]}: {chance.choice(VALUES)}"
    return "\n".join(lines)


def another_key(text: str, chance: random.Random) -> str:
    """One key is another one, with the value that was there."""
    keys = list(re.finditer(r"[\w-]+(?=:)", text))
    if not keys:
        return text
    found = chance.choice(keys)
    return text[: found.start()] + chance.choice([*KEYS, *VALUES]) + text[found.end() :]


def one_line(text: str, chance: random.Random) -> str:
    """A line is gone, there twice, elsewhere, or indented otherwise."""
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    line = lines.pop(at)
    for again in range(chance.choice((0, 1, 2))):
        lines.insert(chance.randrange(len(lines) + 1) if again else at, " " * chance.randrange(5) + line.lstrip())
    return "\n".join(lines)


def some_signs(text: str, chance: random.Random) -> str:
    """Signs that mean something to YAML stand where others were."""
    for _ in range(chance.choice((1, 2, 5))):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(SIGNS) + text[at + chance.randrange(3) :]
    return text


def cut(text: str, chance: random.Random) -> str:
    """A stretch is missing."""
    begin, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return text[:begin] + text[end:] if chance.random() < 0.5 else text[:begin]


WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    another_value, another_value, another_key, one_line, some_signs, cut,
)  # fmt: skip


def test_no_mutation_gives_a_traceback() -> None:
    """Whatever was done to a good file, all that is said of it can be acted on and printed."""
    for number in range(COUNT):
        chance = random.Random(SEED * 1_000_003 + number)
        text = chance.choice(TEXTS)
        for _ in range(chance.choice((1, 1, 2, 4))):
            text = chance.choice(WAYS)(text, chance)
        try:
            read_scenario(text, "f.yaml")
        except EmuError as error:
            for one in error.errors if isinstance(error, SeveralErrors) else (error,):
                assert one.what, number
                assert one.why, number
                assert one.fix, number
                assert "\n" not in one.what + one.why + one.fix, (number, one)
            assert len(str(error)) < 100_000, number
            output.printable(str(error)).encode()
