"""cgroup v2 as a library: find the tree, build in it, limit, watch, freeze and kill; read the kernel's OOM reports.

It stands alone: the standard library and cgroupspy. `cgroups.parse`, `cgroups.oom` and the value types are pure
and work on recorded text anywhere; the rest acts on a live cgroup v2 host.
"""

from cgroups.errors import CgroupError
from cgroups.values import NO_LIMIT, Limit, NoLimit

__all__ = ["NO_LIMIT", "CgroupError", "Limit", "NoLimit"]
