"""The activator: holds requests until there is a pod, and forwards them."""
