"""What a manifest has a container run, kept beside what stands in for it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from emu.spec.environment import Env, EnvFromSpec, wrong_names
from emu.spec.probes import ProbeSpec
from emu.spec.security import SecurityContextSpec
from emu.spec.values import ABSOLUTE, Model, Whole, masks, raise_each

WorkingDir = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=ABSOLUTE)]


class ProgramSpec(Model):
    """What a manifest has a container run. Where the engine has the image, it replaces the stand-in; keys that the
    container itself has win over it.
    """

    image: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    """The image, by any of its names: `nginx` is `docker.io/library/nginx:latest`."""
    command: tuple[str, ...] | None = None
    """As of a container."""
    args: tuple[str, ...] | None = None
    """As of a container."""
    env: Env = Field(default_factory=dict)
    """As of a container."""
    env_from: tuple[EnvFromSpec, ...] = ()
    """As of a container."""
    working_dir: WorkingDir | None = None
    """As of a container."""
    security_context: SecurityContextSpec | None = None
    """As of a container."""
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    """The port on which it listens. Default: the container's."""
    startup_probe: ProbeSpec | None = None
    """As of a container."""
    liveness_probe: ProbeSpec | None = None
    """As of a container."""
    readiness_probe: ProbeSpec | None = None
    """As of a container."""

    @property
    def parts(self) -> list[str]:
        """What of it a stand-in does not have, by its keys, without the image and its port."""
        names = (name for name in type(self).model_fields if name not in ("image", "port"))
        return [to_camel(name) for name in names if getattr(self, name)]

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        raise_each([*masks(self.env, "env"), *wrong_names(self.env)])
        return self
