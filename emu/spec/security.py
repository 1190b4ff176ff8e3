"""Whom a container runs as, and what it may do: Kubernetes' securityContext, as far as emu does it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from emu.policy.kubelet.security import Security
from emu.spec.values import CAPABILITY, Model, Whole

_Id = Annotated[Whole, Field(ge=0, le=2**31 - 1)]
_Capability = Annotated[str, StringConstraints(pattern=CAPABILITY)]


class CapabilitiesSpec(Model):
    """Of a container's processes, by their names without CAP_; ALL is all."""

    add: tuple[_Capability, ...] = ()
    """Those that it has besides."""
    drop: tuple[_Capability, ...] = ()
    """Those of the runtime's own that it does not have."""


class SecurityContextSpec(Model):
    """Kubernetes' securityContext. With Docker only."""

    run_as_user: _Id | None = None
    """The user. Default: the image's."""
    run_as_group: _Id | None = None
    """The group. Default: the user's."""
    run_as_non_root: bool = False
    """Whether it is not made where it would run as root, or as a user that the image has by name only."""
    read_only_root_filesystem: bool = False
    """Whether it can write to its volumes only."""
    capabilities: CapabilitiesSpec = CapabilitiesSpec()
    """More or fewer than Docker gives."""

    @property
    def security(self) -> Security:
        """As the kubelet takes it."""
        return Security(
            self.run_as_user,
            self.run_as_group,
            self.run_as_non_root,
            self.read_only_root_filesystem,
            self.capabilities.add,
            self.capabilities.drop,
        )
