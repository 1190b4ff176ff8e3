"""A run with variants, side by side."""
