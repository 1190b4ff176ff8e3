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
from emu.spec.values import HEADER_NAME, HEADER_VALUE, Command, Model, Port, SpecError, Whole, listed


class HeaderSpec(Model):
    """A header of a probe."""

    name: Annotated[str, StringConstraints(pattern=HEADER_NAME)]
    """Its name; Host stands in for the pod's address."""
    value: Annotated[str, StringConstraints(pattern=HEADER_VALUE)]
    """Its value."""


class HttpGetSpec(Model):
    """An HTTP GET, as a kubelet sends it."""

    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=4096)] = "/"
    """What to ask for."""
    port: Port | None = None
    """Where; the container's own port if not given."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Whom to connect to; the pod's address if not given."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS does not check the certificate."""
    http_headers: tuple[HeaderSpec, ...] = ()
    """Headers of your own."""


class TcpSocketSpec(Model):
    """A TCP connection, opened and closed."""

    port: Port | None = None
    """Where; the container's own port if not given."""
    host: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Whom to connect to; the pod's address if not given."""


class ExecSpec(Model):
    """A command in the container: 0 is success. Its memory is charged to the container."""

    command: Command
    """The program and its arguments; no shell unless it is one."""


class SleepSpec(Model):
    """A pause."""

    seconds: Annotated[Whole, Field(ge=1, le=3600)]
    """How long."""


def _one_of(model: Model, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise SpecError(
            f"{'no handler' if not given else 'more than one handler'}",
            why=f"there must be exactly one of {listed(names)}" + (f"; given: {listed(given)}" if given else ""),
            fix="keep one of them" if given else "add one",
            at=(to_camel(given[1]),) if given else (),
        )


class ProbeSpec(Model):
    """A probe in Kubernetes' shape, with its defaults. One of httpGet, tcpSocket and exec says how to ask."""

    http_get: HttpGetSpec | None = None
    """A status from 200 to 399 is success."""
    tcp_socket: TcpSocketSpec | None = None
    """A connection is success."""
    exec: ExecSpec | None = None
    """Exit code 0 is success."""
    initial_delay_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 0
    """From the container's start to the first probe."""
    period_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 10
    """From one to the next."""
    timeout_seconds: Annotated[Whole, Field(ge=1, le=3600)] = 1
    """No answer by then is a failure."""
    success_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Successes in a row that count; 1 for liveness and startup."""
    failure_threshold: Annotated[Whole, Field(ge=1, le=1000)] = 3
    """Failures in a row that count."""
    termination_grace_period_seconds: Annotated[Whole, Field(ge=1, le=3600)] | None = None
    """From SIGTERM to SIGKILL when the container is killed for this probe; the pod's if not given."""

    @model_validator(mode="after")
    def _asks_in_one_way(self) -> Self:
        _one_of(self, ("http_get", "tcp_socket", "exec"))
        return self

    @property
    def handler(self) -> HttpGetSpec | TcpSocketSpec | ExecSpec:
        """How it asks."""
        found = self.http_get or self.tcp_socket or self.exec
        assert found is not None
        return found

    @property
    def rule(self) -> ProbeRule:
        """When it asks and what counts."""
        return ProbeRule(
            self.initial_delay_seconds, self.period_seconds, self.success_threshold, self.failure_threshold
        )


class PreStopSpec(Model):
    """What a container does before it gets SIGTERM; the grace period runs meanwhile. One of exec, httpGet, sleep."""

    exec: ExecSpec | None = None
    """A command in the container."""
    http_get: HttpGetSpec | None = None
    """A GET; whatever status it gets will do."""
    sleep: SleepSpec | None = None
    """Only wait."""

    @model_validator(mode="after")
    def _acts_in_one_way(self) -> Self:
        _one_of(self, ("exec", "http_get", "sleep"))
        return self

    @property
    def handler(self) -> ExecSpec | HttpGetSpec | SleepSpec:
        """What it does."""
        found = self.exec or self.http_get or self.sleep
        assert found is not None
        return found


class LifecycleSpec(Model):
    """What happens at turns of a container's life. Not run when it ends by itself or the run is over."""

    pre_stop: PreStopSpec | None = None
    """Before SIGTERM. The app's waits for queue-proxy's drain, as Knative has it, if not given."""
