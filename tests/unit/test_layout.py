"""The code's layout: which module may import which. Read from the source, so that nothing is run."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS: tuple[tuple[str, ...], ...] = (
    ("emu.__main__",),
    ("emu.cli",),
    ("emu.run",),
    ("emu.doctor", "emu.serving"),
    ("emu.sandbox", "emu.helpers", "emu.scenario"),
    ("emu.kubelet", "emu.conformance", "emu.report"),
    ("emu.daemon.activator", "emu.daemon.freezer", "emu.daemon.load", "emu.daemon.app", "emu.study", "emu.manifests"),
    ("emu.runtime", "emu.record", "emu.daemon.queue_proxy"),
    ("emu.daemon.http", "emu.files", "emu.spec"),
    ("emu.daemon", "emu.machine"),
    ("emu.policy",),
    ("emu", "emu.errors", "emu.messages", "emu.units"),
    ("cgroups",),
)
"""Every room, from the top floor down. A module imports from its own room and from floors below, nothing else, also
within functions and for type checking.
"""
PLAIN = ("emu.messages", "emu.messages.*", "emu.units")
"""Of emu, what a policy may import besides other policies."""
GROUND = ("emu.policy.*", "emu.spec.*", *PLAIN, "emu.errors", "emu.files.*", "emu.record.*")
"""What all stand on: decisions, specs, records."""
ACTING = {
    "asyncio",
    "concurrent",
    "ctypes",
    "docker",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "psutil",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
}
"""Modules through which code learns of the world or changes it."""
PLAIN_CGROUPS = {
    "cgroups",
    "cgroups.cpu",
    "cgroups.errors",
    "cgroups.io",
    "cgroups.memory",
    "cgroups.oom",
    "cgroups.oom_lines",
    "cgroups.parse",
    "cgroups.psi",
    "cgroups.values",
}
"""The pure half of cgroups."""
PURE_NAMES = {
    "cgroups.kmsg": {"KERNEL_FACILITY", "KmsgGap", "KmsgRecord", "only", "parse_dmesg", "parse_record"},
}
"""What else of cgroups is pure, beside what acts."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the project, by name."""
    found = {}
    for package in ("cgroups", "emu"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    """A module's syntax."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> tuple[tuple[str, str], ...]:
    """What a module imports, anywhere in it: (module, name), with the name empty for `import module`."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in modules() else (node.module or "", alias.name)


@cache
def room(module: str) -> str:
    """The room of a module: the longest name in FLOORS that it is, or lies in."""
    rooms = {name for floor in FLOORS for name in floor}
    parts = module.split(".")
    return next(
        (
            name
            for end in range(len(parts), 0, -1)
            if (name := ".".join(parts[:end])) in rooms and (name != "emu" or module == "emu")
        ),
        "",
    )


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    """Whether a module is one of the patterns; `a.*` is a and all below it, `a_*` all that begin so."""
    for pattern in patterns:
        stem = pattern.removesuffix("*")
        if module == pattern or (pattern.endswith(".*") and module == stem.removesuffix(".")):
            return True
        if pattern.endswith("*") and module.startswith(stem):
            return True
    return False


def offences(who: tuple[str, ...], what: tuple[str, ...], *, but: tuple[str, ...] = ()) -> list[str]:
    """The imports of `what` by modules of `who`, apart from those in `but`."""
    return [
        f"{module} imports {imported}"
        for module in modules()
        if matches(module, who) and not matches(module, but)
        for imported, _ in imports(module)
        if matches(imported, what)
    ]


def test_every_module_has_a_room() -> None:
    """And every room that is named has a module."""
    assert [module for module in modules() if not room(module)] == []
    assert {name for floor in FLOORS for name in floor} - {room(module) for module in modules()} == set()


def test_whoever_opens_the_package_sees_its_rooms_at_a_glance() -> None:
    """Directly in emu/ are at most 24 entries."""
    entries = {module.split(".")[1] for module in modules() if module.startswith("emu.")} | {"__init__"}
    assert len(entries) <= 24, sorted(entries)


def test_nothing_is_long() -> None:
    """No function above 65 lines, no class above 300, no file above 450: what grows beyond is two things."""
    long = [
        f"{module}: {len(path.read_text().splitlines())} lines"
        for module, path in modules().items()
        if len(path.read_text().splitlines()) > 450
    ]
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > (300 if isinstance(node, ast.ClassDef) else 65):
                    long.append(f"{module}.{node.name}: {lines} lines")
    assert long == []


def test_a_module_imports_from_floors_below() -> None:
    """Whatever a command does, a script can do without it; a run's parts know nothing of the run that they are in;
    what is decided and recorded stands on nothing that acts.
    """
    height = {name: -number for number, floor in enumerate(FLOORS) for name in floor}
    wrong = [
        f"{module} imports {imported}"
        for module in modules()
        for imported, _ in imports(module)
        if imported in modules() and room(imported) != room(module) and height[room(imported)] >= height[room(module)]
    ]
    assert wrong == []


def test_the_records_and_decisions_stand_on_nothing_that_acts() -> None:
    """Policies, specs and records import nothing of emu but each other, where things are and who listens."""
    listens = ("emu.machine.listeners", "emu.machine.paths")
    above = tuple(
        module for module in modules() if module.startswith("emu.") and not matches(module, (*GROUND, *listens))
    )
    assert offences(GROUND, above) == []


def test_the_parts_of_a_run_do_not_reach_the_study_or_the_sandbox() -> None:
    """Pod, load, daemons and recorder record; studying and choosing where to run are not their affair."""
    parts = ("emu.kubelet.*", "emu.serving.*", "emu.helpers.*", "emu.runtime.*", "emu.daemon.*", "emu.record.*")
    assert offences(parts, ("emu.report.*", "emu.study.*", "emu.sandbox.*", "emu.scenario.*")) == []


def words(module: str) -> Iterator[str]:
    """The names and texts in a module's code; docstrings and comments are not among them."""
    nodes = list(ast.walk(tree(module)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Name | ast.alias | ast.Attribute | ast.keyword | ast.arg):
            yield next(str(value) for name, value in ast.iter_fields(node) if name in ("id", "name", "attr", "arg"))


def test_the_kubelet_knows_no_knative() -> None:
    """It runs any pod: no name and no text in its code is Knative's. What Knative makes of a pod is in serving."""
    knatives = re.compile(r"knative|queue|revision|serving|drain|activator|^K_", re.IGNORECASE)
    stdlib = {"queue", "Queue"}
    wrong = [
        f"{module}: {word}"
        for module in modules()
        if matches(module, ("emu.kubelet.*",))
        for word in words(module)
        if knatives.search(word) and word not in stdlib
    ]
    assert wrong == []


def test_policy_only_decides() -> None:
    """A policy imports nothing through which it could look or act: facts and the time are its arguments."""
    wrong = [
        f"{module} imports {imported}"
        for module in modules()
        if matches(module, ("emu.policy.*",))
        for imported, _ in imports(module)
        if imported.split(".")[0] in ACTING
        or (imported.split(".")[0] == "cgroups" and imported not in PLAIN_CGROUPS)
        or (imported.split(".")[0] == "emu" and not matches(imported, ("emu.policy.*", *PLAIN)))
        or (imported.split(".")[0] not in {"emu", "cgroups", *sys.stdlib_module_names})
    ]
    assert wrong == []


def test_cgroups_stands_alone() -> None:
    """The cgroups package is a library of its own: the standard library and cgroupspy, nothing of emu, no Docker."""
    allowed = {"cgroups", "cgroupspy", *sys.stdlib_module_names}
    wrong = [
        f"{module} imports {imported}"
        for module in modules()
        if matches(module, ("cgroups.*",))
        for imported, _ in imports(module)
        if imported.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_the_report_reads_files_only() -> None:
    """The study and the report are made from a run directory, anywhere: they import no Docker, no pod, nothing that
    asks a live system.
    """
    studying = ("emu.study.*", "emu.report.*")
    recorder = ("recorder", "kernel_log", "pod_listeners", "watched", "machine_files")
    recording = tuple(f"emu.record.{module}" for module in recorder)
    live = ("emu.runtime.*", "emu.kubelet.*", "emu.run.*", *recording, "emu.daemon.*")
    printing = ("emu.machine.output",)
    machine = tuple(
        module for module in modules() if matches(module, ("emu.machine.*",)) and not matches(module, printing)
    )
    wrong = offences(studying, (*live, *machine, "docker.*", "psutil.*", "subprocess", "socket"))
    for module in modules():
        if matches(module, studying):
            wrong += [
                f"{module} imports {imported} {name}"
                for imported, name in imports(module)
                if imported.split(".")[0] == "cgroups"
                and imported not in PLAIN_CGROUPS
                and name not in PURE_NAMES.get(imported, set())
            ]
    assert wrong == []


def reached(module: str) -> set[str]:
    """A module and all of the project's that it imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one in found or one not in modules():
            continue
        found.add(one)
        waiting += [imported for imported, _ in imports(one)]
    return found


@pytest.mark.parametrize("daemon", ["emu.daemon.app.__main__", "emu.daemon.queue_proxy.__main__"])
def test_what_runs_in_a_container_is_small(daemon: str) -> None:
    """A container's program needs only the standard library, uvloop, h2 and our pure modules: its image
    stays small, and its idle memory is part of what is measured.
    """
    own = ("emu", "emu.policy.*", "emu.messages", "emu.messages.*", "emu.daemon.*")
    outside = {"h2", "hpack", "hyperframe", "uvloop", *sys.stdlib_module_names}
    wrong = [
        f"{module} imports {imported}"
        for module in sorted(reached(daemon))
        for imported, _ in imports(module)
        if not (matches(imported, own) if imported.split(".")[0] == "emu" else imported.split(".")[0] in outside)
    ]
    assert daemon in modules()
    assert wrong == []


@pytest.mark.parametrize("program", ["emu.sandbox.uml.keeper", "emu.sandbox.uml.inside.agent"])
def test_what_holds_a_guest_and_what_serves_in_it_needs_no_package(program: str) -> None:
    """The keeper and the guest's agent start without site-packages: the standard library and modules of emu
    that need no more, in packages that import nothing.
    """
    found = reached(program)
    wrong = [
        f"{module} imports {imported}"
        for module in sorted(found)
        for imported, _ in imports(module)
        if imported.split(".")[0] not in {"emu", *sys.stdlib_module_names}
    ]
    packages = {module.rsplit(".", end)[0] for module in found for end in range(1, module.count(".") + 1)}
    wrong += [f"{package} imports {name}" for package in sorted(packages) for name, _ in imports(package)]
    assert program in modules()
    assert [line for line in wrong if not line.endswith("__future__")] == []


def test_one_door_to_subprocess() -> None:
    """Processes are started by emu.machine.command alone, and by the sandbox, which holds a whole machine's. Others
    may name the types of what it gives them.
    """
    harmless = {"Popen", "PIPE", "DEVNULL", "STDOUT", "TimeoutExpired", "CalledProcessError"}
    doors = ("emu.machine.command", "emu.sandbox.*")
    wrong = []
    for module in modules():
        if matches(module, doors):
            continue
        wrong += [
            f"{module} imports {imported} {name}"
            for imported, name in imports(module)
            if imported == "subprocess" and name not in harmless
        ]
        wrong += [
            f"{module}:{node.lineno} calls Popen"
            for node in ast.walk(tree(module))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Popen"
        ]
    assert wrong == []


def test_one_door_to_docker() -> None:
    """Docker's library is imported by emu.runtime.docker, by its connection, and by emu.doctor.facts, which says
    what engine there is.
    """
    doors = ("emu.runtime.docker", "emu.runtime.docker_client", "emu.doctor.facts")
    assert offences(("*",), ("docker.*",), but=doors) == []


def test_no_circles_among_modules() -> None:
    """No module is needed by what it needs: each can be read before those that import it."""
    graph = {
        module: {name for name, _ in imports(module) if name in modules() and name != module}
        for module in modules()
        if modules()[module].name != "__init__.py"
    }
    reach = {module: reached(module) for module in graph}
    circles = {frozenset(other for other in reach[module] if module in reach.get(other, ())) for module in graph}
    assert [sorted(circle) for circle in circles if len(circle) > 1] == []
