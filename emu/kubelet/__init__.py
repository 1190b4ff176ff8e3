"""Runs a pod as the kubelet does."""
