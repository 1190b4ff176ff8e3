"""Working sets: how much memory a container uses by the kernel, `docker stats`, `kubectl top` and as RSS, and where
an eviction or a memory HPA would go by page cache that could be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from emu.report.topics.topic import Figures, Listing, Note, Part, Size, Topic, View
from emu.study.model.study import Study
from emu.study.pods import named
from emu.study.working_sets import Moment, Use, moments
from emu.units import format_bytes

MUCH_BYTES = 16 * 2**20
MUCH_SHARE = 0.5
"""From so much active page cache on, and this share of the working set, it is worth a word."""
ABOUT_BYTES = 2**20
"""Less is no difference."""
_ALIKE = 0.2
"""Two containers hold about the same if they differ by no more than this."""
_NODE = "node"


def figures(study: Study) -> Figures:
    """`working_set`: at the end of each phase, of each container and the node."""
    return {"working_set": {one.phase: _figures(one) for one in moments(named(study))}}


def _figures(one: Moment) -> Figures:
    node = {**asdict(one.node), "memory_bytes": one.node_memory_bytes, "available_bytes": one.available_bytes}
    return {"time_s": one.time_s, "containers": {name: asdict(use) for name, use in one.uses.items()}, _NODE: node}


def _is_cache(use: Use) -> bool:
    """Most of its working set is page cache."""
    used, active = use.working_set_bytes, use.active_file_bytes
    return bool(used and active and active >= MUCH_BYTES and active >= MUCH_SHARE * used)


def _clearest(study: Study) -> tuple[Moment, str] | None:
    """The moment at which most page cache was in working sets, with as little else as there was, and whose."""
    found = [(one, name) for one in reversed(moments(study)) for name, use in one.uses.items() if _is_cache(use)]
    return max(found, key=_how_clear, default=None)


def _how_clear(found: tuple[Moment, str]) -> tuple[int, int, int]:
    one, name = found
    mine = one.uses[name].active_file_bytes or 0
    most = one.node.active_file_bytes or mine
    return round(most / ABOUT_BYTES), -(one.node.working_set_bytes or 0), mine


def sentences(study: Study, summary: Figures) -> list[str]:
    """The four answers, beside those of a container that holds as much and looks smaller; what the node has left."""
    clearest = _clearest(study)
    if clearest is None:
        return []
    one, name = clearest
    use = one.uses[name]
    said = [
        f"At the end of {one.phase}, {name} had a memory.current of {format_bytes(use.memory_current_bytes or 0)}, a "
        f"working set of {format_bytes(use.working_set_bytes or 0)} (docker stats, kubectl top, evictions, a memory "
        f"HPA) and an RSS of {format_bytes(use.anon_bytes or 0)}: the working set counts "
        f"{format_bytes(use.active_file_bytes or 0)} of page cache, active because it was read more than once."
    ]
    return [*said, *_read_once(one, name), *_left(one)]


def _read_once(one: Moment, name: str) -> Iterator[str]:
    """A container that holds as much in all, most of it inactive."""
    whole = one.uses[name].memory_current_bytes or 0
    for other, use in one.uses.items():
        current, inactive, used = use.memory_current_bytes, use.inactive_file_bytes, use.working_set_bytes
        if current is None or inactive is None or used is None or inactive < max(MUCH_BYTES, MUCH_SHARE * current):
            continue
        if abs(current - whole) <= _ALIKE * whole:
            yield (
                f"{other} had about the same memory.current ({format_bytes(current)}) and a working set of "
                f"{format_bytes(used)}: its {format_bytes(inactive)} of page cache was read once, so it is "
                "inactive and left out."
            )
            return


def _left(one: Moment) -> Iterator[str]:
    """What a kubelet calls available, and what could be had."""
    available, cache = one.available_bytes, one.node.active_file_bytes
    if available is not None and cache is not None and cache >= MUCH_BYTES:
        whole = format_bytes(one.node_memory_bytes or 0)
        yield (
            f"A kubelet calls {format_bytes(available)} of the node's {whole} available then. With the active page "
            f"cache, which it counts as used, there were {format_bytes(available + cache)} to be had."
        )


def parts(view: View) -> Iterator[Part]:
    """The answers side by side, at the clearest moment."""
    clearest = _clearest(view.study)
    if clearest is None:
        return
    one, _ = clearest
    heads = ("", "memory.current", "docker stats", "kubectl top", "RSS (anon)", "active page cache",
             "inactive page cache")  # fmt: skip
    rows = [(name, *_cells(use)) for name, use in one.uses.items()]
    if one.node.memory_current_bytes is not None:
        rows.append((_NODE, *_cells(one.node)))
    yield Listing(heads, tuple(rows), (_HINT,), whole=True)
    yield Note(f"All of one sample, at {one.time_s:.3f} s, when {one.phase} had ended.", "both", "hint")


def _cells(use: Use) -> tuple[Size | None, ...]:
    values = (
        use.memory_current_bytes,
        use.docker_stats_bytes,
        use.working_set_bytes,
        use.anon_bytes,
        use.active_file_bytes,
        use.inactive_file_bytes,
    )
    return tuple(None if value is None else Size(value) for value in values)


_HINT = (
    "docker stats and kubectl top: memory.current less inactive_file. metrics-server's figure may be older by its "
    "interval (15 s by default) and more."
)

WORKING_SET = Topic("Working set", figures, sentences=sentences, more=parts)
