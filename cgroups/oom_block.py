"""One OOM report as it is being read: the lines between "invoked oom-killer" and the kill line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cgroups import oom_lines
from cgroups.oom_lines import Invoked, OomTask, Summary
from cgroups.values import Limit


@dataclass
class Block:
    """What has been read of a report so far.

    `mixed`: a line came twice, or another report began within this one, so whose its lines are is not sure. `chosen`:
    the process that a kernel before 5.3 chose. `done`: the kill line came, or a line that says there will be none.
    """

    invoked: Invoked
    invoker_pid: int | None = None
    usage: dict[str, tuple[int, Limit]] = field(default_factory=dict)
    stats: list[str] | None = None
    columns: list[str] | None = None
    tasks: list[OomTask] = field(default_factory=list)
    summary: Summary | None = None
    chosen: int | None = None
    mixed: bool = False
    done: bool = False

    def take(self, text: str) -> bool:
        """Take in a line of a report's middle; whether it was one."""
        if self.columns is not None and (task := oom_lines.table_row(text, self.columns)):
            self.tasks.append(task)
        elif (pid := oom_lines.invoker_pid(text)) is not None:
            self.mixed = self.invoker_pid is not None
            self.invoker_pid = pid
        elif usage := oom_lines.usage(text):
            self.mixed = usage[0] in self.usage
            self.usage[usage[0]] = usage[1:]
        elif (old := oom_lines.stats_header(text)) is not None:
            self.stats = [*(self.stats or []), *([old] if old else [])]
        elif (columns := oom_lines.table_header(text)) is not None:
            self.mixed = self.columns is not None
            self.columns = columns
        elif self.stats is not None and self.columns is None and (lines := oom_lines.stat_lines(text)):
            self.stats.extend(lines)
        else:
            return False
        return True
