"""Files that come from outside: read with bounds, written whole."""
