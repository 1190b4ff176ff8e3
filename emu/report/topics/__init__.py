"""Topics of a report, a module each: its figures in summary.json, its words, and its table."""
