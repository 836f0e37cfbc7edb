"""The ports of the domain, on what exists: memory, SQLite, Redis, and their compositions."""
