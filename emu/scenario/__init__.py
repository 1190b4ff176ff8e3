"""From a YAML file to a checked scenario."""
