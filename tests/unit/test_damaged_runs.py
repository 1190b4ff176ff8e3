"""Damaged runs: whatever became of the files of a run, every command shows what is left, or gives one error."""

from __future__ import annotations

import builtins
import json
import os
import random
import re
import shutil
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner

from emu.cli.main import main
from emu.record.events import (
    KINDS,
    ContainerPaused,
    ContainerResumed,
    EventLog,
    FreezerFailed,
    MemoryPrefetched,
    MemoryReclaimed,
    RequestsHeld,
    StartMeasured,
)
from emu.record.frames import MAGIC
from emu.record.rundir import RunDir
from emu.scenario.reading import load_scenario, resolve
from tests import fake_runs, fakes
from tests.fakes import ORIGIN, container_id

COMMANDS = (
    ("show",),
    ("show", "--json"),
    ("journal",),
    ("journal", "--all", "--json"),
    ("export", "--to", "kperf-csv"),
    ("export", "--to", "kperf-json", "--of", "scaling"),
    ("report",),
)
FILES = (
    "events.jsonl", "events.jsonl", "events.jsonl", "samples.raw", "samples.raw.zst", "requests.jsonl",
    "requests.jsonl", "kmsg.log", "scenario.yaml", "summary.json", "logs/queue-proxy.0.log",
)  # fmt: skip
ODD = (
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**19), 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), float("-inf"), "", "x", "\x1b[31m", "a" * 5000, "\udcff", "1", [], [1], [[]], {}, {"a": 1},
    {"kernel": 5, "devices": [1]}, [["a", "b"]], [None], ["x", float("nan")],
)  # fmt: skip
ODD_NUMBERS = (
    b"-1", b"0", b"9" * 20, b"9" * 300, b"9" * 5000, b"NaN", b"1e400", b"x", b"", b"18446744073709551615",
    b"-9223372036854775809", b"1e18",
)  # fmt: skip
ODD_LINES = (
    b"\n", b"{}\n", b"[]\n", b"null\n", b"\0" * 9 + b"\n", b'{"kind":5}\n', b"F 0 99999999999999999999\n",
    b"S -1 \xff\n", b"D 0 a\n", b"x" * 300_000 + b"\n", b"[" * 100_000 + b"\n",
    b'{"kind":"note","t":1e308,"what":"x"}\n',
)  # fmt: skip
COUNT = int(os.environ.get("EMU_DAMAGED_RUNS", "800"))
"""Commands that are played; tens of thousands find no more in a quiet hour, and may be asked for."""
EVENTS = COUNT // 10
"""Runs with events of chance."""
SEED = int(os.environ.get("EMU_DAMAGED_SEED", "1"))


def value_damage(text: bytes, chance: random.Random) -> bytes:
    """A value of another type, or an odd one, somewhere in a JSON line."""
    lines = text.splitlines(keepends=True)
    for _ in range(chance.choice((1, 1, 3, 20))):
        at = chance.randrange(len(lines)) if lines else 0
        try:
            data = json.loads(lines[at])
        except (ValueError, IndexError):
            continue
        if not isinstance(data, dict) or not data:
            continue
        holder = data
        while True:
            name = chance.choice(list(holder))
            if not (isinstance(holder[name], dict) and holder[name] and chance.random() < 0.8):
                break
            holder = holder[name]
        if chance.random() < 0.2:
            del holder[name]
        else:
            holder[name] = chance.choice(ODD)
        lines[at] = json.dumps(data).encode() + b"\n"
    return b"".join(lines)


