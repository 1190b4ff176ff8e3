"""The code's layout: which module may import which. Read from the source, so that nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ENTRY = ("emu.cli", "emu.cli_*", "emu.__main__", "emu.docs")
"""Where commands begin (and what prints their help)."""
STORY = ("emu.runner",)
PARTS = (
    "emu.activation",
    "emu.autoscaler",
    "emu.pod",
    "emu.podcgroup",
    "emu.load",
    "emu.loadplan",
    "emu.prober",
    "emu.supervisor",
    "emu.recorder",
    "emu.daemon.*",
)
"""What a run is made of: what is real, what drives it, what observes it."""
GROUND = (
    "emu.policy.*",
    "emu.spec.*",
    "emu.events",
    "emu.messages",
    "emu.units",
    "emu.errors",
    "emu.frames",
    "emu.outfile",
    "emu.regular",
    "emu.rundir",
    "emu.samples",
    "emu.secrets",
    "emu.typed",
)
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


def imports(module: str) -> Iterator[tuple[str, str]]:
    """What a module imports, anywhere in it: (module, name), with the name empty for `import module`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in modules() else (node.module or "", alias.name)


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


def test_nothing_stands_on_the_commands() -> None:
    """Only commands import commands: whatever a command does, a script can do without it."""
    assert offences(("*",), ENTRY, but=ENTRY) == []


def test_only_commands_tell_the_story() -> None:
    """Only commands import the runner: its parts know nothing of the run that they are in."""
    assert offences(("*",), STORY, but=(*ENTRY, *STORY)) == []


def test_the_ground_stands_on_nothing_above_it() -> None:
    """Policies, specs, events and messages import nothing of what acts, reports or reads files."""
    above = tuple(
        module
        for module in modules()
        if module.startswith("emu.") and not matches(module, GROUND) and module != "emu.paths"
    )
    assert offences(GROUND, above) == []


def test_the_parts_of_a_run_do_not_reach_the_report_or_the_sandbox() -> None:
    """Pod, load, daemons and recorder record; studying and choosing where to run are not their affair."""
    assert offences(PARTS, ("emu.report.*", "emu.sandbox.*", "emu.scenario")) == []


def test_policy_only_decides() -> None:
    """A policy imports nothing through which it could look or act: facts and the time are its arguments."""
    wrong = [
        f"{module} imports {imported}"
        for module in modules()
        if matches(module, ("emu.policy.*",))
        for imported, _ in imports(module)
        if imported.split(".")[0] in ACTING
        or (imported.split(".")[0] == "cgroups" and imported not in PLAIN_CGROUPS)
        or (imported.split(".")[0] == "emu" and not matches(imported, ("emu.policy.*", "emu.messages", "emu.units")))
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
    """The report is made from a run directory, anywhere: it imports no Docker, no pod, no runner, nothing that asks
    a live system.
    """
    live = ("emu.containers", "emu.pod", "emu.podcgroup", "emu.runner", "emu.recorder", "emu.daemon.*", "emu.machine")
    wrong = offences(("emu.report.*",), (*live, "docker.*", "psutil.*", "subprocess", "socket", "emu.command"))
    for module in modules():
        if matches(module, ("emu.report.*",)):
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


@pytest.mark.parametrize("daemon", ["emu.daemon.app", "emu.daemon.queue_proxy"])
def test_what_runs_in_a_container_is_small(daemon: str) -> None:
    """A container's program needs only the standard library, uvloop, h2 and our pure modules: its image
    stays small, and its idle memory is part of what is measured.
    """
    own = ("emu", "emu.policy.*", "emu.messages", "emu.daemon.*")
    outside = {"h2", "hpack", "hyperframe", "uvloop", *sys.stdlib_module_names}
    wrong = [
        f"{module} imports {imported}"
        for module in sorted(reached(daemon))
        for imported, _ in imports(module)
        if not (matches(imported, own) if imported.split(".")[0] == "emu" else imported.split(".")[0] in outside)
    ]
    assert daemon in modules()
    assert wrong == []


def test_one_door_to_subprocess() -> None:
    """Processes are started by emu.command alone, and by the sandbox, which holds a whole machine's. Others may name
    the types of what it gives them.
    """
    harmless = {"Popen", "PIPE", "DEVNULL", "STDOUT", "TimeoutExpired", "CalledProcessError"}
    doors = ("emu.command", "emu.sandbox.*")
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
    """Docker's library is imported by emu.containers, and by emu.host to say which engine there is."""
    assert offences(("*",), ("docker.*",), but=("emu.containers", "emu.host")) == []


def test_no_import_cycles_among_modules() -> None:
    """No module is needed, at its top, by what it needs: each can be read before those that import it."""

    def needed(module: str) -> set[str]:
        body = [node for node in tree(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = set()
        for node in body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        return {name for name in found if name in modules() and name != module}

    graph = {module: needed(module) for module in modules() if modules()[module].name != "__init__.py"}
    while leaves := [module for module, needs in graph.items() if not needs & graph.keys()]:
        for module in leaves:
            del graph[module]
    assert graph == {}
