"""All topics, in the order in which a report has them, and where that differs.

A topic that no order names follows those that it names.
"""

from __future__ import annotations

from collections.abc import Iterator

from emu.report.entry import Entry
from emu.report.page.canvas import Canvas
from emu.report.topics.cgroup_tree import TREE
from emu.report.topics.churn import CHURN
from emu.report.topics.containers import CONTAINERS
from emu.report.topics.devices import DEVICES
from emu.report.topics.disk_shares import DISK_SHARES
from emu.report.topics.events import EVENTS
from emu.report.topics.evictions import EVICTIONS
from emu.report.topics.freezes import FREEZES
from emu.report.topics.held_back import HELD_BACK
from emu.report.topics.inits import INITS
from emu.report.topics.kills import KILLS
from emu.report.topics.machine import MACHINE
from emu.report.topics.memory import MEMORY
from emu.report.topics.node import NODE
from emu.report.topics.page_cache import PAGE_CACHE
from emu.report.topics.phases import PHASES
from emu.report.topics.pods import PODS
from emu.report.topics.preemptions import PREEMPTIONS
from emu.report.topics.pressure import PRESSURE
from emu.report.topics.processors import PROCESSORS
from emu.report.topics.readiness import READINESS
from emu.report.topics.reclaim import RECLAIM
from emu.report.topics.requests import REQUESTS
from emu.report.topics.resizes import RESIZES
from emu.report.topics.run import RUN
from emu.report.topics.scaling import SCALE_TO_ZERO
from emu.report.topics.services import SERVICES
from emu.report.topics.sidecars import SIDECARS
from emu.report.topics.stalls import STALLS
from emu.report.topics.starts import STARTS
from emu.report.topics.topic import Drawing, Figures, Topic
from emu.report.topics.warm_up import WARM_UP
from emu.report.topics.working_set import WORKING_SET
from emu.study.model.study import Study

TOPICS = (
    STARTS, PODS, MEMORY, HELD_BACK, CONTAINERS, READINESS, EVENTS, REQUESTS, PHASES, KILLS, NODE, RECLAIM, STALLS,
    EVICTIONS, PREEMPTIONS, RESIZES, SCALE_TO_ZERO, WARM_UP, SERVICES, FREEZES, PAGE_CACHE, DISK_SHARES, WORKING_SET,
    MACHINE, INITS, SIDECARS, CHURN, PROCESSORS, DEVICES, PRESSURE, RUN, TREE,
)  # fmt: skip
"""The order of the page."""
MOST_BEFORE_SERVICES = 3
"""With more pods the panels of services come before theirs."""
FIRST = (STARTS,)
"""These come first of all: on the terminal before what was expected, on the page above the picture."""


def figures_of(study: Study) -> Figures:
    """Every topic's names in summary.json."""
    return {name: figures for topic in TOPICS for name, figures in topic.figures(study).items()}


def log_of(study: Study) -> Iterator[Entry]:
    """Every topic's lines of the journal."""
    for topic in in_journal():
        yield from topic.log(study)


def more_log_of(study: Study) -> Iterator[Entry]:
    """Those that only `emu journal --all` has."""
    for topic in in_journal():
        yield from topic.more_log(study)


def draw(canvas: Canvas, record: Study, study: Study, summary: Figures) -> None:
    """Every topic's panels."""
    drawing = Drawing(canvas, record, study, summary, TOPICS)
    for topic in picture_of(study):
        topic.panels(drawing)


def picture_of(study: Study) -> list[Topic]:
    """As `in_picture`; but many pods' memory would push the services' panels out of sight, so these come first."""
    many = sum(len(service.pods) for service in study.services) > MOST_BEFORE_SERVICES
    return sorted(in_picture(), key=lambda topic: many and topic is not SERVICES)


def in_picture() -> list[Topic]:
    """From the top; the bands of phases and starts go through all panels."""
    return _ordered(MEMORY, REQUESTS, SERVICES, PROCESSORS, CHURN, RECLAIM, DEVICES, PRESSURE, PHASES, STARTS)


def in_words() -> list[Topic]:
    """In the order of sentences: what died, what was frozen, how the rest ended, what clients saw, and then why. The
    first that has a headline gives the verdict its, where nothing was OOM-killed.
    """
    return _ordered(
        KILLS,
        STALLS,
        CONTAINERS,
        READINESS,
        REQUESTS,
        STARTS,
        EVICTIONS,
        PREEMPTIONS,
        RESIZES,
        WARM_UP,
        SCALE_TO_ZERO,
        SERVICES,
        FREEZES,
        DISK_SHARES,
        PAGE_CACHE,
        RECLAIM,
        WORKING_SET,
        HELD_BACK,
        CHURN,
        MACHINE,
    )


def in_journal() -> list[Topic]:
    """Of the same moment: what containers did, what the load did, and then what followed from it."""
    did, followed = (
        (CONTAINERS, PHASES, STARTS),
        (MEMORY, KILLS, PODS, EVICTIONS, PREEMPTIONS, EVENTS, REQUESTS, HELD_BACK, STALLS),
    )
    return _ordered(*did, *followed)


def on_terminal() -> list[Topic]:
    """OOM kills last, just above the prompt."""
    others = [topic for topic in TOPICS if topic not in FIRST and topic is not KILLS]
    return [*sorted(others, key=lambda topic: topic not in (PODS, EVENTS)), KILLS]


def on_page() -> list[Topic]:
    """Below the picture."""
    return [topic for topic in TOPICS if topic not in FIRST]


def _ordered(*first: Topic) -> list[Topic]:
    return [*first, *(topic for topic in TOPICS if topic not in first)]
