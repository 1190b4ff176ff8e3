"""When a pod's app is paused and resumed: the one state machine between the last response, the pause and the next
request (Knative's pkg/queue/concurrency_state.go up to 1.9 did the same with two locks).

A request is forwarded only in a state in which the app is known to run. Whatever leaves that in doubt (a pause whose
answer was lost, a queue-proxy that was restarted) counts as frozen: resuming what runs does no harm. At most one
command is under way, and no request waits for another one's service, only for the command.

    RUNNING   a request is in the app
    GRACE     none is; the app is paused when the grace period is over
    CHECKING  it is asked whether the app is ready: one that still starts is not paused
    PAUSING   asked to pause; requests that come wait for the outcome
    FROZEN    paused, as far as is known; the next request resumes it
    RESUMING  asked to resume; requests wait
    RETRYING  resuming failed; it is tried again, and requests wait, but not for ever

Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class FreezeRule:
    """How eager to pause, how patient to resume. Seconds."""

    grace_s: float = 1.0
    """From the last response to the pause."""
    check: bool = True
    """Pause only an app that is known to be ready: it answered the last request, or a probe just now."""
    starts_frozen: bool = False
    """Pause before the first request, ready or not."""
    retry_first_s: float = 0.05
    """The wait after a first failure; it doubles with each further one."""
    retry_most_s: float = 1.0
    patience_s: float = 10.0
    """A request waits no longer than this for the app to be resumed."""


KNATIVE_RULE = FreezeRule(0.0, check=False, starts_frozen=True, retry_first_s=0.2, retry_most_s=0.2, patience_s=900.0)
"""As Knative Serving 1.1 to 1.9: no grace, frozen from the start, a try each 200 ms for up to 15 min."""


class State(Enum):
    """Where the app is; see the module."""

    RUNNING = "running"
    GRACE = "grace"
    CHECKING = "checking"
    PAUSING = "pausing"
    FROZEN = "frozen"
    RESUMING = "resuming"
    RETRYING = "retrying"


RUNS = frozenset((State.RUNNING, State.GRACE, State.CHECKING))
"""The states in which the app is known to run."""


class Command(Enum):
    """An action to take now; its outcome is reported to the machine."""

    CHECK = "check"
    PAUSE = "pause"
    RESUME = "resume"


class ProbeAnswer(Enum):
    """What becomes of a probe of the app's health."""

    ASK = "ask"
    """The app is asked; its end is reported to the machine."""
    READY = "ready"
    """It was ready when it was paused, and has been frozen since."""
    UNREADY = "unready"


@dataclass(frozen=True)
class Forward(Generic[Key]):
    """A request goes to the app."""

    key: Key


@dataclass(frozen=True)
class Refuse(Generic[Key]):
    """A request is answered 503, with these words."""

    key: Key
    why: str


Action = Command | Forward[Key] | Refuse[Key]


