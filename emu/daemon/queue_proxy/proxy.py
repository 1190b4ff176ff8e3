"""What all requests of a pod share on their way to the app: the admission, and the connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emu.daemon.http import forward, http1
from emu.daemon.http.known import Known
from emu.daemon.http.tunnel import Tunnel
from emu.daemon.http.upstream import AppConnections
from emu.daemon.queue_proxy.admission import Admission

if TYPE_CHECKING:
    from emu.daemon.queue_proxy.h2_known import KnownStream
    from emu.daemon.queue_proxy.h2_upstream import Http2Connections

FINAL_STATUS_LOST = "final-status-lost"
"""A defect of the real one, copied if asked: after an informational answer the final status is 200."""
TWO_FRAMINGS = "two-framings"
"""The other: of a request that two hops may read differently, one framing is chosen."""
DEFECTS = (FINAL_STATUS_LOST, TWO_FRAMINGS)

Learn = Callable[[bytes, http1.Head, forward.Route], None]
"""(all of the request, its head, where it goes)."""


class Proxy:
    """One for all requests of a pod."""

    def __init__(self, admission: Admission, app: AppConnections) -> None:
        self.admission = admission
        self.log = admission.log
        self.app = app
        self.http2: Http2Connections | None = None
        """Connections on which the app is asked in HTTP/2; made when the first is needed."""
        self.learn: Learn | None = None
        """Called with each request that was read in one piece; None where none are known by what came before."""
        self.known_streams: Known[KnownStream] = Known()
        """Requests in HTTP/2 that came before, by the client's address and what they say."""
        self.final_status_lost = False
        """The defect of that name is copied."""
        self.tunnels: set[Tunnel] = set()
        """Requests that became connections of another protocol."""
