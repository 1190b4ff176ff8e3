"""The record of a run: the contract of run and study."""
