"""The app is paused and resumed, and no request ever meets a frozen one: given → then, and every interleaving."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emu.policy.freezing import (
    KNATIVE_RULE,
    RUNS,
    Command,
    Forward,
    FreezeRule,
    Freezing,
    ProbeAnswer,
    Refuse,
    State,
)

QUICK = FreezeRule(grace_s=0.0, check=False)


def running(rule: FreezeRule = FreezeRule()) -> Freezing[str]:  # noqa: B008  a frozen value
    """A machine whose app runs, with no request in it."""
    machine: Freezing[str] = Freezing(rule)
    assert machine.begin() == [Command.RESUME]
    machine.resumed(0.0)
    return machine


def frozen(rule: FreezeRule = QUICK) -> Freezing[str]:
    """A machine whose app is frozen."""
    machine: Freezing[str] = Freezing(rule)
    machine.begin()
    assert machine.resumed(0.0) == [Command.PAUSE]
    machine.paused(0.0)
    assert machine.state is State.FROZEN
    return machine


def test_the_app_is_paused_once_the_grace_period_after_the_last_response_is_over() -> None:
    """Not before, and not while a request is in it; each request starts the period again."""
    machine = running(FreezeRule(grace_s=2.0))
    assert machine.arrive("a", 1.0) == [Forward("a")]
    assert machine.arrive("b", 1.0) == [Forward("b")]
    assert machine.leave("a", 3.0, answered=True) == []
    assert machine.tick(9.0) == []
    assert machine.leave("b", 10.0, answered=True) == []
    assert machine.next_at() == 12.0
    assert machine.arrive("c", 11.0) == [Forward("c")]
    assert machine.next_at() is None
    assert machine.leave("c", 11.5, answered=True) == []
    assert machine.tick(13.4) == []
    assert machine.tick(13.5) == [Command.PAUSE]
    assert machine.paused(13.6) == []
    assert machine.state is State.FROZEN


def test_a_request_to_a_frozen_app_is_forwarded_once_it_is_resumed() -> None:
    """So are all that come meanwhile, in order, and the app is resumed once for all of them."""
    machine = frozen()
    assert machine.arrive("a", 5.0) == [Command.RESUME]
    assert machine.arrive("b", 5.1) == []
    assert machine.resumed(5.2) == [Forward("a"), Forward("b")]
    assert (machine.active, machine.waiting) == (2, 0)


def test_a_request_that_comes_while_the_app_is_paused_waits_for_pause_and_resume() -> None:
    """The pause cannot be taken back; what follows it is the resume."""
    machine = running(QUICK)
    assert machine.state is State.PAUSING
    assert machine.arrive("a", 1.0) == []
    assert machine.paused(1.1) == [Command.RESUME]
    assert machine.resumed(1.2) == [Forward("a")]


def test_a_failed_pause_leaves_the_app_running_and_is_tried_again() -> None:
    """Requests that waited for it go on at once; without any, the next try comes later each time."""
    machine = running(QUICK)
    machine.arrive("a", 1.0)
    assert machine.pause_failed(1.1, "no", certain=True) == [Forward("a")]
    assert machine.leave("a", 2.0, answered=True) == [Command.PAUSE]
    assert machine.pause_failed(3.0, "no", certain=True) == []
    first = machine.next_at()
    assert first is not None and machine.tick(first) == [Command.PAUSE]
    machine.pause_failed(4.0, "no", certain=True)
    second = machine.next_at()
    assert second is not None and second - 4.0 > first - 3.0
    assert machine.arrive("b", 4.0) == [Forward("b")]


def test_a_pause_whose_outcome_is_not_known_counts_as_frozen() -> None:
    """The daemon may have done it before its answer was lost."""
    machine = running(QUICK)
    assert machine.pause_failed(1.0, "connection reset", certain=False) == []
    assert machine.arrive("a", 2.0) == [Command.RESUME]


def test_a_failed_resume_is_retried_with_back_off_and_then_said() -> None:
    """Nobody waits longer than the rule's patience, and the words say why."""
    machine = frozen(FreezeRule(0.0, check=False, retry_first_s=1.0, retry_most_s=4.0, patience_s=5.0))
    machine.arrive("a", 100.0)
    waits = []
    now = 100.0
    for _ in range(2):
        assert machine.resume_failed(now, "the engine says no") == []
        at = machine.next_at()
        assert at is not None
        waits.append(at - now)
        now = at
        assert machine.tick(now) == [Command.RESUME]
    assert waits == [1.0, 2.0]
    machine.resume_failed(now, "the engine says no")
    (refused,) = machine.tick(105.0)
    assert isinstance(refused, Refuse) and refused.key == "a"
    assert refused.why == "the app is frozen and was not resumed within 5 s: the engine says no"
    assert machine.next_at() is None
    assert machine.arrive("b", 200.0) == [Command.RESUME]


