"""How much memory a queue-proxy of another make would hold in our state: a profile, and what a Go heap gives back.

A profile is data: what one real binary was measured to need, with its source. It says how many bytes of anonymous
memory the process has with so many requests inside, and how large its executable is. `Heap` adds time: a Go process
reuses what ended requests left, and returns it only after a garbage collection, some of it later still.

The real process' own numbers decide; ours are part of them. `missing` is what the mechanism must add so that the sum
is right; it is never negative, so a profile is exact from the limit upwards at which it needs more than we do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MIB = 1 << 20
Points = tuple[tuple[int, float], ...]


class ProfileError(ValueError):
    """A profile that cannot be used; the text names the key."""


@dataclass(frozen=True)
class GiveBack:
    """How the process returns memory. The defaults are Go's own (runtime: GOGC, forcegcperiod, the scavenger)."""

    growth: float = 2.0
    """A collection comes when the heap has grown to this many times what was live after the last one."""
    least_bytes: int = 4 * MIB
    """… but not before so much was allocated."""
    forced_s: float = 120.0
    """… and at the latest so many seconds after the last one."""
    keeps: float = 1.1
    """After a collection this many times what is in use stays."""
    bytes_per_s: float = 8e6
    """How fast the rest is returned."""


@dataclass(frozen=True)
class Profile:
    """What one queue-proxy needs. Bytes per request are given at some counts and interpolated between them."""

    name: str
    source: str
    idle_anon_bytes: int
    """Anonymous memory without any request."""
    request_bytes: Points
    """(requests inside, anonymous bytes each) for requests without a body."""
    body_bytes: Points
    """The same with a body, whatever its size."""
    waiting_bytes: float
    """For each request that waits for a place."""
    hang_up_bytes: float = 0.0
    """What a client that hangs up costs besides, until the next collection."""
    executable_bytes: int = 0
    """File-backed pages of the executable that an idle process has mapped."""
    code_bytes: int = 0
    """The part of it that serving a request needs: where less than this is left to it, nothing moves on."""
    exact_from_bytes: int = 0
    """From this memory.max upwards kills and stalls come where the real ones come; below, our own needs show."""
    give_back: GiveBack = field(default_factory=GiveBack)

    def anon_bytes(self, plain: int, bodied: int, waiting: int) -> int:
        """Anonymous memory in use with so many requests at the app without and with a body, and waiting."""
        inside = plain + bodied
        total = self.idle_anon_bytes + waiting * self.waiting_bytes
        if plain:
            total += plain * each(self.request_bytes, inside)
        if bodied:
            total += bodied * each(self.body_bytes, inside)
        return round(total)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Profile:
        """A profile as it is in a file. ProfileError for what is missing or wrong."""
        rest = dict(data)
        try:
            profile = cls(
                name=str(rest.pop("name")),
                source=str(rest.pop("source")),
                idle_anon_bytes=_amount(rest, "idleAnonBytes"),
                request_bytes=_points(rest, "requestBytes"),
                body_bytes=_points(rest, "bodyBytes"),
                waiting_bytes=_amount(rest, "waitingBytes"),
                hang_up_bytes=_amount(rest, "hangUpBytes", 0),
                executable_bytes=_amount(rest, "executableBytes", 0),
                code_bytes=_amount(rest, "codeBytes", 0),
                exact_from_bytes=_amount(rest, "exactFromBytes", 0),
                give_back=_give_back(rest.pop("giveBack", {})),
            )
        except KeyError as absent:
            raise ProfileError(f"a footprint profile needs {absent.args[0]!r}") from None
        if rest:
            raise ProfileError(f"a footprint profile has no {next(iter(rest))!r}")
        return profile

    def to_data(self) -> dict[str, Any]:
        """The inverse of `from_data`."""
        rule = self.give_back
        return {
            "name": self.name,
            "source": self.source,
            "idleAnonBytes": self.idle_anon_bytes,
            "requestBytes": dict(self.request_bytes),
            "bodyBytes": dict(self.body_bytes),
            "waitingBytes": self.waiting_bytes,
            "hangUpBytes": self.hang_up_bytes,
            "executableBytes": self.executable_bytes,
            "codeBytes": self.code_bytes,
            "exactFromBytes": self.exact_from_bytes,
            "giveBack": {
                "growth": rule.growth,
                "leastBytes": rule.least_bytes,
                "forcedSeconds": rule.forced_s,
                "keeps": rule.keeps,
                "bytesPerSecond": rule.bytes_per_s,
            },
        }