class Freezing(Generic[Key]):
    """One pod's app. Every method is an event, and returns what is to be done about it, in order."""

    def __init__(self, rule: FreezeRule = FreezeRule()) -> None:
        self.rule = rule
        self.state = State.FROZEN
        self.stopping = False
        self._active: set[Key] = set()
        self._waiting: OrderedDict[Key, float] = OrderedDict()
        self._probes: set[Key] = set()
        self._ready = False
        self._asking = False
        """A check is under way. One that a request overtook counts as a probe."""
        self._due: float | None = None
        self._failures = 0
        self._why = ""

    @property
    def active(self) -> int:
        """Requests that are in the app."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Requests that wait until it runs."""
        return len(self._waiting)

    def begin(self) -> list[Action[Key]]:
        """The process has started. What an earlier one did to the app is not known, so that it is resumed first."""
        self.state = State.PAUSING if self.rule.starts_frozen else State.RESUMING
        return [Command.PAUSE if self.rule.starts_frozen else Command.RESUME]

    # --- requests

    def arrive(self, key: Key, now: float) -> list[Action[Key]]:
        """A request is to be forwarded."""
        if self.state in RUNS:
            self._active.add(key)
            self._run()
            return [Forward(key)]
        # All wait as long, so the order of arrival is that of deadlines: the first is due first.
        self._waiting[key] = now + self.rule.patience_s
        if self.state is State.FROZEN:
            return self._resume()
        return []

    def leave(self, key: Key, now: float, *, answered: bool) -> list[Action[Key]]:
        """A request is over, forwarded or not; `answered`: by the app. A key that is not inside changes nothing."""
        if key in self._waiting:
            del self._waiting[key]
            self._rest()
            return []
        if key not in self._active:
            return []
        self._active.remove(key)
        self._ready = answered
        return [] if self._active else self._idle(now)

    # --- probes

    def probe(self, key: Key) -> ProbeAnswer:
        """A probe of the app's health came: it wakes nothing and is no activity, but nothing is paused under it."""
        if self.state in RUNS:
            self._probes.add(key)
            return ProbeAnswer.ASK
        return ProbeAnswer.READY if self._ready else ProbeAnswer.UNREADY

    def probed(self, key: Key, now: float) -> list[Action[Key]]:
        """A probe that was asked of the app is over."""
        self._probes.discard(key)
        return self._probes_over()

    def checked(self, ready: bool, now: float) -> list[Action[Key]]:
        """The outcome of a check; an old one is of no interest once a request has come."""
        self._asking = False
        if self.state is not State.CHECKING:
            return self._probes_over()
        self._ready = ready
        if ready:
            started, self._failures = self._failures > 0, 0
            # One that has just become ready is given its grace: what it was started for is about to come.
            return self._idle(now) if started else self._grace_over()
        self._failures += 1
        self.state = State.GRACE
        self._due = now + max(self.rule.grace_s, self._retry_s())
        return []

    # --- outcomes

    def paused(self, now: float) -> list[Action[Key]]:
        """The kernel has confirmed that the app is frozen."""
        self._failures = 0
        return self._frozen()

    def pause_failed(self, now: float, why: str, *, certain: bool) -> list[Action[Key]]:
        """It was not paused; `certain`: and is known to run, for the daemon said so, or was never reached."""
        self._why = why
        if not certain:  # it may be frozen, so no request is sent before a resume has succeeded
            return self._frozen()
        self._failures += 1
        return self._runs_again(now, self._retry_s())

    def resumed(self, now: float) -> list[Action[Key]]:
        """The kernel has confirmed that the app runs."""
        self._failures = 0
        return self._runs_again(now, 0.0)

    def resume_failed(self, now: float, why: str) -> list[Action[Key]]:
        """It may still be frozen. It is tried again as long as a request waits."""
        self._failures += 1
        self._why = why
        self.state = State.RETRYING
        self._due = now + self._retry_s()
        self._rest()
        return []

    # --- time

    def next_at(self) -> float | None:
        """When to call `tick`; None while nothing depends on time."""
        patience = next(iter(self._waiting.values()), None)
        return min((at for at in (self._due, patience) if at is not None), default=None)

    def tick(self, now: float) -> list[Action[Key]]:
        """Time has passed."""
        actions: list[Action[Key]] = []
        while self._waiting and next(iter(self._waiting.values())) <= now:
            key, _ = self._waiting.popitem(last=False)
            actions.append(Refuse(key, self._words()))
        self._rest()
        if self._due is None or self._due > now:
            return actions
        if self.state is State.GRACE:
            return [*actions, *self._grace_over()]
        if self.state is State.RETRYING:
            return [*actions, *self._resume()]
        return actions

    def stop(self) -> list[Action[Key]]:
        """The process got SIGTERM: the app runs from now on, so that it can finish and hear its own SIGTERM."""
        self.stopping = True
        if self.state in RUNS:
            self._run()
        return self._resume() if self.state is State.FROZEN else []

    # --- within

    def _run(self) -> None:
        self.state = State.RUNNING
        self._due = None

    def _resume(self) -> list[Action[Key]]:
        self.state = State.RESUMING
        self._due = None
        return [Command.RESUME]

    def _idle(self, now: float, wait_s: float = 0.0) -> list[Action[Key]]:
        if self.stopping:
            self._run()
            return []
        self.state = State.GRACE
        self._due = now + max(self.rule.grace_s, wait_s)
        return self._grace_over() if self._due <= now else []

    def _grace_over(self) -> list[Action[Key]]:
        self._due = None
        if self._probes or self._asking:  # nothing is paused while it is asked
            self.state = State.GRACE  # until they are over
            return []
        if self.rule.check and not self._ready:
            self.state = State.CHECKING
            self._asking = True
            return [Command.CHECK]
        self.state = State.PAUSING
        return [Command.PAUSE]

    def _probes_over(self) -> list[Action[Key]]:
        """The last probe may have been all that held the pause back."""
        held = self.state is State.GRACE and self._due is None and not (self._probes or self._asking)
        return self._grace_over() if held else []

    def _frozen(self) -> list[Action[Key]]:
        self.state = State.FROZEN  # whoever came while the pause was under way waits already
        return self._resume() if self._waiting or self.stopping else []

    def _runs_again(self, now: float, wait_s: float) -> list[Action[Key]]:
        keys = list(self._waiting)
        self._waiting.clear()
        self._active.update(keys)
        if not keys:
            return self._idle(now, wait_s)
        self._run()
        return [Forward(key) for key in keys]

    def _rest(self) -> None:
        """No request waits any more: what failed is not tried again before the next one."""
        if self.state is State.RETRYING and not self._waiting and not self.stopping:
            self.state = State.FROZEN
            self._due = None

    def _retry_s(self) -> float:
        return min(self.rule.retry_most_s, self.rule.retry_first_s * 2.0 ** min(self._failures - 1, 30))

    def _words(self) -> str:
        because = f": {self._why}" if self._failures and self._why else ""
        return f"the app is frozen and was not resumed within {self.rule.patience_s:g} s{because}"
