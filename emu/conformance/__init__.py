"""Wire cases as data, and what plays them against any queue-proxy."""
