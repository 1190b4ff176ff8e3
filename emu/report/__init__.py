"""From a finished run's files to numbers, text and pictures: pure, never asks the system."""