def number_damage(text: bytes, chance: random.Random) -> bytes:
    """A number somewhere becomes another, huge, negative or no number at all."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", text))
    for one in sorted(chance.sample(found, min(len(found), chance.choice((1, 5, 50)))), key=lambda m: -m.start()):
        odd = chance.choice(ODD_NUMBERS)
        text = text[: one.start()] + odd + text[one.end() :]
    return text


def bytes_damage(text: bytes, chance: random.Random) -> bytes:
    """Bytes of chance in place of others."""
    raw = bytearray(text)
    for _ in range(chance.choice((1, 10, 200))):
        if raw:
            raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def lines_damage(text: bytes, chance: random.Random) -> bytes:
    """Lines lost, doubled, out of order, or of garbage."""
    lines = text.splitlines(keepends=True)
    for _ in range(chance.choice((1, 4, 40))):
        if not lines:
            break
        at = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines) + 1), lines[at])
            case 2:
                lines[at] = chance.choice(ODD_LINES)
            case 3:
                chance.shuffle(lines)
            case _:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
    return b"".join(lines)


def cut(text: bytes, chance: random.Random) -> bytes:
    """The rest is missing."""
    return text[: chance.randrange(len(text) + 1)]


def empty(text: bytes, chance: random.Random) -> bytes:
    """Nothing is left, or nothing but one kind of byte."""
    return chance.choice((b"", b"\0" * len(text), b"\xff" * 4096, b"\n" * 100))


DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    value_damage, value_damage, number_damage, bytes_damage, lines_damage, cut, empty,
)  # fmt: skip


def damage(run: Path, chance: random.Random) -> str:
    """Damage one or two files of a run; what was done, in words."""
    done = []
    for _ in range(chance.choice((1, 1, 1, 2))):
        path = run / chance.choice(FILES)
        what = chance.random()
        if what < 0.03:
            path.unlink(missing_ok=True)
            done.append(f"{path.name} removed")
        elif what < 0.06:
            path.unlink(missing_ok=True)
            path.mkdir(parents=True)
            done.append(f"{path.name} a folder")
        elif what < 0.08:
            path.unlink(missing_ok=True)
            path.parent.mkdir(exist_ok=True)
            os.mkfifo(path)
            done.append(f"{path.name} a pipe")
        elif path.is_file():
            how = chance.choice(DAMAGE)
            path.write_bytes(how(path.read_bytes(), chance))
            done.append(f"{path.name}: {how.__name__}")
    return ", ".join(done)


def any_event(chance: random.Random, words: list[str], t: float) -> dict[str, Any]:
    """An event of chance that is of its type: a whole line, of which no other version of emu could say it is damaged.
    Of what need not be there some is not.
    """
    kind = chance.choice(sorted(KINDS))
    hints = get_type_hints(KINDS[kind])
    own = [one for one in fields(KINDS[kind]) if one.default is MISSING or chance.random() < 0.7]
    return {"kind": kind, **{one.name: any_value(hints[one.name], chance, words) for one in own}, "t": t}


def any_value(hint: Any, chance: random.Random, words: list[str]) -> Any:
    """A value of a type, as JSON has it."""
    parts = get_args(hint)
    match get_origin(hint) or hint:
        case builtins.bool:
            return chance.random() < 0.5
        case builtins.int:
            return chance.choice((0, 1, -1, 7, 2**40, 2**62))
        case builtins.float:
            return chance.choice((0.0, -1.0, 0.5, 20.0, 1e-9, 1e14))
        case builtins.str:
            return chance.choice(words)
        case builtins.list | builtins.tuple:
            return [any_value(parts[0], chance, words) for _ in range(chance.choice((0, 1, 3)))]
        case builtins.dict:
            return {chance.choice(words): any_value(parts[1], chance, words) for _ in range(chance.choice((0, 1, 3)))}
        case typing.Literal:
            return chance.choice(parts)
        case typing.Union | types.UnionType:
            return any_value(chance.choice(parts), chance, words)
        case kind if is_dataclass(kind):
            hints = get_type_hints(kind)
            return {one.name: any_value(hints[one.name], chance, words) for one in fields(kind)}
        case typing.Any:
            return chance.choice((None, 1, "x", [], {}))
        case _:
            return None


def medley(path: Path) -> RunDir:
    """A run with something of everything that events report."""
    run = fake_runs.scaled(path)
    log, app = EventLog(run.events), container_id("app", 0)
    held: dict[str, int | None] = {"current": 9000, "anon": 5000, "file": 3000, "swap": 0}
    log.append(
        ContainerPaused(
            t=ORIGIN + 1.0,
            container="app",
            attempt=0,
            id=app,
            method="docker",
            took_s=0.05,
            engine_s=0.04,
            kernel_s=0.01,
        )
    )
    log.append(
        MemoryReclaimed(
            t=ORIGIN + 1.5,
            container="app",
            attempt=0,
            id=app,
            wanted_bytes=4000,
            before=held,
            after=held | {"swap": 400},
            took_s=0.1,
        )
    )
    log.append(
        MemoryPrefetched(
            t=ORIGIN + 1.8,
            container="app",
            attempt=0,
            id=app,
            swapped_bytes=400,
            known_bytes=300,
            prefetched_bytes=300,
            took_s=0.02,
        )
    )
    log.append(
        ContainerResumed(
            t=ORIGIN + 2.0,
            container="app",
            attempt=0,
            id=app,
            method="docker",
            took_s=0.05,
            engine_s=0.04,
            kernel_s=0.01,
        )
    )
    log.append(FreezerFailed(t=ORIGIN + 2.1, action="pause", container="app", why="the engine is away"))
    log.append(RequestsHeld(t=ORIGIN + 2.2, outcome="forwarded", waited_s=[0.5, 0.7]))
    faults: dict[str, int | None] = {"pgfault": 5, "pgmajfault": 1, "swap_in_pages": 2, "io_read_bytes": 4096}
    stamps = [("start", ORIGIN + 2.4), ("forward", ORIGIN + 2.5)]
    log.append(
        StartMeasured(
            t=ORIGIN + 3,
            trial=0,
            wanted="warm-memory",
            temperature="warm-memory",
            attempt=0,
            arrived=ORIGIN + 2.3,
            stamps=stamps,
            first_byte=ORIGIN + 2.9,
            status=200,
            error=None,
            before=faults,
            after={name: (value or 0) * 2 for name, value in faults.items()},
            held_bytes=1,
            held_swap_bytes=0,
        )
    )
    log.close()
    spans = {"event": "paused", "forwarded": 3, "firstAt": ORIGIN + 0.5, "lastAt": ORIGIN + 0.9}
    lines = [json.dumps(spans, separators=(",", ":")), '{"event":"resumed","began":1,"t":2}', "\x1b[31mevil\x1b[0m"]
    (run.logs / "queue-proxy.0.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run


def with_variants(path: Path) -> RunDir:
    """A run of two variants."""
    run = RunDir(path)
    run.create(variants=True)
    fake_runs.swap(run.variant("never").path)
    fake_runs.docker_kill(run.variant("reclaim").path)
    return run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Whole runs, small ones, each with all its files and a few samples."""
    folder = tmp_path_factory.mktemp("good")
    scenario = resolve(load_scenario("queue-proxy-oom"))
    found = []
    for make in (fake_runs.docker_kill, fake_runs.group_killed, fake_runs.pod_level, medley, with_variants):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fakes, "INTERVAL_S", 0.25)
            run = make(folder / make.__name__)
        if make in (fake_runs.group_killed, fake_runs.pod_level):
            fake_runs.unpack_samples(run.path)
        run.scenario.write_text(resolve(load_scenario("idle-policies")) if run.has_variants() else scenario)
        run.summary.write_text('{"met": true}')
        found.append(run.path)
    return found


