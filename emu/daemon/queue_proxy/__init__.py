"""queue-proxy: from its settings to its metrics."""
