"""Probes and lifecycle hooks, by Kubernetes' names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from emu.policy.probing import ProbeRule
from emu.spec.values import HEADER_NAME, HEADER_VALUE, REQUEST_PATH, Command, Model, Port, SpecError, Whole, listed


class HeaderSpec(Model):
    """A header of a probe."""

    name: Annotated[str, StringConstraints(pattern=HEADER_NAME)]
    """Its name; Host replaces the pod's address."""
    value: Annotated[str, StringConstraints(pattern=HEADER_VALUE)]
    """Its value."""


class HttpGetSpec(Model):
    """An HTTP GET, as a kubelet sends it."""

    path: Annotated[str, StringConstraints(pattern=REQUEST_PATH, max_length=4096)] = "/"
    """The path to request."""
    port: Port | None = None
    """The port; default: the container's own."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The host to connect to; default: the pod's address."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS does not check the certificate."""
    http_headers: tuple[HeaderSpec, ...] = ()
    """Additional headers."""


class TcpSocketSpec(Model):
    """A TCP connection, opened and closed."""

    port: Port | None = None
    """The port; default: the container's own."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The host to connect to; default: the pod's address."""


class GrpcSpec(Model):
    """A health check by gRPC, without TLS (grpc.health.v1.Health/Check)."""

    port: Port | None = None
    """The port; default: the container's own."""
    service: Annotated[str, StringConstraints(max_length=127)] = ""
    """Whose health is asked for. Default: the server's."""


class ExecSpec(Model):
    """A command in the container: 0 is success. Its memory is charged to the container."""

    command: Command
    """The program and its arguments; emu runs no shell."""


class SleepSpec(Model):
    """A pause."""

    seconds: Annotated[Whole, Field(ge=1, le=3600)]
    """How long to wait."""


def _one_of(model: Model, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise SpecError(
            f"{'no handler' if not given else 'more than one handler'}",
            why=f"there must be exactly one of {listed(names)}" + (f"; given: {listed(given)}" if given else ""),
            fix="keep one of them" if given else "add one",
            at=(to_camel(given[1]),) if given else (),
        )


_HANDLERS = ("http_get", "tcp_socket", "exec", "grpc")


class ProbeSpec(Model):
    """A probe in Kubernetes' format, with its defaults. It has exactly one of httpGet, tcpSocket, exec and
    grpc.
    """

    http_get: HttpGetSpec | None = None
    """A status from 200 to 399 is a success."""
    tcp_socket: TcpSocketSpec | None = None
    """A connection is a success."""
    exec: ExecSpec | None = None
    """Exit code 0 is a success."""
    grpc: GrpcSpec | None = None
    """SERVING is a success."""
    initial_delay_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """Seconds from the container's start to the first probe."""
    period_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 10
    """Seconds from one probe to the next."""
    timeout_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 1
    """Seconds until a missing answer counts as a failure."""
    success_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Consecutive successes needed; 1 for liveness and startup."""
    failure_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Consecutive failures needed."""
    termination_grace_period_seconds: Annotated[Whole, Field(ge=1, le=3600)] | None = None
    """Seconds from SIGTERM to SIGKILL when the container is killed for this probe; default: the pod's."""

    @model_validator(mode="after")
    def _asks_in_one_way(self) -> Self:
        _one_of(self, _HANDLERS)
        return self

    @property
    def handler(self) -> HttpGetSpec | TcpSocketSpec | ExecSpec | GrpcSpec:
        """The one way in which the probe asks."""
        found = self.http_get or self.tcp_socket or self.exec or self.grpc
        if found is None:  # one whose mistakes are being looked for; it is never run
            raise AttributeError("no handler")
        return found

    @property
    def way(self) -> str:
        """The key of its handler."""
        found = next((name for name in _HANDLERS if getattr(self, name) is not None), None)
        if found is None:  # as above
            raise AttributeError("no handler")
        return to_camel(found)

    @property
    def rule(self) -> ProbeRule:
        """When it asks and what counts."""
        return ProbeRule(
            self.initial_delay_seconds, self.period_seconds, self.success_threshold, self.failure_threshold
        )


class PreStopSpec(Model):
    """What a container does before it gets SIGTERM, within the grace period. One of exec, httpGet and sleep."""

    exec: ExecSpec | None = None
    """A command in the container."""
    http_get: HttpGetSpec | None = None
    """A GET; any status counts."""
    sleep: SleepSpec | None = None
    """Wait, and do nothing else."""

    @model_validator(mode="after")
    def _acts_in_one_way(self) -> Self:
        _one_of(self, ("exec", "http_get", "sleep"))
        return self

    @property
    def handler(self) -> ExecSpec | HttpGetSpec | SleepSpec:
        """The one thing that the hook does."""
        found = self.exec or self.http_get or self.sleep
        if found is None:  # one whose mistakes are being looked for; it is never run
            raise AttributeError("no handler")
        return found


class LifecycleSpec(Model):
    """Hooks in a container's life. They do not run when the container exits by itself or the run is over."""

    pre_stop: PreStopSpec | None = None
    """Runs before SIGTERM. Default for the app: wait for queue-proxy's drain, as in Knative."""
