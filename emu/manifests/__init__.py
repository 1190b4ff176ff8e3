"""Manifests of Knative, KServe and Kubernetes: read, checked and defaulted as the real ones do, and explained."""
