"""A run's own processes beside its pods: recorder, load generator, activator, freezer daemon."""
