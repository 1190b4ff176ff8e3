"""The story of a run, and what belongs to one."""
