"""How a pod comes to its end: which of its containers are asked to end, in which order, and with how much grace."""

from __future__ import annotations

from collections.abc import Callable

from emu.kubelet.ending import Ending
from emu.kubelet.pod import Instance, Pod
from emu.kubelet.probes import Probes
from emu.kubelet.status import Status
from emu.policy import lifecycle
from emu.record.events import EVICTED, ContainerStopping, EventLog, now

_STOP_MARGIN_S = 30.0


class Termination:
    """Of one pod. `running` gives the instances of the containers that run; `ending` ends each in a thread."""

    def __init__(
        self,
        pod: Pod,
        log: EventLog,
        status: Status,
        probes: Probes,
        ending: Ending,
        running: Callable[[], list[Instance]],
    ) -> None:
        self._pod = pod
        self._log = log
        self._status = status
        self._probes = probes
        self._ending = ending
        self._running = running
        self.begun = False
        """The pod is to end: no container of it is started any more."""
        self.deleted = False
        """It is to end as a pod that is deleted, and shows as Terminating."""
        self.evicted = False
        """The kubelet has ended it for the node's sake."""
        self.completed = False
        """Its containers have ended for good, and its sidecars are to."""
        self.stop_by = 0.0
        """When its containers should have ended, once they are to."""

    @property
    def asked(self) -> bool:
        """Whether a container that ends now was to end for good."""
        return self.begun or self.completed

    def begin(self, *, hooks: bool, why: str) -> None:
        """Ask the containers to end; `hooks` as in `PodWorker.begin_stop`."""
        self.begun, self.deleted = True, hooks
        template = self._pod.template
        last_grace_s = 0 if self._ending.hurried else template.last_grace_s
        grace_s = template.grace_s if hooks else last_grace_s
        self.stop_by = now() + grace_s + _STOP_MARGIN_S
        if hooks:
            self._ending.hold_hooks(
                {one.id for one in self._running() if template.container(one.container).signalled_at_once}
            )
        else:
            self._ending.run_over()
        self._probes.end(hooks=hooks)
        self._stop_all(grace_s, why if hooks else "run", said=hooks)

    def evict(self, message: str, grace_s: int) -> None:
        """Ask the containers to end for the node's sake."""
        self.begun = self.evicted = True
        self.stop_by = now() + grace_s + _STOP_MARGIN_S
        self._status.evicted(message, grace_s)
        self._probes.end(hooks=True)
        self._stop_all(grace_s, EVICTED)

    def hurry(self) -> None:
        """Hooks and grace periods are waited for no longer, those under way among them."""
        self._ending.hurry()
        if self.begun:
            self.stop_by = now() + _STOP_MARGIN_S
            self._stop_all(0, "run", said=False)

    def end_sidecars(self) -> None:
        """End the sidecars of a pod whose containers have ended for good, in order."""
        if self.asked or not lifecycle.is_done(self._status.states.values()):
            return
        self.completed = True
        self._stop_all(self._pod.template.grace_s, "pod")

    def stop(self, instance: Instance, grace_s: float, why: str) -> None:
        """Ask one container to end; `why` is recorded."""
        name = instance.container
        self._log.append(
            ContainerStopping(t=now(), container=name, attempt=instance.attempt, why=why, grace_s=grace_s)
        )
        hook = self._pod.template.container(name).pre_stop if why != "run" and grace_s > 0 else None
        least = self.deleted or grace_s > 0
        self._ending.stop(instance, grace_s, hook, least=least, after=self._before_its_end(instance))

    def _stop_all(self, grace_s: float, why: str, *, said: bool = True) -> None:
        """With `said`, an event of the kubelet says it of each."""
        for instance in self._running():
            if said:
                self._status.record_stopping(instance.container)
            self.stop(instance, grace_s, why)

    def _before_its_end(self, instance: Instance) -> list[str]:
        """The ids of what ends before a sidecar when the pod does."""
        if not self.asked:
            return []
        later = lifecycle.end_before(instance.container, self._status.states)
        return [one.id for one in self._running() if one.container in later]
