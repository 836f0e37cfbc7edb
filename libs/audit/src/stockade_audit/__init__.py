"""The audit record: append-only journals, signed heads, an index, and the daemon that serves them."""
