"""What no machine of that size has is reported before anything is started."""

from __future__ import annotations

import pytest

from emu.scenario.capacity import lacking, long_record
from emu.scenario.needs import needs
from emu.scenario.reading import read_scenario
from emu.spec import MIB

GIB = 1024 * MIB


def said(pod: str, place: str = "host", more: str = "") -> list[str]:
    """What a host of 4 GiB without swap lacks for a pod."""
    spec = read_scenario(f"name: a\nquestion: b\npod: {pod}\n{more}", "f.yaml")
    return [error.what for error in lacking({"a": spec}, place, 4 * GIB, 0)]


@pytest.mark.parametrize(
    ("pod", "place", "more", "what"),
    [
        (
            "{app: {resources: {requests: {memory: 5Gi}}}}",
            "host",
            "",
            "the pod's memory requests, 5 GiB, do not fit",
        ),
        (
            "{app: {resources: {requests: {memory: 3500Mi}}}}",
            "sandbox",
            "",
            "the pod's memory requests, 3.4 GiB",
        ),
        ("{app: {memory: {min: 5Gi}}}", "host", "", "memory.min of the pod's containers is 5 GiB in all"),
        ("{app: {memory: {swapMax: max}}}", "host", "", "app may use swap, but there is none"),
        ("{app: {memory: {swapMax: 1Mi}}}", "sandbox", "sandbox: {swap: 0}", "app may use swap, but there is none"),
        (
            "{}",
            "host",
            "node: {evictionHard: {memory.available: 5Gi}}",
            "a kubelet would not start on a node of 4 GiB",
        ),
        ("{}", "sandbox", "sandbox: {memory: 64Gi}", "sandbox.memory of 64 GiB is more than this host has"),
        ("{}", "vm", "sandbox: {memory: 64Gi}", "sandbox.memory of 64 GiB is more than this host has"),
        ("{app: {memory: {swapMax: 1Mi}}}", "vm", "sandbox: {swap: 0}", "app may use swap, but there is none"),
    ],
)
def test_what_is_lacking_is_reported(pod: str, place: str, more: str, what: str) -> None:
    """One error each."""
    (found,) = said(pod, place, more)
    assert found.startswith(f"a: {what}")


def test_what_fits_is_no_error() -> None:
    """A limit above the machine's memory is none either: Kubernetes takes it."""
    assert said("{app: {resources: {limits: {memory: 64Gi}}, memory: {swapMax: max}}}", "sandbox") == []


def test_a_long_record_is_reported_before_it_is_begun() -> None:
    """Three hours of two containers are some 50 MB, and a tenth of that where they are seldom looked at."""
    load = "load: {phases: [{name: p, type: constant, rate: 1, duration: %s}]}\nrecorder: {interval: %s}\n"
    specs = [
        read_scenario("name: a\nquestion: b\n" + load % (duration, interval), "f.yaml")
        for duration, interval in (("3h", "10ms"), ("10s", "10ms"), ("3h", "100ms"))
    ]
    said = [long_record([spec]) for spec in specs]
    assert said[0] is not None
    assert "51.5 MiB" in said[0]
    assert said[1:] == [None, None]


def test_files_that_no_disk_holds_are_refused() -> None:
    """Those made beforehand and those that the app writes, each once; where the disk is not known nothing is said."""
    phases = ", ".join(
        f"{{name: p{n}, type: constant, rate: 1, duration: 1s, request: {{do: {{writeFile: log, writeBytes: 3Gi}}}}}}"
        for n in (1, 2)
    )
    text = f"name: a\nquestion: b\npod: {{app: {{files: [{{name: m, size: 2Gi}}]}}}}\nload: {{phases: [{phases}]}}\n"
    spec = read_scenario(text, "f.yaml")
    (error,) = lacking({"a": spec}, "sandbox", 64 << 30, 0, 4 << 30)
    assert error.what == "a: its files take 5 GiB of disk, which is more than there is"
    assert (
        [*lacking({"a": spec}, "sandbox", 64 << 30, 0, 5 << 30)] == [*lacking({"a": spec}, "host", 1 << 30, 0)] == []
    )
    said = "needs up to 5 GiB of disk, 3.0 GiB of memory; this machine has 1 GiB of memory"
    assert needs([spec], "host", 1 << 30, 0) == said


