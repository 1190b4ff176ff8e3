"""Files that are read more than once: who read them from disk, who found them in the page cache, and from which limit
on a second read is saved.

All of it is the kernel's: bytes of io.stat, refaults of memory.stat, and what was charged to whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

from emu.report.page.curve import Point, curve
from emu.report.topics.topic import Figures, Listing, Part, Picture, Topic, View
from emu.report.words import listed
from emu.study.counters import value_at
from emu.study.measures import Window, last, median_answer_s, times
from emu.study.model.requests import PhaseSpan
from emu.study.model.study import Study
from emu.study.model.timeline import Timeline
from emu.study.pods import workload
from emu.units import format_bytes, format_seconds

PAGES = 2**20
"""A read that took less than this from the disk found the file in the page cache: the rest is the app's own code."""
LIMITS_FOR_A_CURVE = 3
_BAR = 10


@dataclass(frozen=True)
class Pass:
    """A phase whose requests read one file."""

    pod: str
    """Empty where there is only one."""
    container: str
    phase: str
    file: str
    files_of: str
    limit_bytes: int | None
    took_s: float | None
    """The median of its answers."""
    disk_read_bytes: int | None
    refault_bytes: int | None
    charged_bytes: int | None
    """The container's page cache at its end."""
    number: int = 1
    """Which read of the file by this container it is."""

    @property
    def is_from_memory(self) -> bool:
        """Whether no page of the file had to come from disk."""
        return self.disk_read_bytes is not None and self.disk_read_bytes < PAGES

    @property
    def name(self) -> str:
        """The container as a report calls it."""
        return f"{self.pod}/{self.container}" if self.pod else self.container


def passes(study: Study) -> list[Pass]:
    """Every phase that read a file and had an answer, in order."""
    found: list[Pass] = []
    for phase in study.phases:
        if phase.reads is None or (one := _pass(study, phase)) is None:
            continue
        before = sum(one.name == other.name and one.file == other.file for other in found)
        found.append(Pass(**{**asdict(one), "number": before + 1}))
    return found


def _pass(study: Study, phase: PhaseSpan) -> Pass | None:
    lines = [line for owner, line in study.timelines.items() if _is_its(owner.pod, owner.container, phase)]
    took_s = median_answer_s(study, phase)
    if not lines or took_s is None:
        return None
    window = Window(study, phase.begin_s, phase.until_s)
    io, line = window.io(lines), lines[-1]
    read = io["disk_read_bytes"]
    return Pass(
        pod=phase.pod,
        container=phase.container,
        phase=phase.name,
        file=phase.reads or "",
        files_of=phase.files_of,
        limit_bytes=last(line.memory_max),
        took_s=took_s,
        disk_read_bytes=io["io_read_bytes"] if read is None else read,
        refault_bytes=times(window.counted(lines, "refaults"), study.machine.page_bytes),
        charged_bytes=_charged(line, phase.until_s),
    )


def _is_its(pod: str, container: str, one: Pass | PhaseSpan) -> bool:
    """Of a study whose containers are called `pod/container` too."""
    return container.rpartition("/")[2] == one.container and one.pod in ("", pod, workload(pod))


def _charged(line: Timeline, until_s: float) -> int | None:
    return value_at(line.t, line.page_cache, until_s)


def figures(study: Study) -> Figures:
    """`page_cache`: each read of a file, and the limits between which a second one begins to be saved."""
    found = passes(study)
    below, above = _knee(found)
    return {
        "page_cache": {
            "reads": [asdict(one) for one in found],
            "read_again_up_to_bytes": below,
            "kept_from_bytes": above,
        }
    }


def _knee(found: list[Pass]) -> tuple[int | None, int | None]:
    """The largest limit under which a later read came from disk, and the smallest under which none did. None where
    not each is below the other: then the limit is not what decided.
    """
    later = _later(found)
    again = [one.limit_bytes or 0 for one in later if not one.is_from_memory]
    kept = [one.limit_bytes or 0 for one in later if one.is_from_memory]
    if not again or not kept or max(again) >= min(kept):
        return None, None
    return max(again), min(kept)


def _later(found: list[Pass]) -> list[Pass]:
    """The reads under a limit that might have found the file in memory, and of which it is known whether they did."""
    return [one for one in found if one.number > 1 and one.limit_bytes and one.disk_read_bytes is not None]


def headline(study: Study, summary: Figures) -> list[str]:
    """The answer of a run that reads a file under several limits, or from several pods."""
    found = passes(study)
    below, above = _knee(found)
    if below is not None and above is not None:
        return [_curve(found, below, above)]
    return _owners(found)[:1] or _alike(_later(found))


def _alike(later: list[Pass]) -> list[str]:
    """Of several limits that all lie on one side of the knee."""
    limits = sorted({one.limit_bytes or 0 for one in later})
    files, kept = {one.file for one in later}, {one.is_from_memory for one in later}
    if len(limits) < 2 or len(files) > 1 or len(kept) > 1:
        return []
    extreme = limits[0] if True in kept else limits[-1]
    one = [one for one in later if one.limit_bytes == extreme][-1]
    read = f"a second read of {one.file} came"
    if one.is_from_memory:
        return [f"{read} from memory under each limit, {format_bytes(extreme)} the smallest ({_took(one)})"]
    return [f"{read} from disk again under each limit, {format_bytes(extreme)} the largest ({_from_disk(one)})"]


