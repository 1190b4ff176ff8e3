"""Our own kernel, for machines that lack what the emulator needs. See uml.py.

Nothing is imported until it is used: the guest's agent lives in this package, and must be small and start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emu.sandbox.leftovers import leftovers, sweep
    from emu.sandbox.uml import Guest, SandboxError, run

__all__ = ["Guest", "SandboxError", "leftovers", "run", "sweep"]


def __getattr__(name: str) -> object:
    if name in ("leftovers", "sweep"):
        import emu.sandbox.leftovers as home
    elif name in __all__:
        import emu.sandbox.uml as home  # type: ignore[no-redef]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