def needed(body: str, place: str = "sandbox") -> str | None:
    """What a scenario with this body needs, on a host of 8 GiB with room for files of 10 GiB."""
    return needs([read_scenario(f"name: a\nquestion: b\n{body}\n", "f.yaml")], place, 8 << 30, 1 << 30, 10 << 30)


def holding(do: str, phase: str = "count: 1") -> str:
    """A load of one phase."""
    plan = f"name: p, type: constant, rate: 1, {phase}, duration: 9s"
    return f"load: {{phases: [{{{plan}, request: {{do: {{{do}}}}}}}]}}"


def test_what_a_scenario_needs_is_said_before_it_and_what_there_is() -> None:
    """Disk, swap and memory of one that fills any of them; of another nothing."""
    app = "pod: {runtime: process, app: {resources: {limits: {memory: 64Mi}}"
    assert needed(app + "}}") is None
    assert needed(app + "}}\n" + holding("hold: 8Mi")) is None
    said = needed(app + ", memory: {swapMax: 160Mi}}}\n" + holding("hold: 128Mi, holdFor: 1s"))
    assert said == "needs up to 80 MiB of memory, 160 MiB of swap; the sandbox has 3 GiB of memory, 2 GiB of swap"
    said = needed(app + ", memory: {swapMax: max}}}\n" + holding("hold: 128Mi, holdFor: 1s"))
    assert said is not None and "80 MiB of swap" in said
    assert needed("starts: {trials: 1, temperatures: [cold], image: {filler: 64Mi}}", "host") == (
        "needs up to 64 MiB of disk; this machine has 10 GiB of disk"
    )


def test_a_file_in_a_memory_volume_needs_no_disk() -> None:
    """It is memory."""
    volume = "volumes: [{name: v, emptyDir: {medium: Memory}}], app: {volumeMounts: [{name: v, mountPath: /v}]}"
    said = needed(f"pod: {{runtime: process, {volume}}}\n" + holding("writeFile: /v/index, writeBytes: 64Mi"))
    assert said == "needs up to 96 MiB of memory; the sandbox has 3 GiB of memory"


@pytest.mark.parametrize(
    ("node", "do", "phase", "memory"),
    [
        (
            "max",
            "hold: 64Mi, holdFor: forever",
            "count: 3",
            "224 MiB",
        ),  # queue-proxy's and the app's 16 MiB beside
        ("max", "hold: 64Mi, holdFor: 1s", "count: 1", "96 MiB"),
        ("128Mi", "hold: 64Mi, holdFor: forever", "count: 3", "128 MiB"),
        ("max", "writeFile: log, writeBytes: 64Mi", "count: 9", "96 MiB"),
        ("max", "pipes: 1024", "count: 1", "96 MiB"),
        ("max", "hold: 64Mi, holdFor: forever", "keepAlive: true", "608 MiB"),  # one a second, for 9 s
        ("max", "hold: 64Mi, holdFor: 1s", "keepAlive: true", "160 MiB"),  # the next one comes as it goes
    ],
)
def test_the_memory_that_a_scenario_needs(node: str, do: str, phase: str, memory: str) -> None:
    """What requests have the app keep, up to the limits of containers and node."""
    said = needed(f"node: {{memory: {node}}}\npod: {{runtime: process}}\n" + holding(do, phase))
    assert said is not None and f"{memory} of memory" in said.partition(";")[0]


def test_a_file_of_two_pods_is_charged_once_and_swap_in_a_file_takes_disk() -> None:
    """The page cache of a shared file is at most that of the reader with the most room; connections count, too."""
    of = "runtime: process, containers: [{name: app, port: 8080, resources: {limits: {memory"
    body = (
        f"pods: [{{name: a, {of}: 32Mi}}}}, files: [{{name: f, size: 64Mi}}]}}]}}, "
        f"{{name: b, filesOf: a, {of}: 128Mi}}}}}}]}}]\n"
        "load: {phases: [{name: p, to: a, type: constant, rate: 1, duration: 1s, request: {do: {readFile: f}}}, "
        "{name: q, to: b, type: constant, rate: 1, duration: 1s, request: {do: {DO}}}]}\n"
    )
    once = needed(body.replace("DO", "readFile: f"))
    assert once is not None and once.startswith("needs up to 64 MiB of disk, 96 MiB of memory;")
    more = needed(
        body.replace("DO", "sockets: 16, holdFor: forever") + "node: {swapDevice: file}\nsandbox: {swap: 1Gi}"
    )
    assert more is not None and more.startswith("needs up to 1.1 GiB of disk, 56 MiB of memory;")