def each(points: Points, count: int) -> float:
    """Bytes for each of `count` requests: their sum lies on a line between the counts measured."""
    low = points[0]
    if count <= low[0]:
        return low[1]
    for high in points[1:]:
        if count <= high[0]:
            low_sum, high_sum = low[0] * low[1], high[0] * high[1]
            return (low_sum + (high_sum - low_sum) * (count - low[0]) / (high[0] - low[0])) / count
        low = high
    return low[1]


class Heap:
    """What a process holds: what is in use, and what ended requests left and it has not returned yet."""

    def __init__(self, rule: GiveBack, now: float) -> None:
        self._rule = rule
        self._held = 0.0
        self._garbage = 0.0
        self._allocated = 0.0
        self._live = 0.0
        self._goal = 0.0
        self._collected_at = now
        self._moment = now

    @property
    def held(self) -> float:
        """Bytes held at the last look."""
        return self._held

    def allocate(self, amount: float, *, garbage: bool = False) -> None:
        """A request took so much; as `garbage` it is of no use to the next one until a collection."""
        self._allocated += amount
        if garbage:
            self._garbage += amount

    def hold(self, in_use: float, now: float) -> float:
        """Bytes held now, with so many in use."""
        rule = self._rule
        elapsed = max(0.0, now - self._moment)
        self._moment = now
        if self._held > self._goal:
            self._held = max(self._goal, self._held - elapsed * rule.bytes_per_s)
        if self._allocated >= max(rule.least_bytes, self._live * (rule.growth - 1)) or (
            now - self._collected_at >= rule.forced_s
        ):
            self._garbage = self._allocated = 0.0
            self._live = in_use
            self._goal = in_use * rule.keeps
            self._collected_at = now
        needed = in_use + self._garbage
        if needed > self._held:
            self._held = self._goal = needed
        return self._held


class Footprint:
    """Decides how much anonymous memory to add to our own so that the process weighs what its profile says."""

    def __init__(self, profile: Profile, now: float) -> None:
        self.profile = profile
        self._heap = Heap(profile.give_back, now)
        self._plain = 0
        self._bodied = 0

    @property
    def inside(self) -> int:
        """Requests that came and have not ended."""
        return self._plain + self._bodied

    def arrived(self, bodied: bool) -> None:
        """A request came in."""
        if bodied:
            self._bodied += 1
        else:
            self._plain += 1
        points = self.profile.body_bytes if bodied else self.profile.request_bytes
        self._heap.allocate(each(points, self._plain + self._bodied))

    def left(self, bodied: bool, hung_up: bool) -> None:
        """A request ended; `hung_up`: its client went before the answer."""
        if bodied:
            self._bodied -= 1
        else:
            self._plain -= 1
        if hung_up:
            self._heap.allocate(self.profile.hang_up_bytes, garbage=True)

    def lacking(self, own_bytes: int) -> int:
        """The same as `missing` for what was to be held when that was asked last."""
        return max(0, round(self._heap.held) - own_bytes)

    def missing(self, waiting: int, own_bytes: int, now: float) -> int:
        """Bytes to add to the `own_bytes` that we hold; `waiting` of the requests inside wait for a place."""
        waits = min(waiting, self._plain)
        bodied = self._bodied - (waiting - waits)
        in_use = self.profile.anon_bytes(self._plain - waits, max(0, bodied), waiting)
        return max(0, round(self._heap.hold(in_use, now)) - own_bytes)


def _amount(data: dict[str, Any], key: str, default: int | None = None) -> int:
    value = data.pop(key) if default is None else data.pop(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**50:
        raise ProfileError(f"{key} of a footprint profile is {value!r}; it must be a number of bytes")
    return round(value)


def _points(data: dict[str, Any], key: str) -> Points:
    value = data.pop(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {1: value}
    try:
        points: Sequence[tuple[int, float]] = sorted((int(count), float(size)) for count, size in value.items())
    except (AttributeError, TypeError, ValueError):
        points = ()
    if not points or any(count < 1 or not 0 <= size < 2**40 for count, size in points):
        raise ProfileError(f"{key} of a footprint profile must map numbers of requests to bytes for each of them")
    return tuple(points)


def _give_back(data: Any) -> GiveBack:
    names = {
        "growth": "growth",
        "leastBytes": "least_bytes",
        "forcedSeconds": "forced_s",
        "keeps": "keeps",
        "bytesPerSecond": "bytes_per_s",
    }
    if not isinstance(data, Mapping) or not set(data) <= set(names):
        raise ProfileError(f"giveBack of a footprint profile may have {', '.join(names)}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ProfileError(f"giveBack.{key} of a footprint profile is {value!r}; it must be a number")
        values[names[key]] = value
    return GiveBack(**values)
