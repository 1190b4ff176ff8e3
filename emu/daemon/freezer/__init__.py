"""The freezer daemon: pauses and resumes pods for their queue-proxies."""
