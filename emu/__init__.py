"""A cgroup-level memory and container lifecycle emulator: see docs/design.md."""

__version__ = "0.1.0"
