"""What runs in the app container, and in a sidecar."""
