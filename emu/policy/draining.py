"""When queue-proxy may end after SIGTERM: once no request has come for a while (knative.dev/pkg/network, Drainer).

The app's preStop hook starts a drain too; unless the pod really is to end, that one is called off after a second.
Times are seconds on one clock that only the caller reads.
"""

from __future__ import annotations

HOOK_WAIT_S = 1.0
"""How long a drain that only the hook asked for lasts before it is called off (pkg/queue/sharedmain/handlers.go)."""


class Draining:
    """Whether a drain is on, and when it ends. A request that comes while it is on starts the quiet time again."""

    def __init__(self, quiet_s: float) -> None:
        self.quiet_s = quiet_s
        self.active = False
        """Probes are refused."""
        self.terminated = False
        """The process got SIGTERM: the drain is not called off any more."""
        self._until = 0.0

    def terminate(self, now: float) -> None:
        """SIGTERM."""
        self.terminated = True
        self._begin(now)

    def hook(self, now: float) -> None:
        """The app's preStop hook asked to wait for the end of the drain."""
        self._begin(now)

    def _begin(self, now: float) -> None:
        if not self.active:
            self.active = True
            self._until = now + self.quiet_s

    def request(self, now: float) -> None:
        """A request came that is no probe."""
        if self.active:
            self._until = now + self.quiet_s

    def hook_waited(self) -> bool:
        """HOOK_WAIT_S after the hook: True if its drain was called off, because the process got no SIGTERM."""
        if self.terminated:
            return False
        self.active = False
        return True

    def left(self, now: float) -> float:
        """Seconds until the drain ends if no further request comes; 0 or less when it is over."""
        return self._until - now if self.active else 0.0
