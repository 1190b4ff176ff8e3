"""All that crosses between processes, so that each name is spelt once. Standard library only: containers import it.

Here are names and numbers. What a request asks of the app is in `work`, what became of each request in `requests`,
and what run and activator send each other in `endpoints`: a program imports no more of these than it needs, for two
start with each pod. What the load generator is to send is in `emu.policy.loadplan`.
"""

from __future__ import annotations

QUEUE_PORT = 8012
"""Knative's port for HTTP/1.1 traffic into queue-proxy (pkg/networking/constants.go)."""
QUEUE_ADMIN_PORT = 8022
"""Knative's admin port; only /wait-for-drain."""
QUEUE_STATS_PORT = 9090
"""Knative's port for the autoscaler's questions to queue-proxy."""
USER_PORT = 8080
"""Knative's default container port."""
METRICS_PATH = b"/metrics"
"""Where Prometheus asks emu's app, and any other."""
REPORT_VARIABLE = "EMU_REPORT_SECONDS"
"""How often queue-proxy reports to the autoscaler; Knative's does each second."""
HOLD_VARIABLE, START_VARIABLE = "EMU_HOLD_BYTES", "EMU_START_SECONDS"
"""What a sidecar's stand-in is to hold, and how long it takes to be ready."""
WORK_VARIABLE = "EMU_WORK"
"""What an init container's stand-in does: a `Work` as a query string."""
VOLUMES_VARIABLE = "EMU_VOLUMES"
"""Where the pod's volumes are mounted in the app: paths with a colon between them."""
_DOMAIN = "default.example.com"
HOST = f"app.{_DOMAIN}"
"""The Host of the service that a run is of."""
DATA_DIR = "/emu-data"
"""Where the app's volume on a real block device is mounted; `readFile` and `writeFile` name files in it."""
SAMPLE_NUMBER_BYTES = 20
"""No number by which the load generator asks the recorder for a sample is longer."""

QUEUE_PROXY, APP = "queue-proxy", "app"
"""The containers of a Knative pod, as emu's runs name them; also who it is in the logs of these two programs."""
SANDBOX = "sandbox"
"""The pause container, which holds the pod's network: part of the pod, of no interest to most readers."""
USER_CONTAINER = "user-container"
"""Knative's name of the app's container, where a manifest gives none."""
STARTED, LISTENING, DRAINS = "start", "listening", "drain"
PAUSED, MAYBE_PAUSED, RESUMED, NO_MORE_FREEZES = "paused", "maybe-paused", "resumed", "freezes-no-more"
"""Words of the logs of emu's own programs that are read again; those on freezes are queue-proxy's."""


def host_of(service: str, tag: str = "") -> str:
    """The Host of a service in the namespace default; with a tag that of the revision which has it."""
    return f"{f'{tag}-' if tag else ''}{service}.{_DOMAIN}"


REQUESTS_ENDED, REQUESTS_WAITED = "requests-ended", "requests-waited"
"""Lines of queue-proxy's log, and events of the activator: requests that they answered themselves or broke, and how
long requests waited for a place (`emu.record.events.RequestsEnded`, `RequestsWaited`).
"""

PAUSE, RESUME = "pause", "resume"
FREEZER_ACTIONS = (PAUSE, RESUME)
"""The requests that the freezer daemon takes: `{"action": "pause"}` (container-freezer, pkg/daemon/handler.go)."""
START_HEADER = "X-Emu-Start"
"""In an answer: how warm the start was that the request waited for."""
NETWORK_PROBE_HEADER = "K-Network-Probe"
"""In a probe of Knative's own: for whom it is (knative.dev/networking, pkg/http/header)."""
KUBE_PROBE_AGENT, ACTIVATOR_PROBE_AGENT = "kube-probe/", "Knative-Activator-Probe"  # how a prober's User-Agent begins
FREEZER_TOKEN_HEADER = "Token"  # noqa: S105  a header's name
FREEZER_PORT = 9696
"""container-freezer's port on the node (config/containerd/300-daemon-containerd.yaml)."""
FREEZER_ENDPOINT_VARIABLE = "CONCURRENCY_STATE_ENDPOINT"
"""Where queue-proxy finds the daemon: `http://HOST:PORT`, or `unix:PATH`, which is ours. Empty: there is none."""
FREEZER_TOKEN_VARIABLE = "CONCURRENCY_STATE_TOKEN_PATH"  # noqa: S105  a variable's name
"""The file with the pod's token (Knative Serving 1.9, pkg/reconciler/revision/resources/queue.go)."""
FREEZER_MODE_VARIABLE = "EMU_FREEZER_MODE"
FREEZER_GRACE_VARIABLE = "EMU_FREEZER_GRACE_SECONDS"
FREEZER_PATIENCE_VARIABLE = "EMU_FREEZER_PATIENCE_SECONDS"
OWN_MODE, KNATIVE_MODE = "own", "knative"
FREEZER_MODES = (OWN_MODE, KNATIVE_MODE)
FREEZER_METHODS = ("docker", "cgroup")