def play(run: Path, words: tuple[str, ...]) -> str:
    """Play a command on a run; what went wrong, empty if nothing did."""
    done = CliRunner().invoke(main, [words[0], str(run), *words[1:]])
    printed = done.output + done.stderr
    if done.exit_code not in (0, 2) or "Traceback" in printed or "unexpected" in printed:
        return f"{done.exit_code}: {printed[-400:]}"
    return "an escape sequence" if "\x1b" in printed else ""


def test_whole_runs_can_be_reported(good: list[Path], tmp_path: Path) -> None:
    """What is damaged below is right before."""
    for run in good:
        shutil.copytree(run, tmp_path / run.name)
        for words in COMMANDS:
            assert play(tmp_path / run.name, words) == ""


def test_damaged_runs_give_no_traceback(good: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a damaged run each command shows what is left, or gives one error; nothing hangs or is printed raw."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wrong: list[str] = []
    for number in range(COUNT):
        chance = random.Random(SEED * 1_000_003 + number)
        run = tmp_path / "run"
        shutil.copytree(chance.choice(good), run)
        whole = chance.choice(sorted((run / "variants").iterdir())) if (run / "variants").is_dir() else run
        words = chance.choice(COMMANDS)
        done = damage(whole, chance)
        if reported := play(run, words):
            wrong.append(f"{number}: {' '.join(words)} after {done}: {reported}")
        shutil.rmtree(run)
    assert not wrong, "\n".join(wrong)


def test_events_may_hold_anything_of_their_types(
    good: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No word that a version does not know, and no figure that makes no sense, is a traceback."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wrong: list[str] = []
    for number in range(EVENTS):
        chance = random.Random(SEED * 1_000_003 + number)
        run = RunDir(tmp_path / "run")
        shutil.copytree(chance.choice([one for one in good if not RunDir(one).has_variants()]), run.path)
        lines = run.events.read_text().splitlines()
        known = [json.loads(line) for line in lines]
        words = sorted({"", "x", *(value for one in known for value in one.values() if isinstance(value, str))})
        for _ in range(chance.choice((3, 10, 30))):
            made = any_event(chance, words, known[0]["t"] + chance.choice((-1, 0, 0.1, 2, 5, 20)))
            lines.insert(chance.randrange(len(lines)), json.dumps(made))
        run.events.write_text("\n".join(lines) + "\n")
        command = chance.choice((("report",), ("show",), ("journal",), ("pods",), ("why", "--json")))
        if reported := play(run.path, command):
            wrong.append(f"{number}: {' '.join(command)}: {reported}")
        shutil.rmtree(run.path)
    assert not wrong, "\n".join(wrong)


def test_events_of_a_kind_may_all_be_missing(good: list[Path], tmp_path: Path) -> None:
    """What they report is left out, and all else is reported: samples of containers that no event knows, statuses of
    a pod without containers.
    """
    for run in (one for one in good if not RunDir(one).has_variants()):
        lines = RunDir(run).events.read_text().splitlines(keepends=True)
        kinds = {str(json.loads(line)["kind"]) for line in lines}
        for missing in [*({kind} for kind in kinds), {kind for kind in kinds if kind.startswith("container-")}]:
            damaged = RunDir(tmp_path / "run")
            shutil.copytree(run, damaged.path)
            damaged.events.write_text("".join(line for line in lines if json.loads(line)["kind"] not in missing))
            assert play(damaged.path, ("report",)) == "", (run.name, missing)
            shutil.rmtree(damaged.path)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    "name", ["a" * 5000, "a/" * 3000, "\x1b[31m", "-", "/dev/null", "/proc/self/mem", ".", "/", ""]
)
def test_a_name_that_is_no_run_is_one_error(
    name: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is given as a run's name, the answer is short."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [words[0], *words[1:], "--", name])
    assert done.exit_code == 2
    assert "unexpected" not in done.stderr
    assert len(done.stderr) < 2000


def test_what_was_damaged_is_reported_once_a_file(tmp_path: Path) -> None:
    """A record's reader says how much of which file is left out, and the rest is reported as before."""
    run = fake_runs.docker_kill(tmp_path / "run")
    events = run.events.read_text().splitlines()
    odd = ['{"kind":"pod-status","t":"late","ready":1,"status":[],"restarts":null}', '{"kind":"note"}', "torn{"]
    run.events.write_text("\n".join([*events[:9], *odd, *events[9:]]) + "\n")
    run.requests.write_text(run.requests.read_text() + '{"e":"done","id":3,"done":NaN}\n{"e":"sent","id":1e99}\n')
    text = CliRunner().invoke(main, ["show", str(run.path), "--json"]).stdout
    notes = [note["what"] for note in json.loads(text)["notes"]]
    assert "events.jsonl has 3 damaged lines, which were left out" in notes
    assert "requests.jsonl has 2 damaged lines, which were left out" in notes
    assert json.loads(text)["containers"]["queue-proxy"]["final_reason"] == "Error"


def test_a_damaged_frame_of_samples_is_noted(tmp_path: Path) -> None:
    """The note says how many; what the other files hold is reported as before."""
    run = fake_runs.docker_kill(tmp_path / "run")
    whole = run.samples.read_bytes()
    begins = [at.start() for at in re.finditer(re.escape(MAGIC), whole)]
    run.samples.write_bytes(whole[: begins[0] + 40] + b"\xff" * 40 + whole[begins[0] + 80 :])
    text = CliRunner().invoke(main, ["show", str(run.path), "--json"]).stdout
    notes = [note["what"] for note in json.loads(text)["notes"]]
    assert "samples.raw.zst has 1 damaged frame, which was left out: a frame holds some seconds" in notes
    assert json.loads(text)["containers"]["queue-proxy"]["final_reason"] == "Error"


def test_a_torn_end_is_no_damage(tmp_path: Path) -> None:
    """A kill tears the last line of a file; that the run was cut off says it all."""
    run = fake_runs.cut_off(tmp_path / "run")
    text = CliRunner().invoke(main, ["show", str(run.path), "--json"]).stdout
    assert not [note for note in json.loads(text)["notes"] if "damaged" in note["what"]]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("logs", "/"),
        ("logs", "."),
        ("variants", "."),
        ("variants", "/"),
        ("processes", "/etc"),
        ("events.jsonl", "/dev/zero"),
        ("requests.jsonl", "/dev/stdin"),
        ("samples.raw.zst", "/proc/self/mem"),
        ("kmsg.log", "/etc/passwd"),
        ("scenario.yaml", "scenario.yaml"),
        ("summary.json", "/nowhere"),
    ],
)
def test_a_link_in_a_run_leads_no_command_astray(good: list[Path], tmp_path: Path, name: str, target: str) -> None:
    """Out of the run, in circles, or to a device without an end: what is no part of a record is not read as one."""
    run = tmp_path / "run"
    shutil.copytree(good[0], run)
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    for words in (("show",), ("journal", "--all"), ("pods",)):
        assert play(run, words) == "", words