def _curve(found: list[Pass], below: int, above: int) -> str:
    again = [one for one in found if one.number > 1 and one.limit_bytes == below][-1]
    kept = [one for one in found if one.number > 1 and one.limit_bytes == above][-1]
    return (
        f"up to a limit of {format_bytes(below)} a second read of {again.file} came from disk again "
        f"({_from_disk(again)}), and from {format_bytes(above)} on from memory ({_took(kept)})"
    )


def _from_disk(one: Pass) -> str:
    """What a later read had to bring back; refaults where the kernel counted them."""
    size = (
        f"{format_bytes(one.refault_bytes)} refaulted"
        if one.refault_bytes
        else format_bytes(one.disk_read_bytes or 0)
    )
    return f"{size}, {_took(one)}"


def _owners(found: list[Pass]) -> list[str]:
    """Of each file that several pods read: who paid for it."""
    said = []
    for (holder, file), several in groupby(sorted(found, key=_file), key=_file):
        reads = list(several)
        payer = reads[0]
        others = list(dict.fromkeys(one.name for one in reads if one.name != payer.name))
        theirs = [one for one in reads if one.name in others]
        if not holder or not theirs or any(one.disk_read_bytes is None for one in theirs):
            continue
        paid = f"{payer.name} read {file} first and pays for {format_bytes(payer.charged_bytes or 0)} of page cache"
        again = [one for one in theirs if not one.is_from_memory]
        if again:
            one = again[0]
            more = f"{format_bytes(one.disk_read_bytes or 0)} of it from disk again and pays for"
            said.append(f"{paid}; {one.name} read {more} {format_bytes(one.charged_bytes or 0)}")
            continue
        charged = max(one.charged_bytes or 0 for one in theirs)
        said.append(f"{paid}; {listed(others)} read the same file from memory ({format_bytes(charged)} charged)")
    return said


def _file(one: Pass) -> tuple[str, str]:
    return one.files_of, one.file


def sentences(study: Study, summary: Figures) -> list[str]:
    """Who looks fat, and what outlives its container."""
    found = passes(study)
    said = [f"{text}." for text in _owners(found)]
    for payer in _payers(found):
        others = [one for one in found if _file(one) == _file(payer) and one.name != payer.name]
        if others and payer.charged_bytes and others[0].is_from_memory:
            more = format_bytes(payer.charged_bytes - (others[0].charged_bytes or 0))
            said.append(
                f"{payer.name} looks {more} larger than {others[0].name}, which did the same: the kernel charges a "
                "page to the cgroup that touches it first."
            )
        said += _left_behind(study, payer)
    return said


def _payers(found: list[Pass]) -> list[Pass]:
    """The first read of each file."""
    return [next(several) for _, several in groupby(sorted(found, key=_file), key=_file)]


def _left_behind(study: Study, payer: Pass) -> list[str]:
    """What stays charged to a pod whose reader has ended."""
    ended = [
        one
        for one in study.instances
        if one.exited_s is not None and not one.asked and _is_its(one.pod, one.container, payer)
    ]
    whole = next((line for line in study.pod_timelines if _is_its(line.owner.pod, payer.container, payer)), None)
    if not ended or whole is None or not whole.t:
        return []
    over = ended[-1].exited_s or 0.0
    held = value_at(whole.t, whole.page_cache, max(phase.end_s for phase in study.phases))
    if not held or held < PAGES or whole.t[-1] <= over:
        return []
    return [
        f"{payer.name} ended at {format_seconds(over)}, and {format_bytes(held)} of page cache stayed charged to its "
        "pod: a cgroup that is gone holds its pages until they are reclaimed."
    ]


def listing(study: Study) -> Listing | None:
    """A row for each read, by limit; of one read there is nothing to compare."""
    found = passes(study)
    if len(found) < 2:
        return None
    heads = ("container", "limit", "file", "phase", "took", "from disk", "", "refaults", "charged after it")
    most = max((one.disk_read_bytes or 0 for one in found), default=0)
    return Listing(heads, tuple(_row(one, most) for one in found), (_HINT,))


_HINT = "From disk: bytes of io.stat. Refaults: pages that were in the page cache before and had been dropped."


def _row(one: Pass, most: int) -> tuple[str | int | None, ...]:
    read, again = one.disk_read_bytes, one.refault_bytes
    return (
        one.name,
        None if one.limit_bytes is None else format_bytes(one.limit_bytes),
        one.file,
        one.phase,
        _took(one),
        None if read is None else format_bytes(read),
        "█" * round(_BAR * (read or 0) / most) if most else None,
        None if again is None else format_bytes(again),
        None if one.charged_bytes is None else format_bytes(one.charged_bytes),
    )


def parts(view: View) -> Iterator[Part]:
    """The curve of a file that was read again under several limits."""
    found = [one for one in passes(view.each) if one.limit_bytes and one.disk_read_bytes is not None]
    if (
        len({one.limit_bytes for one in found if one.number > 1}) < LIMITS_FOR_A_CURVE
        or len({one.file for one in found}) > 1
    ):
        return
    points = [
        Point(one.limit_bytes or 0, one.disk_read_bytes or 0, one.refault_bytes, one.number == 1, _took(one))
        for one in found
    ]
    yield Picture(lambda: curve(points, *_knee(found)))


def _took(one: Pass) -> str:
    return "not measured" if one.took_s is None else format_seconds(one.took_s)


PAGE_CACHE = Topic("Page cache", figures, headline, sentences, listing, parts)
