"""How the kubelet mounts an emptyDir with medium Memory (pkg/volume/emptydir/empty_dir.go)."""

from __future__ import annotations

from emu.policy.kubelet.version import NEWEST, TMPFS_NOSWAP, Version


def mount_options(size_bytes: int, *, noswap: bool, version: Version = NEWEST) -> list[str]:
    """Of its tmpfs. `noswap`: the kernel has that option."""
    options = [f"size={size_bytes}"] if size_bytes > 0 else []
    return [*options, "noswap"] if noswap and version >= TMPFS_NOSWAP else options
