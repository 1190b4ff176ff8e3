"""Decisions: facts and the time come in as arguments, decisions go out as values; nothing here acts."""
