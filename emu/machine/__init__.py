"""Doors to this machine: commands, the terminal, paths, processes, the page cache."""
