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
NUMBERS = (
    "9" * 5000, "1e999999999", "-0", "1e-400", "18446744073709551616", "1e18Gi", "\u0663", "\uff11\uff12",
    "\u0967\u0966s", "\uff15Mi", "\u00b2", "\u00bd", "10\uff53", "1\u00a0Mi", "1 Mi", "1.", ".5", "0o17", "0b11",
    "-.inf", "1m1h", "0.1ns", "-1s",
)  # fmt: skip
"""Also digits of other scripts, which Python's int() takes."""
NODES = (
    "!!binary aGk=", "!!set {a, b}", "!foo bar", "{? [a, b] : c}", "{1: 2}", "{null: x}", "{true: x}", "[{}]",
    "[null]", "[[]]", "|\n  text", "&a [*a]", "=", "[,]", "?", "*x", '"\\x00"', "&s [*s, *s]", "[a, [b, {c: d}]]",
)  # fmt: skip
DEEP = ("[", "{a: ", "- ", "? ", "!!a ", "&a ")
PATHS = sorted(path for path, _ in all_paths() if "." in path)
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


def another_number(text: str, chance: random.Random) -> str:
    """A number is a huge one, or one of signs that are no digits to YAML."""
    numbers = list(re.finditer(r"\b\d+(\.\d+)?", text))
    if not numbers:
        return text
    found = chance.choice(numbers)
    return text[: found.start()] + chance.choice(NUMBERS) + text[found.end() :]


def twice(text: str, chance: random.Random) -> str:
    """A key is there again with another value, or takes that of an anchor or of a merge."""
    lines = text.split("\n")
    at = [number for number, line in enumerate(lines) if re.match(r"[ -]*[\w.-]+:", line)]
    if len(at) < 2:
        return text
    first, second = sorted(chance.sample(at, 2))
    head, _, rest = lines[second].partition(":")
    blank = re.sub(r"\S.*", "", head.replace("- ", "  "))
    match chance.randrange(3):
        case 0:
            lines.insert(second + 1, f"{blank}{head.strip(' -')}: {chance.choice((*NUMBERS, *NODES))}")
        case 1:
            lines[second] = f"{head}: *anchor"
            lines[first] = lines[first].replace(":", ": &anchor", 1)
        case _:
            lines[second] = f"{head}:{rest}\n{blank}<<: *anchor"
            lines[first] = lines[first].replace(":", ": &anchor", 1)
    return "\n".join(lines)


def odd_text(text: str, chance: random.Random) -> str:
    """The same file with tabs, other ends of lines, marks and zeros, or as one of several documents."""
    at = chance.randrange(len(text) + 1)
    return chance.choice((
        text.replace("  ", "\t", 1), text.replace(": ", ":\t"), text.replace(" ", "\u00a0", 3), "\ufeff" + text,
        f"{text[:at]}\ufeff{text[at:]}", text.replace("\n", "\r\n"), text.replace("\n", "\r"), f"{text}\0",
        f"---\n{text}\n...\n", f"{text}\n---\n{text}", f"%YAML 1.1\n---\n{text}", f"%TAG ! tag:x,2000:\n---\n{text}",
    ))  # fmt: skip


def any_place(text: str, chance: random.Random) -> str:
    """A key of any depth, also one that no built-in scenario has, holds something odd, or is nested deeply."""
    path = chance.choice(PATHS)
    value = chance.choice((*NUMBERS, *NODES, *VALUES, chance.choice(DEEP) * chance.choice((50, 3000))))
    for part in reversed(path.split(".")):
        name = part.removesuffix("[]")
        value = f"{{{name}: {value}}}" if name == part else f"{{{name}: [{value}]}}"
    top = path.partition(".")[0].removesuffix("[]")
    return re.sub(rf"^{top}:.*\n(?:[ -].*\n|\n)*", "", text, flags=re.MULTILINE) + f"\n{value[1:-1]}\n"


WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    another_value, another_value, another_key, one_line, some_signs, cut, another_number, twice, odd_text, any_place,
    any_place,
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
