"""A snapshot of a part of the tree as cgroupspy's nodes: walk it, name its nodes, reach every controller of each.

For looking at a whole tree at once. To build, fill, limit and remove cgroups use `cgroups.group.Cgroup`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from cgroupspy.nodes import Node as BaseNode
from cgroupspy.trees import Tree as BaseTree

from cgroups.controllers import CoreController, CpuController, IoController, MemoryController
from cgroups.group import Cgroup


class Node(BaseNode):  # type: ignore[misc]  # cgroupspy has no types
    """A cgroup in a snapshot: cgroupspy's node, with v2's controllers side by side on it.

    cgroupspy's `name`, `path` and `full_path` are bytes; `children` is what was there when the tree was read.
    """

    name: bytes
    full_path: bytes
    children: list[Node]
    parent: Node | None

    # cgroupspy's map of v1's trees: here no node is "the" node of one controller
    CONTROLLERS: ClassVar[dict[bytes, type]] = {}

    def __init__(self, name: bytes, parent: Node | None = None) -> None:
        super().__init__(name, parent=parent)
        self.core = CoreController(self)
        self.memory = MemoryController(self)
        self.io = IoController(self)
        self.cpu = CpuController(self)

    @property
    def group(self) -> Cgroup:
        """The same cgroup to act on."""
        return Cgroup(Path(os.fsdecode(self.full_path)))


class Tree(BaseTree):  # type: ignore[misc]
    """The cgroups at and below a directory, as they are when this is made. Reads directories only, no control file.

    A cgroup that is removed meanwhile is left out.
    """

    root: Node

    def __init__(self, root_path: Path) -> None:
        super().__init__(root_path=os.fsencode(root_path))

    def walk(self, root: Node | None = None) -> Iterator[Node]:
        """Every node, a parent before its children."""
        found: Iterator[Node] = super().walk(root)
        return found

    def _build_tree(self) -> None:
        self.root = Node(self.root_path)
        self._init_children(self.root)

    def _init_children(self, parent: Node) -> None:
        try:
            names = sorted(self.get_children_paths(parent.full_path))
        except FileNotFoundError:
            return
        for name in names:
            child = Node(name, parent)
            parent.children.append(child)
            self._init_children(child)