def test_a_request_that_gives_up_while_it_waits_is_not_forwarded() -> None:
    """The app is resumed all the same, and paused again."""
    machine = frozen()
    machine.arrive("a", 1.0)
    assert machine.leave("a", 1.1, answered=False) == []
    assert machine.resumed(1.2) == [Command.PAUSE]


def test_an_app_that_is_not_ready_is_not_paused() -> None:
    """While it starts, and after a request that it did not answer, it is asked first."""
    machine = running(FreezeRule(grace_s=1.0))
    assert machine.tick(1.0) == [Command.CHECK]
    assert machine.checked(False, 2.0) == []
    assert machine.state is State.GRACE
    at = machine.next_at()
    assert at is not None and machine.tick(at) == [Command.CHECK]
    assert machine.checked(True, at) == []
    assert machine.tick(at + machine.rule.grace_s) == [Command.PAUSE]


def test_a_request_overtakes_a_check() -> None:
    """It is forwarded at once, and the check's outcome pauses nothing."""
    machine = running(FreezeRule(grace_s=0.0))
    assert machine.state is State.CHECKING
    assert machine.arrive("a", 1.0) == [Forward("a")]
    assert machine.checked(True, 1.1) == []
    assert machine.state is State.RUNNING


@pytest.mark.parametrize("answered", [True, False])
def test_nothing_is_paused_or_asked_under_a_check_that_a_request_overtook(answered: bool) -> None:
    """It is in the app as any probe is; what it finds is older than the request, and says nothing."""
    machine = running(FreezeRule(grace_s=0.0))
    machine.arrive("a", 1.0)
    assert machine.leave("a", 2.0, answered=answered) == []
    assert machine.checked(not answered, 3.0) == [Command.PAUSE if answered else Command.CHECK]


def test_probes_wake_nobody_and_are_answered_for_a_frozen_app() -> None:
    """Ready if it was when it was paused; one that is in the app holds the pause back, for no longer."""
    machine = running(FreezeRule(grace_s=1.0))
    machine.arrive("a", 0.0)
    machine.leave("a", 0.0, answered=True)
    assert machine.probe("p") is ProbeAnswer.ASK
    assert machine.tick(1.0) == []
    assert machine.next_at() is None
    assert machine.probed("p", 1.5) == [Command.PAUSE]
    machine.paused(1.6)
    assert machine.probe("q") is ProbeAnswer.READY
    assert machine.state is State.FROZEN
    assert frozen().probe("q") is ProbeAnswer.UNREADY


@pytest.mark.parametrize("asked", ["frozen", "pausing"])
def test_asked_to_end_it_resumes_the_app_and_pauses_it_no_more(asked: str) -> None:
    """So that the app can finish and hear its own SIGTERM; it goes on trying without anybody waiting."""
    machine = frozen() if asked == "frozen" else running(QUICK)
    actions = machine.stop()
    if asked == "pausing":
        assert actions == []
        actions = machine.paused(1.0)
    assert actions == [Command.RESUME]
    machine.resume_failed(2.0, "no")
    at = machine.next_at()
    assert at is not None and machine.tick(at) == [Command.RESUME]
    assert machine.resumed(at) == []
    machine.arrive("a", at)
    assert machine.leave("a", at, answered=True) == []
    assert (machine.state, machine.next_at()) == (State.RUNNING, None)


def test_knatives_habits() -> None:
    """Paused before the first request, ready or not, and again right after each last response."""
    machine: Freezing[str] = Freezing(KNATIVE_RULE)
    assert machine.begin() == [Command.PAUSE]
    machine.paused(0.0)
    assert machine.arrive("a", 1.0) == [Command.RESUME]
    assert machine.resumed(1.0) == [Forward("a")]
    assert machine.leave("a", 1.0, answered=False) == [Command.PAUSE]


