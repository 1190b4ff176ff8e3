"""What is recorded of a run: the contract of run and study."""
