"""The HTTP that the daemons speak: HTTP/1, HTTP/2 and what lies between the two ends of a proxy."""
