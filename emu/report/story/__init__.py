"""The verdict in words, a module for each subject."""