class Interleavings(RuleBasedStateMachine):
    """A machine, and the world that its commands change: a command takes effect, or fails, some time before its
    outcome is heard, and an outcome may be lost. Whatever the order: who is in the app never stands still.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.number = 0
        self.frozen = False
        self.command: Command | None = None
        self.done = False
        self.waiting: set[int] = set()
        self.inside: set[int] = set()
        self.probes: set[int] = set()
        self.refused: set[int] = set()
        self.machine: Freezing[int] = Freezing(FreezeRule(grace_s=0.5, patience_s=3.0))
        self.do(self.machine.begin())

    def do(self, actions: list[Command | Forward[int] | Refuse[int]]) -> None:
        """Do as asked, and check that it may be done."""
        for action in actions:
            if isinstance(action, Forward):
                assert not self.frozen, "forwarded to a frozen app"
                assert self.command is not Command.PAUSE or self.done, "forwarded while it is being paused"
                self.waiting.discard(action.key)
                self.inside.add(action.key)
            elif isinstance(action, Refuse):
                self.waiting.remove(action.key)
                self.refused.add(action.key)
            else:
                assert self.command is None, "two commands at once"
                self.command, self.done = action, False

    def outcome(self) -> Command:
        """The command whose outcome is heard now."""
        command, self.command, self.done = self.command, None, False
        assert command is not None
        return command

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        """And the timers are looked at."""
        self.now += seconds
        self.do(self.machine.tick(self.now))

    @rule()
    def request_comes(self) -> None:
        """It waits, unless it is forwarded."""
        self.number += 1
        self.waiting.add(self.number)
        self.do(self.machine.arrive(self.number, self.now))

    @precondition(lambda self: self.inside)
    @rule(answered=st.booleans(), data=st.data())
    def request_ends(self, answered: bool, data: st.DataObject) -> None:
        """The app answered, or not."""
        key = data.draw(st.sampled_from(sorted(self.inside)))
        self.inside.remove(key)
        self.do(self.machine.leave(key, self.now, answered=answered))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def waiter_gives_up(self, data: st.DataObject) -> None:
        """Its client went, or a timer ran out."""
        key = data.draw(st.sampled_from(sorted(self.waiting)))
        self.waiting.remove(key)
        self.do(self.machine.leave(key, self.now, answered=False))

    @rule()
    def probe_comes(self) -> None:
        """It is in the app, or answered for it."""
        self.number += 1
        if self.machine.probe(self.number) is ProbeAnswer.ASK:
            assert not self.frozen
            self.probes.add(self.number)

    @precondition(lambda self: self.probes)
    @rule()
    def probe_ends(self) -> None:
        """The app answered it."""
        key = self.probes.pop()
        self.do(self.machine.probed(key, self.now))

    @precondition(lambda self: self.command in (Command.PAUSE, Command.RESUME) and not self.done)
    @rule()
    def command_takes_effect(self) -> None:
        """Nobody has heard of it yet."""
        self.frozen = self.command is Command.PAUSE
        self.done = True

    @precondition(lambda self: self.done or self.command is Command.CHECK)
    @rule(ready=st.booleans())
    def command_succeeds(self, ready: bool) -> None:
        """Its outcome is heard."""
        command = self.outcome()
        if command is Command.CHECK:
            self.do(self.machine.checked(ready, self.now))
        else:
            self.do((self.machine.paused if command is Command.PAUSE else self.machine.resumed)(self.now))

    @precondition(lambda self: self.command in (Command.PAUSE, Command.RESUME))
    @rule(lost=st.booleans())
    def command_fails(self, lost: bool) -> None:
        """It was not done, or its outcome was lost and it may have been."""
        done, command = self.done, self.outcome()
        if command is Command.RESUME:
            self.do(self.machine.resume_failed(self.now, "no"))
        else:
            self.do(self.machine.pause_failed(self.now, "no", certain=not (lost or done)))

    @rule()
    def asked_to_end(self) -> None:
        """Now and then."""
        if self.number > 6:
            self.do(self.machine.stop())

    @invariant()
    def nobody_is_in_a_frozen_app(self) -> None:
        """Neither request nor probe, and it is not being paused under them."""
        if self.inside or self.probes:
            assert not self.frozen
            assert self.command is not Command.PAUSE

    @invariant()
    def nobody_is_lost(self) -> None:
        """The machine knows of each request, and something will come of each that waits."""
        assert self.machine.active == len(self.inside)
        assert self.machine.waiting == len(self.waiting)
        if self.waiting:
            assert self.command in (Command.PAUSE, Command.RESUME) or self.machine.next_at() is not None
        if self.machine.state in RUNS:
            assert not self.waiting

    def teardown(self) -> None:
        """When all goes well from here on, each that waits is forwarded, or refused for waiting too long."""
        left = set(self.waiting)
        for _ in range(20):
            if self.command is not None:
                if self.command is not Command.CHECK:
                    self.command_takes_effect()
                self.command_succeeds(True)
            else:
                self.time_passes(1.0)
        assert not self.waiting
        assert left <= self.inside | self.refused


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
