"""Pods without Docker: the same programs as plain processes in the pod's cgroups. See engine.py."""
