"""What stands above and below the picture: the verdict, and the run in tables, in kubectl's words."""

from __future__ import annotations

from collections.abc import Iterator

from emu.report.page.figures import Figure
from emu.report.page.html import Markup, element, facts, folded, join, section, size, table
from emu.report.page.parts import topic_sections
from emu.report.topics.kernel_words import log_line
from emu.report.topics.registry import on_page
from emu.report.topics.topic import View
from emu.study.model.study import RecorderCost, Study
from emu.units import format_seconds


def sections(view: View, figure: Figure, scenario_text: str | None) -> Iterator[Markup]:
    """Everything under the picture."""
    study = view.study
    yield from topic_sections(on_page(), view)
    yield element("div", join([_machine(study), _measured(study)]), class_="columns")
    yield _notes(study)
    yield _kernel_log(study)
    yield section("Scenario, as resolved", scenario_part(scenario_text))


def _machine(study: Study) -> Markup:
    machine = study.machine
    devices = ", ".join(
        f"{one.number} {one.name} ({one.role})" for key, one in machine.devices.items() if key == one.number
    )
    pairs: list[tuple[str, object]] = [
        ("kernel", machine.kernel),
        ("where", study.where),
        ("CPUs", machine.cpus),
        ("memory", size(machine.memory_bytes)),
        ("swap", "none" if machine.swap_bytes == 0 else size(machine.swap_bytes)),
        ("containers", "plain processes, without Docker" if machine.runtime == "process" else None),
        ("Docker", machine.docker),
        ("cgroup driver", machine.cgroup_driver),
        ("Kubernetes", machine.kubernetes and f"rules of {machine.kubernetes}"),
        ("pressure (PSI)", None if machine.psi is None else ("yes" if machine.psi else "not in this kernel")),
        ("block devices", devices or None),
        ("cgroup", study.pod_cgroup and element("code", study.pod_cgroup)),
        ("began", study.wall_time),
        ("run", study.run_id),
        ("recorded by", study.emu and f"emu {study.emu}"),
    ]
    if all(value is None for _, value in pairs):
        return section("Machine", element("p", "Nothing is recorded of the machine.", class_="missing"))
    return section("Machine", facts(pairs))


def _how_often(cost: RecorderCost) -> str:
    asked = f"every {format_seconds(cost.interval_s)}"
    if cost.longest_interval_s <= cost.interval_s:
        return asked
    longest = format_seconds(cost.longest_interval_s)
    return f"{asked}, and up to {longest} apart to cost less of the CPU"


def _measured(study: Study) -> Markup:
    cost = study.recorder
    if cost is None:
        return section("How it was measured", element("p", "The recorder left no report.", class_="missing"))
    share = f" ({cost.cpu_s / study.duration_s:.1%} of one CPU)" if study.duration_s else ""
    late = f"{cost.late:,} ({cost.late / cost.samples:.1%})" if cost.samples else f"{cost.late:,}"
    return section(
        "How it was measured",
        facts(
            [
                ("control files read", f"{_how_often(cost)}, and at each memory event"),
                ("samples", cost.samples),
                ("late by an interval or more", late),
                ("recorder's CPU time", f"{format_seconds(cost.cpu_s)}{share}"),
                ("recorder's memory", size(cost.rss_bytes)),
            ]
        ),
        element(
            "p",
            "The areas are memory.stat, which the kernel brings up to date in batches; the line is memory.current, "
            "exact at each sample. What rose and fell between two samples shows only in memory.peak, the peaks here.",
            class_="hint",
        ),
    )


def _notes(study: Study) -> Markup:
    if not study.notes:
        return Markup("")
    rows = [
        (f"{one.t:.3f} s", one.detail.get("level"), one.text, one.detail.get("why") or None) for one in study.notes
    ]
    return section("Notes", table(["at", "level", "what", "why"], rows, ["at"]))


def _kernel_log(study: Study) -> Markup:
    if not study.kernel_lines:
        said = "The kernel logged no message in this run, or its log could not be read."
        return section("Kernel log", element("p", said, class_="missing"))
    count = len(study.kernel_lines)
    lines = element("pre", "\n".join(map(log_line, study.kernel_lines)))
    return section("Kernel log", folded(f"{count:,} line{'' if count == 1 else 's'}, seconds of the run", lines))


def scenario_part(scenario_text: str | None) -> Markup:
    """The scenario as resolved, folded."""
    if scenario_text is None:
        return element("p", "scenario.yaml is not in the run directory.", class_="missing")
    return folded("scenario.yaml, which can be run again", element("pre", scenario_text))
