"""All topics that are one module each, in the order in which a report has them."""

from __future__ import annotations

from emu.report.topics.evictions import EVICTIONS
from emu.report.topics.freezes import FREEZES
from emu.report.topics.scaling import SCALE_TO_ZERO

TOPICS = (EVICTIONS, SCALE_TO_ZERO, FREEZES)
