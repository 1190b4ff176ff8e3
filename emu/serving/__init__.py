"""Knative's control plane."""
