"""Processes that act, one a file: gather facts, ask a policy, do what it said, record it."""
