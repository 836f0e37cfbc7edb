"""What the cache is, without what it runs on: plain values, pure functions, and ports."""
