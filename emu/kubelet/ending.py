"""How a pod's containers end: preStop hook, SIGTERM, SIGKILL after the grace period; each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from emu.errors import EmuError
from emu.kubelet import prober
from emu.kubelet.containers import Containers
from emu.kubelet.facts import EngineLost, Fact, HookFailed
from emu.kubelet.pod import Instance
from emu.kubelet.template import Hook
from emu.policy.kubelet.ending import LEAST_GRACE_S
from emu.record.events import EventLog, Note, now
from emu.runtime.api import EngineGone, Runtime

_SIGNALLED_WITHIN_S = 10.0
"""At a pod's end hooks wait for the other containers' SIGTERM, but not for an engine that sends none."""
_JOIN_S = 5.0
_LOOK_S = 0.02


class Ending:
    """Of one pod. Facts go to `put`, from threads."""

    def __init__(self, containers: Containers, engine: Runtime, log: EventLog, put: Callable[[Fact], None]) -> None:
        self._containers = containers
        self._engine = engine
        self._log = log
        self._put = put
        self._threads: list[threading.Thread] = []
        self._hurried = threading.Event()
        self._run_over = False
        self._unsignalled: set[str] = set()
        """Ids of the containers without a hook that have not got their SIGTERM yet, at the pod's end."""
        self._ended: set[str] = set()

    @property
    def hurried(self) -> bool:
        """Hooks and grace periods are not waited for any more."""
        return self._hurried.is_set()

    def hurry(self) -> None:
        """End hooks and grace periods early, those under way among them."""
        self._hurried.set()

    def run_over(self) -> None:
        """What a hook under way asks ends now without regard to it: that it fails says nothing."""
        self._run_over = True

    def hold_hooks(self, until_signalled: Collection[str]) -> None:
        """At the pod's end: hooks wait until these containers, which have none, have their SIGTERM."""
        self._unsignalled = set(until_signalled)

    def signalled(self, container_id: str) -> None:
        """The engine has sent a container a signal, or it has ended."""
        self._unsignalled.discard(container_id)

    def ended(self, container_id: str) -> None:
        """A container has ended."""
        self._ended.add(container_id)

    def stop(
        self, instance: Instance, grace_s: float, hook: Hook | None, *, least: bool, after: Collection[str] = ()
    ) -> None:
        """Begin to end a container. `least`: after SIGTERM it has 2 s, however long the hook took. `after`: the ids
        of containers whose end its SIGTERM waits for; the wait is the grace period's too.
        """
        thread = threading.Thread(target=self._stop, args=(instance, grace_s, hook, least, after), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for what is under way."""
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _stop(
        self, instance: Instance, grace_s: float, hook: Hook | None, least: bool, after: Collection[str]
    ) -> None:
        """Thaw, preStop, SIGTERM, SIGKILL. The hook's time is the grace period's."""
        began = now()
        self._containers.thaw(instance)
        if hook is not None:
            self._await_the_others()
            self._run_hook(instance, hook, grace_s)
        while not self._ended.issuperset(after) and now() - began < grace_s and not self.hurried:
            self._hurried.wait(_LOOK_S)
        try:
            left_s = 0.0 if self.hurried else grace_s - (now() - began)
            self._engine.stop(instance.id, max(LEAST_GRACE_S if least else 0, round(left_s)))
        except EngineGone as gone:
            self._put(EngineLost(gone))
        except EmuError as error:
            self._log.append(Note(t=now(), what=error.what, why=error.why))

    def _await_the_others(self) -> None:
        """At the pod's end a hook begins when the containers without one have their SIGTERM. Knative's hook gives
        queue-proxy one second to get it, which an engine on a busy machine does not keep.
        """
        give_up = now() + _SIGNALLED_WITHIN_S
        while self._unsignalled and now() < give_up and not self.hurried:
            self._hurried.wait(_LOOK_S)

    def _run_hook(self, instance: Instance, hook: Hook, grace_s: float) -> None:
        try:
            prober.run_hook(hook, self._containers.target(instance, "preStop"), grace_s, self._hurried)
        except EmuError as error:
            if not (self.hurried or self._run_over):  # else what the hook asked was ended before its time
                self._put(HookFailed(instance.container, f"{error.what}: {error.why}"))