def test_a_leak_without_an_end_needs_all_that_there_is() -> None:
    """A closed loop that keeps memory takes as much as the limit leaves it, and the whole machine where none does."""
    phase = "{name: p, type: closed, clients: 1, duration: 9s, request: {do: {hold: 4Mi, holdFor: forever}}}"
    load = f"load: {{phases: [{phase}]}}"
    all_of_it = "needs up to 3 GiB of memory; the sandbox has 3 GiB of memory"
    assert needed(f"pod: {{runtime: process}}\n{load}") == all_of_it
    limit = "app: {resources: {limits: {memory: 256Mi}}}"
    said = needed(f"pod: {{runtime: process, {limit}}}\n{load}")
    assert said is not None and said.startswith("needs up to 272 MiB of memory;")


def test_a_file_that_is_written_twice_or_read_back_is_as_large_as_it_was() -> None:
    """Neither a smaller write later nor a read makes it smaller."""
    plan = "type: burst, size: 1, duration: 1s, request: {do: {"
    phases = [f"{{name: p{at}, {plan}{do}}}}}}}" for at, do in enumerate(
        ("writeFile: log, writeBytes: 64Mi", "writeFile: log, writeBytes: 1Mi", "readFile: log")
    )]  # fmt: skip
    app = "app: {files: [{name: log, size: 1Mi}]}"
    body = f"pod: {{runtime: process, {app}}}\nload: {{phases: [{', '.join(phases)}]}}"
    assert (
        needed(body)
        == "needs up to 65 MiB of disk, 96 MiB of memory; the sandbox has 10 GiB of disk, 3 GiB of memory"
    )


@pytest.mark.parametrize(
    ("limit", "swap", "do", "what", "fix"),
    [
        (
            "1Gi",
            "8Gi",
            "hold: 4Gi, holdFor: 1s",
            "a: phase p has the app hold 4 GiB, which takes 3 GiB of swap beyond its limit",
            "hold at most 3056Mi, or raise sandbox.swap",
        ),
        (
            "8Gi",
            "0",
            "hold: 4Gi, holdFor: 1s",
            "a: phase p has the app hold 4 GiB, and the machine is full before its limit of 8 GiB",
            "hold less, or raise sandbox.memory",
        ),
        (
            "8Gi",
            "0",
            "readFile: model",
            "a: phase p reads a file of 4 GiB, which fits its limit of 8 GiB and not the machine",
            "make the file smaller, or raise sandbox.memory",
        ),
        ("8Gi", "max", "hold: 5Gi, holdFor: 1s", "", ""),  # as long as memory and swap last
        ("1Gi", "0", "hold: 4Gi, holdFor: 1s", "", ""),  # killed at its limit
        ("1Gi", "1Gi", "hold: 4Gi, holdFor: 1s", "", ""),  # with its own swap limit used up
        ("1Gi", "max", "hold: 4Gi, holdFor: 1s", "", ""),  # with the machine's swap used up: a question of its own
        ("1Gi", "0", "readFile: model", "", ""),
    ],
)
def test_a_machine_that_is_full_before_a_limit_is_met_is_refused(
    limit: str, swap: str, do: str, what: str, fix: str
) -> None:
    """The scenario asks what a limit does; a machine that is too small would answer in its place."""
    text = (
        "name: a\nquestion: b\nsandbox: {memory: 3Gi, swap: 2Gi}\n"
        f"pod: {{app: {{resources: {{limits: {{memory: {limit}}}}}, memory: {{swapMax: {swap}}}, "
        "files: [{name: model, size: 4Gi}]}}\n"
        f"load: {{phases: [{{name: p, type: constant, rate: 1, duration: 1s, request: {{do: {{{do}}}}}}}]}}\n"
    )
    found = [*lacking({"a": read_scenario(text, "f.yaml")}, "sandbox", 64 * GIB, 0)]
    assert [(error.what, error.fix) for error in found] == ([(what, fix)] if what else [])
